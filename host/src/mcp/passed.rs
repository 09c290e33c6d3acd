//! Results that only pass through: the bytes that the child sent are the bytes that the client gets.

use std::{borrow::Cow, collections::HashMap};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};

use crate::secrets::Redactor;

/// A `CallToolResult` as it stood on the child's line, known to be a JSON object.
#[derive(Debug, Clone)]
pub struct Passed(Bytes);

const RESULT_TYPE: (&str, &str) = ("resultType", "\"complete\"");

impl Passed {
    pub(super) fn new(object: Bytes) -> Self {
        Self(object)
    }

    /// The result's JSON.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The result as a value, for callers that look into it.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// The result without the values that its server was given. It costs a look at every byte.
    #[must_use]
    pub fn redacted(self, redactor: &Redactor) -> Self {
        Self(redactor.json(self.0))
    }

    /// Whether it tells of a failure. Only one that may is decoded.
    pub fn is_error(&self) -> bool {
        #[derive(Deserialize)]
        struct Failed {
            #[serde(default, rename = "isError")]
            is_error: bool,
        }
        memchr::memmem::find(&self.0, b"isError").is_some()
            && serde_json::from_slice::<Failed>(&self.0).is_ok_and(|failed| failed.is_error)
    }

    /// The result with a further text at its end.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        let Value::Object(mut result) = self.to_value() else { return self };
        match result.get_mut("content") {
            Some(Value::Array(content)) => content.push(json!({ "type": "text", "text": text })),
            _ => return self,
        }
        serde_json::to_vec(&result).map_or(self, |bytes| Self(bytes.into()))
    }

    /// Protocol 2026-07-28 requires `resultType` on every result; older children do not send one.
    pub(super) fn with_result_type(self) -> Self {
        self.with_missing(&[RESULT_TYPE])
    }

    /// It requires more of results that clients may keep: here they may not, since nobody tells how long they hold.
    pub(super) fn cacheable(self) -> Self {
        self.with_missing(&[RESULT_TYPE, ("ttlMs", "0"), ("cacheScope", "\"private\"")])
    }

    /// The result with those of these members that it does not have.
    fn with_missing(self, members: &[(&str, &str)]) -> Self {
        let there = serde_json::from_slice::<HashMap<Cow<'_, str>, IgnoredAny>>(&self.0).unwrap_or_default();
        let missing = members.iter().filter(|(name, _)| !there.contains_key(*name));
        let missing = missing.map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",");
        if missing.is_empty() {
            return self;
        }
        let rest = self.0[1..].trim_ascii_start();
        let mut bytes = BytesMut::with_capacity(self.0.len() + missing.len() + 2);
        bytes.put_u8(b'{');
        bytes.put_slice(missing.as_bytes());
        if rest != b"}" {
            bytes.put_u8(b',');
        }
        bytes.put_slice(rest);
        Self(bytes.freeze())
    }
}
