//! One JSON-RPC message, split into its parts without reading them.

use std::{borrow::Cow, io};

use bytes::Bytes;
use rmcp::model::RequestId;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The parts of a JSON-RPC 2.0 message, each as it stands on the line.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, default)]
    pub(super) jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) error: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence: `"result": null` is an answer, `"id": null` is no notification.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The line without a byte order mark and the space around it.
pub(super) fn trimmed(line: &Bytes) -> Bytes {
    let text = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    line.slice_ref(text.trim_ascii())
}

/// A message as a line of its own.
pub(super) fn to_line(message: &impl serde::Serialize) -> io::Result<Bytes> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line.into())
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(line: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The id where it is one that MCP allows: a string or an integer.
    pub(super) fn request_id(&self) -> Option<RequestId> {
        serde_json::from_str(self.id?.get()).ok()
    }

    /// The id as an integer, however the peer spelled it: `7`, `7.0` or `"7"`.
    pub(super) fn lenient_id(&self) -> Option<i64> {
        let text = self.id?.get().trim_matches('"');
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
        text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
    }
}
