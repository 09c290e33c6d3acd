//! Waiting for a server that comes up: with progress for whoever asked for it, and never longer than callers put up with.

use std::sync::{Arc, Mutex, PoisonError};

use perennial_sdk::{Error, ErrorCode, Progress, Result};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::Call;
use crate::{catalog::Server, launch::Instance, mcp::ProgressSink};

/// Passes progress on to one caller.
pub(super) struct Reports {
    sink: ProgressSink,
    last: Mutex<f64>,
}

/// Nothing was heard of a server for as long as callers put up with.
pub(super) struct OutOfPatience;

impl Reports {
    pub(super) fn to(sink: ProgressSink) -> Self {
        Self { sink, last: Mutex::new(-2.0) }
    }

    /// MCP wants every report of a call to be higher than the one before.
    pub(super) fn send(&self, step: &Progress) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let room = step.total.map_or(1.0, |total| (total - *last).max(0.0));
        *last = if step.done > *last { step.done } else { *last + room / 1000.0 };
        (self.sink)(params(&Progress { done: *last, ..step.clone() }));
    }
}

/// Waits until a server has come up for the first time, with its progress on the way.
pub(super) async fn settled(call: &Call, server: &Server) -> Result<Result<Arc<Instance>>, OutOfPatience> {
    wait(call, server, |step| step, server.settled()).await
}

async fn wait<T>(
    call: &Call,
    server: &Server,
    told: fn(Progress) -> Progress,
    work: impl Future<Output = T>,
) -> Result<T, OutOfPatience> {
    let work = timeout(call.host.settings.get().patience, work);
    let Some(sink) = &call.progress else { return work.await.map_err(|_| OutOfPatience) };
    let (reports, mut progress) = (Reports::to(sink.clone()), server.progress());
    // a build that somebody else began has told something already
    progress.mark_changed();
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done.map_err(|_| OutOfPatience),
            Ok(()) = progress.changed() => {
                let step = progress.borrow_and_update().clone();
                if let Some(step) = step {
                    reports.send(&told(step));
                }
            }
        }
    }
}

/// The running instance of a server, started again first if its process is gone.
///
/// # Errors
/// Why it does not come up; `unavailable` when that takes too long to wait for, while it goes on to come up.
pub(super) async fn ready(call: &Call, server: &Arc<Server>) -> Result<Arc<Instance>> {
    // below zero: what the called tool reports begins there
    let ahead = |step: Progress| Progress { done: step.done / step.total.unwrap_or(100.0) - 1.0, total: None, ..step };
    match wait(call, server, ahead, server.ready()).await {
        Ok(ready) => ready,
        Err(OutOfPatience) => {
            let message = format!("server `{}` is not up yet ({})", server.id, doing(server));
            Err(Error::new(ErrorCode::Unavailable, message)
                .hint("it goes on to come up: `get-server` tells how far it is; call again when its state is `ready`"))
        }
    }
}

/// What a server that comes up is doing.
pub(super) fn doing(server: &Server) -> String {
    server.progress().borrow().as_ref().map_or_else(|| "starting".into(), |step| step.message.clone())
}

/// Progress as MCP's `notifications/progress` has it, without the token.
fn params(step: &Progress) -> Map<String, Value> {
    let mut params = Map::new();
    params.insert("progress".into(), step.done.into());
    if let Some(total) = step.total {
        params.insert("total".into(), total.into());
    }
    params.insert("message".into(), step.message.clone().into());
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_only_ever_grow() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let kept = sent.clone();
        let reports = Reports::to(Arc::new(move |params: Map<String, Value>| {
            kept.lock().unwrap().push(params["progress"].as_f64().unwrap());
        }));
        for done in [0.0, 0.0, 15.0, 3.0, 3.0, 99.0, 100.0, 100.0] {
            reports.send(&Progress { done, total: Some(100.0), message: String::new() });
        }
        let sent = sent.lock().unwrap();
        assert!(sent[..7].windows(2).all(|pair| pair[0] < pair[1]) && sent[7] <= 100.0, "{sent:?}");
    }
}
