//! Errors as JSON-RPC has them, for plugins out of process.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorCode};

/// The `error` of a JSON-RPC answer. `data` holds the kind, what to do next, and the facts, side by side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RpcError {
    /// 1 for errors of a plugin; the others are JSON-RPC's own.
    pub code: i64,
    /// The sentence.
    #[serde(default)]
    pub message: String,
    /// See [`RpcError`].
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl RpcError {
    /// JSON-RPC's code for a method that is not there.
    pub const NO_METHOD: i64 = -32601;
    const PLUGIN: i64 = 1;
}

impl From<Error> for RpcError {
    fn from(error: Error) -> Self {
        let Error { code, message, hint, retryable, data, source } = error;
        let mut facts = match data {
            Value::Object(facts) => facts,
            Value::Null => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        facts.insert("code".into(), serde_json::to_value(code).unwrap_or_default());
        if let Some(hint) = hint {
            facts.insert("hint".into(), hint.into());
        }
        if retryable {
            facts.insert("retryable".into(), true.into());
        }
        if !source.is_empty() {
            facts.insert("source".into(), source.into());
        }
        Self { code: Self::PLUGIN, message, data: facts.into() }
    }
}

impl From<RpcError> for Error {
    fn from(error: RpcError) -> Self {
        let RpcError { code, message, data } = error;
        let mut facts = match data {
            Value::Object(facts) => facts,
            other if other == Value::Null || other == "" => Map::new(),
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        let kind = match (facts.shift_remove("code"), code) {
            (Some(Value::String(kind)), _) => serde_json::from_value(kind.into()).unwrap_or(ErrorCode::Internal),
            (_, RpcError::NO_METHOD) => ErrorCode::Unsupported,
            (_, -32600 | -32602) => ErrorCode::Invalid,
            _ => ErrorCode::Internal,
        };
        let mut error = Error::new(kind, if message.is_empty() { "the plugin failed".into() } else { message });
        if let Some(Value::String(hint)) = facts.shift_remove("hint") {
            error.hint = Some(hint);
        }
        if let Some(Value::Bool(retryable)) = facts.shift_remove("retryable") {
            error.retryable = retryable;
        }
        if let Some(source) = facts.shift_remove("source") {
            error.source = serde_json::from_value(source).unwrap_or_default();
        }
        if !facts.is_empty() {
            error.data = facts.into();
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_survives_the_way() {
        let mut error = Error::conflict("somebody was first", Some(7)).hint("read it again");
        error.retryable = true;
        error.source = vec!["a cause".into()];
        let rpc = RpcError::from(error.clone());
        assert_eq!(rpc.data["current"], 7);
        assert_eq!(Error::from(rpc), error);
    }

    #[test]
    fn what_other_languages_send_is_understood() {
        let parse = |value: Value| Error::from(serde_json::from_value::<RpcError>(value).unwrap());
        assert_eq!(parse(json!({ "code": -32601, "message": "no" })).code, ErrorCode::Unsupported);
        let odd = parse(json!({ "code": 1, "message": "m", "data": { "code": "quota", "retryable": true } }));
        assert_eq!((odd.code, odd.retryable, odd.data), (ErrorCode::Other("quota".into()), true, Value::Null));
        assert_eq!(parse(json!({ "code": 5, "data": [1] })).code, ErrorCode::Internal);
    }
}
