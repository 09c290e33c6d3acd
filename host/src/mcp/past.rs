//! What goes past rmcp to the client: results that nobody decodes, and progress that stays in front of them.

use std::sync::Arc;

use bytes::Bytes;
use rmcp::{RoleServer, model::ProgressNotificationParam, service::RequestContext};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{Passed, calls::ProgressSink, http::Exchange, outbox::Outbox, upstream::InFlight};

/// The way past rmcp.
pub(super) enum Past {
    /// The lines of a wire that is this session's alone.
    Wire { outbox: Outbox, in_flight: InFlight },
    /// The answer to the HTTP request that carried the call.
    Http,
}

/// Progress of one call, on its way to the client.
pub(super) struct Reports {
    sink: ProgressSink,
    queue: Option<mpsc::Sender<Report>>,
}

enum Report {
    Progress(Box<ProgressNotificationParam>),
    /// Everything before it has been sent.
    Flushed(oneshot::Sender<()>),
}

/// Reports that wait to be sent; what comes beyond them is left out.
const MOST_WAITING: usize = 256;

impl Past {
    /// Lets `passed` be the answer to this request, whatever rmcp is given as one. A request that nobody waits for any
    /// more gets none.
    pub(super) fn park(&self, context: &RequestContext<RoleServer>, passed: Passed) {
        match self {
            Self::Wire { in_flight, .. } => drop(in_flight.park(&context.id, passed)),
            Self::Http => {
                if let Some(exchange) = Exchange::of(&context.extensions) {
                    exchange.parked.park(context.id.clone(), passed);
                }
            }
        }
    }

    /// Takes the progress of this request, when its client asked for it.
    pub(super) fn reports(&self, context: &RequestContext<RoleServer>) -> Option<Reports> {
        let token = serde_json::to_value(context.meta.get_progress_token()?).ok()?;
        let answered = context.ct.clone();
        Some(match self {
            Self::Wire { outbox, .. } => {
                let outbox = outbox.clone();
                let sink: ProgressSink = Arc::new(move |mut params: Map<String, Value>| {
                    if answered.is_cancelled() {
                        return;
                    }
                    params.insert("progressToken".into(), token.clone());
                    let line = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
                    outbox.try_send(Bytes::from(format!("{line}\n")));
                });
                Reports { sink, queue: None }
            }
            Self::Http => {
                let (queue, mut reports) = mpsc::channel(MOST_WAITING);
                let peer = context.peer.clone();
                tokio::spawn(async move {
                    while let Some(report) = reports.recv().await {
                        match report {
                            Report::Progress(params) => drop(peer.notify_progress(*params).await),
                            Report::Flushed(done) => drop(done.send(())),
                        }
                    }
                });
                let waiting = queue.clone();
                let sink: ProgressSink = Arc::new(move |mut params: Map<String, Value>| {
                    params.insert("progressToken".into(), token.clone());
                    let params = serde_json::from_value(Value::Object(params));
                    if let (false, Ok(params)) = (answered.is_cancelled(), params) {
                        let _ = waiting.try_send(Report::Progress(params));
                    }
                });
                Reports { sink, queue: Some(queue) }
            }
        })
    }
}

impl Reports {
    /// What takes the `params` of a progress notification.
    pub(super) fn sink(&self) -> ProgressSink {
        self.sink.clone()
    }

    /// Waits until what was reported so far is in front of whatever is answered next.
    pub(super) async fn flushed(self) {
        let Some(queue) = self.queue else { return };
        let (done, flushed) = oneshot::channel();
        if queue.send(Report::Flushed(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}
