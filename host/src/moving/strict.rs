use std::{cell::Cell, collections::HashSet, fmt};

use perennial_sdk::{Error, Result};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// How many values a file may hold, each field and each entry of a list counted.
const MOST_VALUES: usize = 250_000;

/// Reads JSON from somebody else: no key twice, where programs would not agree which one counts, and not more values
/// than fit into memory. Nothing is kept of a text that is refused.
///
/// # Errors
/// `invalid`, with line and column.
pub(super) fn parse(text: &[u8]) -> Result<Value> {
    let left = Cell::new(MOST_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let refused = |error: serde_json::Error| Error::invalid(error.to_string());
    Strict(&left).deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(refused)?;
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Value::deserialize(&mut deserializer).map_err(refused)
}

/// Looks at one value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<usize>);

impl Strict<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.ok_or_else(|| E::custom(format_args!("it holds more than {MOST_VALUES} values")))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            let shown = || key.chars().take(80).collect::<String>().escape_debug().to_string();
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("the key `{}` is there twice", shown())));
            }
            fields.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_programs_do_not_agree_on_is_refused() {
        assert_eq!(parse(b" {\"a\": [1, -2.5, \"x\", null, true, {\"a\": {}}]} ").unwrap()["a"][1], -2.5);
        assert!(refusal(r#"{"a": {"b": 1, "b": 1}}"#).contains("the key `b` is there twice at line 1"));
        assert!(refusal(r#"{"\u0061": 1, "a": 2}"#).contains("twice"));
        for bad in ["", "{", "{} {}", "{\"a\": 1,}", "{\"a\": \"\\ud800\"}", "\u{feff}{}", "{\"a\": 1e999}"] {
            refusal(bad);
        }
        assert!(parse(b"{\"a\": \"\xff\"}").is_err());
    }

    #[test]
    fn bombs_are_refused_while_they_are_read() {
        assert!(refusal(&format!("[{}0]", "0,".repeat(1_000_000))).contains("250000 values"));
        let files: Vec<_> = (0..1_000_000).map(|n| format!("\"{n}\":\"\"")).collect();
        assert!(refusal(&format!("{{{}}}", files.join(","))).contains("250000 values"));
        assert!(refusal(&"[".repeat(1_000_000)).contains("recursion limit"));
    }
}
