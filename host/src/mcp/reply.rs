//! What a tool answers.

use perennial_sdk::{Error, ErrorCode};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use super::Passed;
use crate::secrets;

/// The answer of any tool.
#[derive(Debug)]
pub enum Reply {
    /// The host's own words.
    Said(Said),
    /// A child's result, passed on untouched.
    Passed(Passed),
    /// A plugin's `CallToolResult`.
    Value(Value),
    /// A child's JSON-RPC error that the client itself has to act on.
    Refused {
        /// JSON-RPC's code.
        code: i32,
        /// The child's words.
        message: String,
        /// What else it sent.
        data: Option<Value>,
    },
}

/// A text for the model and the same facts for programs.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The text.
    pub text: String,
    /// The facts; an object.
    pub facts: Value,
    /// Whether it tells of a failure.
    pub is_error: bool,
}

impl Reply {
    /// The answer without the values that servers of this host were given. A child's own has been read for its own ones
    /// already.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        let Some(redactor) = secrets::known() else { return self };
        match &mut self {
            Self::Said(said) => {
                said.text = redactor.text(&said.text).into_owned();
                redactor.value(&mut said.facts);
            }
            Self::Value(value) => drop(redactor.value(value)),
            Self::Refused { message, data, .. } => {
                *message = redactor.text(message).into_owned();
                if let Some(data) = data {
                    redactor.value(data);
                }
            }
            Self::Passed(_) => {}
        }
        self
    }

    /// The answer as MCP's `CallToolResult`.
    pub fn into_value(self) -> Value {
        match self {
            Self::Said(said) => serde_json::to_value(CallToolResult::from(said)).unwrap_or_default(),
            Self::Passed(passed) => passed.to_value(),
            Self::Value(value) => value,
            Self::Refused { message, .. } => {
                json!({ "content": [{ "type": "text", "text": message }], "isError": true })
            }
        }
    }
}

impl Said {
    /// Good news.
    pub fn new(text: impl Into<String>, facts: Value) -> Self {
        Self { text: text.into(), facts, is_error: false }
    }

    /// Bad news: ``failed to save the server: …``, the hint on a line of its own.
    pub fn failure(doing: &str, error: &Error) -> Self {
        let mut text = format!("failed to {doing}: {error}");
        for (key, title) in
            [("log", "what it wrote to standard error"), ("stray", "what it printed on standard output")]
        {
            match error.data.get(key).and_then(Value::as_str) {
                Some(lines) if !lines.trim().is_empty() => text.push_str(&format!("\n\n--- {title} ---\n{lines}")),
                _ => {}
            }
        }
        if let Some(hint) = &error.hint {
            text.push_str("\n\n");
            text.push_str(hint);
        }
        let mut facts = json!({ "error": { "code": error.code, "message": error.to_string() } });
        let fields = &mut facts["error"];
        if let Some(hint) = &error.hint {
            fields["hint"] = hint.as_str().into();
        }
        if error.retryable || error.code == ErrorCode::Conflict {
            fields["retryable"] = error.retryable.into();
        }
        if !error.data.is_null() {
            fields["data"] = error.data.clone();
        }
        Self { text, facts, is_error: true }
    }
}

impl From<Said> for Reply {
    fn from(said: Said) -> Self {
        Self::Said(said)
    }
}

impl From<Said> for CallToolResult {
    fn from(said: Said) -> Self {
        let content = vec![ContentBlock::text(said.text)];
        let mut result = if said.is_error { Self::error(content) } else { Self::success(content) };
        result.structured_content = said.facts.is_object().then_some(said.facts);
        result
    }
}
