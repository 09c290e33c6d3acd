use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The result of every plugin call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in a form that crosses every plugin boundary.
///
/// `message` is a lowercase fragment that fits after "failed to …: " and names the thing in backticks; `hint` says what
/// to do next. Like `anyhow::Error` it does not implement [`std::error::Error`], so that `?` takes any error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Error {
    /// The kind, for programs.
    pub code: ErrorCode,
    /// The sentence, for people and models.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the same call may succeed later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
    /// Facts for programs, such as `{"current": 7}` on a conflict.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
    /// The causes below this error, outermost first, as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
}

/// The kind of an [`Error`]; codes unknown to this SDK are kept as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// There is no such thing.
    NotFound,
    /// Somebody else was there first; `data.current` tells where things stand.
    Conflict,
    /// The input cannot be used.
    Invalid,
    /// The plugin cannot do this.
    Unsupported,
    /// A thing outside is missing or does not answer.
    Unavailable,
    /// A policy or a permission forbids it.
    Denied,
    /// The deadline passed.
    Timeout,
    /// The caller gave up.
    Cancelled,
    /// A defect.
    Internal,
    /// A code of a newer or foreign plugin.
    #[serde(untagged)]
    Other(String),
}

impl Error {
    /// An error of any kind. `unavailable` and `timeout` are retryable.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let retryable = matches!(code, ErrorCode::Unavailable | ErrorCode::Timeout);
        Self { code, message: message.into(), hint: None, retryable, data: Value::Null, source: Vec::new() }
    }

    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The input cannot be used.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// The plugin cannot do this.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unsupported, message)
    }

    /// A thing outside is missing or does not answer; the same call may succeed later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// A defect.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// Somebody else wrote `id` first; `current` is its newest version.
    pub fn conflict(message: impl Into<String>, current: Option<u64>) -> Self {
        let mut error = Self::new(ErrorCode::Conflict, message);
        error.data = serde_json::json!({ "current": current });
        error
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps `cause` and everything below it.
    #[must_use]
    pub fn caused_by(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        self.source.extend(chain(cause));
        self
    }

    /// Puts what was being done in front, and keeps the rest: ``failed to read `a`: no such file``.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.source.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        use std::io::ErrorKind;
        let code = match (&error as &dyn std::any::Any).downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(ErrorKind::NotFound) => ErrorCode::NotFound,
            Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => ErrorCode::Denied,
            Some(ErrorKind::TimedOut) => ErrorCode::Timeout,
            Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => ErrorCode::Unavailable,
            _ => ErrorCode::Internal,
        };
        let mut causes = chain(&error);
        let message = causes.remove(0);
        Self { source: causes, ..Self::new(code, message) }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect()
}
