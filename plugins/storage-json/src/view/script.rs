//! JSON as JavaScript writes it: the file belongs to a program that does.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{
    Map, Number, Value,
    ser::{CharEscape, Formatter, PrettyFormatter, Serializer},
};

/// What `JSON.stringify(value, null, 2)` gives for a value that stands `depth` objects deep.
///
/// Integers that JavaScript has no number for are written exactly all the same.
pub(super) fn stringify(value: &Value, depth: usize) -> String {
    let mut out = Vec::new();
    let mut pretty = ScriptFormatter(PrettyFormatter::with_indent(b"  "));
    let mut nowhere = io::sink();
    for _ in 0..depth {
        let _ = pretty.0.begin_object(&mut nowhere);
    }
    let mut serializer = Serializer::with_formatter(&mut out, pretty);
    ordered(value).serialize(&mut serializer).expect("a value always serializes");
    String::from_utf8(out).expect("JSON is text")
}

/// The keys of an object in the order in which JavaScript walks them: array indices by number, then the others as they
/// came.
pub(super) fn order<T>(entries: &mut [T], key: impl Fn(&T) -> Option<u32>) {
    entries.sort_by_key(|entry| key(entry).map_or((true, 0), |index| (false, index)));
}

/// The array index that a key is, if it is one.
pub(super) fn array_index(key: &str) -> Option<u32> {
    let plain = key == "0" || !key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| key.parse().ok()).flatten().filter(|index| *index < u32::MAX)
}

/// The value as it is after a round through JavaScript, where every number is a double.
pub(super) fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().and_then(Number::from_f64).map_or(Value::Null, Value::Number),
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        other => other,
    }
}

fn ordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(ordered).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), ordered(value))).collect();
            order(&mut fields, |(key, _)| array_index(key));
            Value::Object(fields.into_iter().collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

struct ScriptFormatter(PrettyFormatter<'static>);

impl Formatter for ScriptFormatter {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(number(value).as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// ECMA-262, `Number::toString` for radix 10.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let (count, point) = (digits.len() as i32, exponent.parse::<i32>().unwrap_or_default() + 1);
    let text = match point {
        _ if count <= point && point <= 21 => format!("{digits}{}", "0".repeat((point - count) as usize)),
        1..=21 => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
        -5..=0 => format!("0.{}{digits}", "0".repeat(-point as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let (dot, sign) = (if rest.is_empty() { "" } else { "." }, if point > 0 { '+' } else { '-' });
            format!("{first}{dot}{rest}e{sign}{}", (point - 1).abs())
        }
    };
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_those_of_javascript() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (0.000001, "0.000001"),
            (1.5e-6, "0.0000015"),
            (1e-7, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (1e20, "100000000000000000000"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (123.456, "123.456"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn objects_are_those_of_javascript() {
        let value =
            json!({ "b": [], "10": {}, "2": [1.0, { "z": "\u{1f}\u{7f}é\u{2028}" }], "01": null, "4294967295": 1 });
        let text = "{\n    \"2\": [\n      1,\n      {\n        \"z\": \"\\u001f\u{7f}é\u{2028}\"\n      }\n    ],\n    \
                    \"10\": {},\n    \"b\": [],\n    \"01\": null,\n    \"4294967295\": 1\n  }";
        assert_eq!(stringify(&value, 1), text);
        assert_eq!(stringify(&json!({}), 0), "{}");
    }

    #[test]
    fn an_index_is_what_javascript_says() {
        assert_eq!(["0", "7", "4294967294"].map(array_index), [Some(0), Some(7), Some(4294967294)]);
        assert_eq!(["", "00", "-1", "1.0", "4294967295", "a"].map(array_index), [None; 6]);
    }
}
