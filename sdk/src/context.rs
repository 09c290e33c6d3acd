use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// What a call knows of its caller: how long it may take, whether it is still wanted, and where progress goes.
///
/// Cheap to clone. A deadline is kept as a duration from now, never as a time of day: a clock set back must not matter.
#[derive(Clone)]
pub struct Cx {
    deadline: Option<Instant>,
    cancelled: watch::Receiver<bool>,
    progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// How far a call is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Grows with every report of one call.
    pub done: f64,
    /// What `done` will be at the end, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// What is happening, for people.
    #[serde(default)]
    pub message: String,
}

impl Cx {
    /// A context that nobody cancels, without a deadline and with nobody listening.
    pub fn detached() -> Self {
        Self { deadline: None, cancelled: watch::channel(false).1, progress: None }
    }

    /// Ends the call `timeout` from now.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        let new = Instant::now() + timeout;
        self.deadline = Some(self.deadline.map_or(new, |old| old.min(new)));
        self
    }

    /// Becomes cancelled when `cancelled` turns true.
    #[must_use]
    pub fn with_cancel(mut self, cancelled: watch::Receiver<bool>) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Sends every progress report to `sink`.
    #[must_use]
    pub fn with_progress(mut self, sink: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(sink));
        self
    }

    /// What is left of the time that the caller gave.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether the caller has given up.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Waits until the caller gives up; never, when it cannot.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        if cancelled.wait_for(|now| *now).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells the caller how far this is.
    pub fn progress(&self, done: f64, total: Option<f64>, message: impl Into<String>) {
        if let Some(sink) = &self.progress {
            sink(Progress { done, total, message: message.into() });
        }
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("remaining", &self.remaining()).field("cancelled", &self.is_cancelled()).finish()
    }
}
