//! Work for a client that opened its session by `initialize`, which takes requests of ours while it waits.

use std::pin::pin;

use futures_channel::mpsc;
use futures_util::{StreamExt, stream::FuturesUnordered};
use rmcp::{
    Peer, RoleServer,
    model::{CustomRequest, ErrorCode, ErrorData, ServerRequest},
    service::{PeerRequestOptions, RequestHandle, ServiceError},
};
use serde_json::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    answered::unwrapped,
    questions::{PATIENCE, Question},
};

/// Cancels a request of ours that nobody waits for any more.
struct Unanswered(Option<RequestHandle<RoleServer>>);

/// Does the work, and asks the client meanwhile what is to be asked. What is still open when the work is done is cancelled.
///
/// It must run in the task of the client's own request: over HTTP that is how questions find their way.
pub(super) async fn attend<T>(
    peer: &Peer<RoleServer>,
    questions: &mut mpsc::UnboundedReceiver<Question>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let mut asking = FuturesUnordered::new();
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(question) = questions.next() => asking.push(put(peer, question)),
            Some(()) = asking.next() => {}
        }
    }
}

/// Asks the client.
///
/// # Errors
/// What the client answers; that it did not.
async fn ask(
    peer: &Peer<RoleServer>,
    method: &str,
    params: Option<Value>,
    withdrawn: &CancellationToken,
) -> Result<Value, ErrorData> {
    let failed = |why: String| ErrorData::new(ErrorCode::INTERNAL_ERROR, why, None);
    // as it is: rmcp's types would drop what they do not know
    let request = ServerRequest::CustomRequest(CustomRequest::new(method, params));
    let sent = peer.send_request_with_option(request, PeerRequestOptions::no_options()).await;
    let mut asked = Unanswered(Some(sent.map_err(|error| refused(error, failed))?));
    let Some(handle) = &mut asked.0 else { return Err(failed("nothing was asked".into())) };
    let answer = tokio::select! {
        answer = timeout(PATIENCE, &mut handle.rx) => answer,
        () = withdrawn.cancelled() => return Err(failed("the request was cancelled".into())),
    };
    let Ok(answer) = answer else {
        return Err(failed(format!("the client gave no answer within {} s", PATIENCE.as_secs())));
    };
    asked.0 = None;
    match answer {
        Ok(Ok(result)) => serde_json::to_value(result).map(unwrapped).map_err(|error| failed(error.to_string())),
        Ok(Err(error)) => Err(refused(error, failed)),
        Err(_) => Err(failed("the client is gone".into())),
    }
}

async fn put(peer: &Peer<RoleServer>, mut question: Question) {
    let (method, params) = (question.method, question.params.take());
    let withdrawn = question.withdrawn.clone();
    let answer = ask(peer, method, params, &withdrawn).await;
    question.answer(answer);
}

fn refused(error: ServiceError, failed: impl Fn(String) -> ErrorData) -> ErrorData {
    match error {
        ServiceError::McpError(error) => error,
        other => failed(format!("the client cannot be asked: {other}")),
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(handle) = self.0.take() {
            tokio::spawn(async move { handle.cancel(Some("nobody waits for it any more".into())).await });
        }
    }
}
