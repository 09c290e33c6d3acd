//! What goes past rmcp to the client: results that nobody decodes, and what is told beside a call, in front of its result.

use std::sync::Arc;

use bytes::Bytes;
use rmcp::{RoleServer, model::ServerNotification, service::RequestContext};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Passed, calls::ProgressSink, http::Exchange, outbox::Outbox, upstream::InFlight};

/// The way past rmcp.
pub(super) enum Past {
    /// The lines of a wire that is this session's alone.
    Wire { outbox: Outbox, in_flight: InFlight },
    /// The answer to the HTTP request that carried the call.
    Http,
}

/// What is told beside one call, until that is answered.
pub(super) struct Aside {
    way: Way,
    answered: CancellationToken,
    progress_token: Option<Value>,
}

#[derive(Clone)]
enum Way {
    Lines(Outbox),
    Queue(mpsc::Sender<Item>),
}

enum Item {
    Notification(Box<ServerNotification>),
    /// Everything before it has been sent.
    Flushed(oneshot::Sender<()>),
}

/// Notifications that wait to be sent; what comes beyond them is left out.
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

    /// What is told beside this request.
    pub(super) fn aside(&self, context: &RequestContext<RoleServer>) -> Aside {
        let way = match self {
            Self::Wire { outbox, .. } => Way::Lines(outbox.clone()),
            Self::Http => {
                let (queue, mut items) = mpsc::channel(MOST_WAITING);
                let peer = context.peer.clone();
                tokio::spawn(async move {
                    while let Some(item) = items.recv().await {
                        match item {
                            Item::Notification(notification) => drop(peer.send_notification(*notification).await),
                            Item::Flushed(done) => drop(done.send(())),
                        }
                    }
                });
                Way::Queue(queue)
            }
        };
        let token = context.meta.get_progress_token();
        let progress_token = token.and_then(|token| serde_json::to_value(token).ok());
        Aside { way, answered: context.ct.clone(), progress_token }
    }
}

impl Aside {
    /// Takes the `params` of progress notifications, when the client asked for them.
    pub(super) fn progress(&self) -> Option<ProgressSink> {
        let (token, sink) = (self.progress_token.clone()?, self.sink("notifications/progress"));
        Some(Arc::new(move |mut params| {
            params.insert("progressToken".into(), token.clone());
            sink(params);
        }))
    }

    /// Takes the `params` of such notifications.
    pub(super) fn sink(&self, method: &'static str) -> ProgressSink {
        let (way, answered) = (self.way.clone(), self.answered.clone());
        Arc::new(move |params: Map<String, Value>| {
            if answered.is_cancelled() {
                return;
            }
            match &way {
                Way::Lines(outbox) => {
                    let line = json!({ "jsonrpc": "2.0", "method": method, "params": params });
                    outbox.try_send(Bytes::from(format!("{line}\n")));
                }
                Way::Queue(queue) => {
                    if let Ok(notification) = serde_json::from_value(json!({ "method": method, "params": params })) {
                        let _ = queue.try_send(Item::Notification(Box::new(notification)));
                    }
                }
            }
        })
    }

    /// Waits until what was told so far is in front of whatever is answered next.
    pub(super) async fn flushed(self) {
        let Way::Queue(queue) = self.way else { return };
        let (done, flushed) = oneshot::channel();
        if queue.send(Item::Flushed(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}
