//! Long texts travel beside the JSON: escaping and unescaping them costs twenty times more than copying them.

use std::{borrow::Cow, mem::take};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, Result};

/// Texts from this many bytes on stand in the body.
pub const LONG: usize = 4096;

/// What the JSON is when there is a body.
#[derive(Serialize, Deserialize)]
struct Envelope {
    value: Value,
    body: Vec<Part>,
}

/// Where a text of the body belongs, and how long it is.
#[derive(Serialize, Deserialize)]
struct Part {
    at: Vec<Step>,
    len: usize,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    Index(usize),
    Key(String),
}

/// JSON and body of `value`, whose longest text has about `longest` bytes.
///
/// # Errors
/// When it is no JSON.
pub fn pack(value: &impl Serialize, longest: usize) -> Result<(Vec<u8>, Vec<u8>)> {
    if longest < LONG {
        return Ok((serde_json::to_vec(value)?, Vec::new()));
    }
    pack_value(serde_json::to_value(value)?)
}

/// [`pack`] of a value that nobody else needs: its long texts are not copied.
///
/// # Errors
/// None; it is as [`pack`].
pub fn pack_value(mut value: Value) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut parts = Vec::new();
    cut(&mut value, &mut Vec::new(), &mut parts);
    let described = parts.iter().map(|(at, text)| Part { at: at.clone(), len: text.len() }).collect();
    let mut texts = parts.into_iter().map(|(_, text)| text.into_bytes());
    let Some(mut body) = texts.next() else { return Ok((serde_json::to_vec(&value)?, Vec::new())) };
    texts.for_each(|text| body.extend_from_slice(&text));
    Ok((serde_json::to_vec(&Envelope { value, body: described })?, body))
}

/// What [`pack`] put together. No JSON at all is null. A body that is one text, and owned, becomes that text as it is.
///
/// # Errors
/// When it does not fit.
pub fn unpack<'a, T: DeserializeOwned>(json: &[u8], body: impl Into<Cow<'a, [u8]>>) -> Result<T> {
    let body = body.into();
    let misfit = |error: serde_json::Error| Error::invalid(error.to_string());
    if body.is_empty() {
        let json = if json.is_empty() { b"null" } else { json };
        return serde_json::from_slice(json).map_err(misfit);
    }
    let Envelope { mut value, body: parts } = serde_json::from_slice(json).map_err(misfit)?;
    let whole: usize = parts.iter().map(|part| part.len).fold(0, usize::saturating_add);
    if whole != body.len() {
        return Err(Error::invalid(format!("the body has {} bytes of {whole}", body.len())));
    }
    let not_text = || Error::invalid("the body is not UTF-8");
    match parts.as_slice() {
        [part] => {
            let text = String::from_utf8(body.into_owned()).map_err(|_| not_text())?;
            put_back(&mut value, &part.at, text)?;
        }
        parts => {
            let mut rest = &*body;
            for Part { at, len } in parts {
                let (text, after) = rest.split_at(*len);
                let text = std::str::from_utf8(text).map_err(|_| not_text())?;
                put_back(&mut value, at, text.to_owned())?;
                rest = after;
            }
        }
    }
    serde_json::from_value(value).map_err(misfit)
}

fn put_back(value: &mut Value, at: &[Step], text: String) -> Result<()> {
    let place = at.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    *place.ok_or_else(|| Error::invalid("the body belongs nowhere"))? = Value::String(text);
    Ok(())
}

/// The bytes of the longest text in `value`.
pub fn longest(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(longest).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(longest).max().unwrap_or(0),
        _ => 0,
    }
}

fn cut(value: &mut Value, at: &mut Vec<Step>, parts: &mut Vec<(Vec<Step>, String)>) {
    match value {
        Value::String(text) if text.len() >= LONG => parts.push((at.clone(), take(text))),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                at.push(Step::Index(index));
                cut(item, at, parts);
                at.pop();
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                at.push(Step::Key(key.clone()));
                cut(field, at, parts);
                at.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_come_back_to_their_places() {
        let value =
            json!({ "a": ["x".repeat(5000), 1, { "é": "y".repeat(4096) }], "b": "short", "0": "z".repeat(9000) });
        let (json, body) = pack(&value, longest(&value)).unwrap();
        assert!(json.len() < 300 && body.len() == 5000 + 4096 + 9000);
        assert_eq!(unpack::<Value>(&json, &*body).unwrap(), value);
        assert!(unpack::<Value>(&json, &body[1..]).is_err());
        assert!(unpack::<Value>(&json, [&body[..], b"x"].concat()).is_err());
        assert!(unpack::<Value>(b"{\"value\":1,\"body\":[{\"at\":[\"a\"],\"len\":1}]}", b"x".as_slice()).is_err());
    }

    #[test]
    fn short_values_have_no_body() {
        let (json, body) = pack(&json!({ "a": 1 }), 0).unwrap();
        assert_eq!((json.as_slice(), body.len()), (&b"{\"a\":1}"[..], 0));
        assert_eq!(unpack::<Option<u8>>(b"", b"".as_slice()).unwrap(), None);
    }
}
