//! What a client answers to a request of the host over HTTP, where rmcp reads it: its types would drop what they do not know.

use bytes::Bytes;
use serde_json::{Value, json};

/// The only member of a result that holds another. No result of MCP has it, so that rmcp leaves it as it is.
const WHOLE: &str = "perennial/whole";

/// The message with its result inside another; none when it has no result.
pub(super) fn wrapped(message: &[u8]) -> Option<Bytes> {
    let mut message: Value = serde_json::from_slice(message).ok()?;
    let result = message.get_mut("result")?;
    *result = json!({ WHOLE: result.take() });
    Some(message.to_string().into())
}

/// The result that was inside; by a wire it comes as it is.
pub(super) fn unwrapped(mut result: Value) -> Value {
    let inside = result.as_object_mut().filter(|members| members.len() == 1).and_then(|members| members.remove(WHOLE));
    inside.unwrap_or(result)
}
