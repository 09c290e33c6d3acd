//! The way of a request: who may ask, how much, for what; then rmcp.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use rmcp::transport::streamable_http_server::{StreamableHttpService, session::local::LocalSessionManager};
use serde_json::{json, value::RawValue};
use tokio::time::timeout;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    super::{answered::wrapped, envelope::Envelope, server::Server},
    answers::{self, Answer, SESSION, refused},
    exchange::{Exchange, Parked},
    origins::Origins,
    sessions::{Sessions, Visit},
    splice::{Spliced, spliced},
};
use crate::tokens::{Keyring, TokenName};

/// Where MCP is spoken.
pub(super) const PATH: &str = "/mcp";

/// How long a client may take to send a request that has begun.
const SENDING: Duration = Duration::from_secs(60);

/// What every request goes through.
pub(super) struct Gate {
    pub(super) origins: Origins,
    /// None when everybody who reaches this address may ask.
    pub(super) keyring: Option<Arc<Keyring>>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) rmcp: StreamableHttpService<Server, LocalSessionManager>,
    pub(super) body_bytes: usize,
    /// What is to be answered before the host ends.
    pub(super) asked: TaskTracker,
    pub(super) ending: AtomicBool,
}

/// Held until an answer is out.
struct Held {
    _asked: Option<TaskTrackerToken>,
    _visit: Option<Visit>,
}

impl Gate {
    /// The answer to a request; `let_in` hears that whoever sent it may ask.
    pub(super) async fn answer(&self, request: Request<Incoming>, let_in: impl FnOnce()) -> Answer {
        let ending = self.ending.load(Ordering::SeqCst);
        match request.uri().path() {
            "/healthz" => return health(request.method(), ending),
            PATH | "/mcp/" => {}
            _ => {
                return refused(
                    StatusCode::NOT_FOUND,
                    -32601,
                    format!("there is nothing here: MCP is spoken at `{PATH}`"),
                );
            }
        }
        let origin = match self.origins.check(request.uri(), request.headers()) {
            Ok(origin) => origin.map(str::to_owned),
            Err(why) => return refused(StatusCode::FORBIDDEN, -32000, why),
        };
        let mut answer = match (request.method(), &origin) {
            (&Method::OPTIONS, Some(_)) => answers::preflight(),
            _ if ending => answers::ending(),
            _ => match self.holder(&request) {
                Ok(token) => {
                    let_in();
                    self.let_in(request, token).await
                }
                Err(answer) => answer,
            },
        };
        if let Some(origin) = origin {
            answers::readable_by(&origin, answer.headers_mut());
        }
        answer
    }

    /// Whose token came with the request; none when none is needed.
    fn holder(&self, request: &Request<Incoming>) -> Result<Option<TokenName>, Answer> {
        let Some(keyring) = &self.keyring else { return Ok(None) };
        let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
        let token = match (given.next(), given.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|value| value.split_once(' ')),
            (None, _) => return Err(answers::unauthorised(false)),
            _ => None,
        };
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let holder = token.and_then(|token| keyring.holder(token.as_bytes()));
        holder.map(Some).ok_or_else(|| answers::unauthorised(true))
    }

    async fn let_in(&self, request: Request<Incoming>, token: Option<TokenName>) -> Answer {
        let session = request.headers().get(&SESSION).and_then(|id| id.to_str().ok()).map(str::to_owned);
        let visit = match &session {
            None => None,
            Some(id) => match self.sessions.enter(id, token.as_ref()) {
                Some(visit) => Some(visit),
                None => {
                    return refused(
                        StatusCode::NOT_FOUND,
                        -32001,
                        "there is no such session: begin a new one with `initialize`",
                    );
                }
            },
        };
        let asked = self.asked.token();
        let (mut head, body) = request.into_parts();
        let (body, method) = match head.method {
            Method::POST => match self.message(body, head.headers.get(header::CONTENT_LENGTH)).await {
                Ok((body, method)) => (body, method),
                Err(answer) => return answer,
            },
            _ => (Bytes::new(), String::new()),
        };
        let begins = method == "initialize" && session.is_none();
        if begins && !self.sessions.has_room().await {
            let mut answer =
                refused(StatusCode::SERVICE_UNAVAILABLE, -32000, "there are too many sessions (`[http] sessions`)");
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
            return answer;
        }
        let parked = visit.as_ref().map(|visit| visit.parked.clone()).unwrap_or_default();
        // nothing behind the gate has to know it
        head.headers.remove(header::AUTHORIZATION);
        head.extensions.insert(Exchange { token: token.clone(), parked: parked.clone() });
        let ends = (head.method == Method::DELETE).then_some(session).flatten();
        // streams that stay open for what may happen are not worth waiting for
        let waited = head.method == Method::POST && method != "subscriptions/listen";
        let is_json = is_json(&head.headers);
        let answer = self.rmcp.handle(Request::from_parts(head, Full::new(body))).await;
        // rmcp says so of JSON, too, that is no message of MCP
        if answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE && is_json {
            let why = match method.as_str() {
                "" => "neither a request nor an answer: `method` is missing".to_owned(),
                method => format!("the parameters of `{method}` do not fit"),
            };
            return refused(StatusCode::BAD_REQUEST, if method.is_empty() { -32600 } else { -32602 }, why);
        }
        if let Some(id) = ends {
            self.sessions.end(&id).await;
        }
        if let (true, Some(id)) = (begins, answer.headers().get(&SESSION).and_then(|id| id.to_str().ok())) {
            self.sessions.begun(id, token);
        }
        whole(answer, parked, Held { _asked: waited.then_some(asked), _visit: visit }).await
    }

    /// The body of a request and the method in it; JSON for sure, and one message.
    async fn message(&self, body: Incoming, length: Option<&HeaderValue>) -> Result<(Bytes, String), Answer> {
        let too_long = || {
            let why = format!("a request above the limit of {} bytes (`[http] body_mb`)", self.body_bytes);
            refused(StatusCode::PAYLOAD_TOO_LARGE, -32600, why)
        };
        let announced = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.body_bytes as u64) {
            return Err(too_long());
        }
        let body = match timeout(SENDING, Limited::new(body, self.body_bytes).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_long()),
            Ok(Err(_)) => return Err(refused(StatusCode::BAD_REQUEST, -32600, "the request broke off")),
            Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, -32600, "the request took too long to come")),
        };
        let bad = |code, why: String| Err(refused(StatusCode::BAD_REQUEST, code, why));
        match Envelope::parse(&body) {
            // the parts of a message could be read from an array, too
            Ok(envelope) if body.trim_ascii_start().starts_with(b"{") => {
                let method = envelope.method.map(std::borrow::Cow::into_owned).unwrap_or_default();
                let answer = if method.is_empty() { wrapped(&body) } else { None };
                Ok((answer.unwrap_or(body), method))
            }
            _ if serde_json::from_slice::<Vec<&RawValue>>(&body).is_ok() => {
                bad(-32600, "batches are not part of MCP: send one message a request".into())
            }
            Ok(_) => bad(-32600, "not a JSON-RPC message".into()),
            Err(error) if error.is_data() => bad(-32600, format!("not a JSON-RPC message: {error}")),
            Err(error) => bad(-32700, format!("not JSON: {error}")),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The answer with the results that were parked for it.
async fn whole(answer: Answer, parked: Parked, held: Held) -> Answer {
    let of_type = |wanted: &[u8]| {
        answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(wanted))
    };
    if of_type(b"text/event-stream") {
        return answer.map(|events| Spliced::new(events, parked, held).boxed());
    }
    if parked.is_empty() {
        return answer;
    }
    let (head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(never) => match never {},
    };
    let body = spliced(&body, &parked).unwrap_or(body);
    Answer::from_parts(head, answers::whole(body))
}

/// For those who watch over the process: no more than whether it is there.
fn health(method: &Method, ending: bool) -> Answer {
    match (method, ending) {
        (&Method::GET | &Method::HEAD, false) => answers::of_json(StatusCode::OK, &json!({ "status": "ok" })),
        (&Method::GET | &Method::HEAD, true) => {
            answers::of_json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "ending" }))
        }
        _ => refused(StatusCode::METHOD_NOT_ALLOWED, -32600, "`GET` alone"),
    }
}
