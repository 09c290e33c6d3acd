//! What a child's tool result must be, found out in one pass that keeps nothing.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// The parts of a tool result that its reader relies on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ResultShape {
    /// Whether `content` is a list; none when it is absent.
    pub(super) content_is_list: Option<bool>,
    pub(super) has_structured_content: bool,
    pub(super) has_result_type: bool,
}

/// Any JSON that every client can read: syntax alone lets half a surrogate pair and `1e400` through, on which strict
/// parsers drop the whole message, so that its caller waits for ever.
struct Readable {
    is_list: bool,
}

impl<'de> Deserialize<'de> for ResultShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = ResultShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResultShape, A::Error> {
                let mut shape = ResultShape::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
                    let value: Readable = map.next_value()?;
                    match key.as_ref() {
                        "content" => shape.content_is_list = Some(value.is_list),
                        "structuredContent" => shape.has_structured_content = true,
                        "resultType" => shape.has_result_type = true,
                        _ => {}
                    }
                }
                Ok(shape)
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;
        impl<'de> Visitor<'de> for Anything {
            type Value = Readable;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_i64<E>(self, _: i64) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_u64<E>(self, _: u64) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_f64<E>(self, _: f64) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_str<E>(self, _: &str) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_unit<E>(self) -> Result<Readable, E> {
                Ok(Readable { is_list: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Readable, A::Error> {
                while items.next_element::<Readable>()?.is_some() {}
                Ok(Readable { is_list: true })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Readable, A::Error> {
                while map.next_entry::<Readable, Readable>()?.is_some() {}
                Ok(Readable { is_list: false })
            }
        }
        deserializer.deserialize_any(Anything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(json: &str) -> Result<ResultShape, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn sees_what_a_reader_relies_on() {
        let whole = shape(
            r#"{"content": [{"type": "text", "text": "é𝄞\u00e9"}], "isError": false, "_meta": {"a": [1, -2.5e3, null]}}"#,
        );
        assert_eq!(whole, Ok(ResultShape { content_is_list: Some(true), ..ResultShape::default() }));
        let structured = shape(r#"{"structuredContent": null, "resultType": "complete"}"#);
        let wanted = ResultShape { content_is_list: None, has_structured_content: true, has_result_type: true };
        assert_eq!(structured, Ok(wanted));
        assert_eq!(shape(r#"{"content": "text"}"#).unwrap().content_is_list, Some(false));
    }

    #[test]
    fn refuses_what_strict_parsers_refuse() {
        for bad in [r#"{"a": "\ud83d"}"#, r#"{"a": 1e400}"#, r#"{"\udc00": 1}"#, "[]", "null", "7"] {
            assert!(shape(bad).is_err(), "{bad}");
        }
    }
}
