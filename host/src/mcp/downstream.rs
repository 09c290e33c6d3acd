//! A child's side of the wire: rmcp's client transport, tolerant of what servers written by models send.
//!
//! Requests carry ids that no child guesses. An answer is decoded by the method that was asked, or passes through
//! untouched; whatever cannot be used but can be tied to a request fails that request at once; all the rest goes to the
//! ring of stray lines and never to a caller.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use rmcp::{
    RoleClient,
    model::{ClientNotification, ErrorCode, ErrorData, InitializeResult, JsonRpcMessage, RequestId, ServerResult},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tokio::{
    net::unix::pipe,
    sync::{Notify, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    envelope::{Envelope, trimmed},
    lines::{Line, Lines},
    outbox::Outbox,
};
use crate::supervisor::Ring;

/// rmcp's transport to a child.
pub(super) struct Downstream {
    lines: Lines<pipe::Receiver>,
    calls: Calls,
    ready: Vec<RxJsonRpcMessage<RoleClient>>,
}

/// The requests that a child owes an answer.
#[derive(Clone)]
pub(super) struct Calls(Arc<Shared>);

/// What became of a request that went past rmcp.
#[derive(Debug)]
pub(super) enum Answer {
    /// The `result`, as it stood on the line.
    Result(Bytes),
    /// The child's own JSON-RPC error.
    Error(ErrorData),
    /// It sent something that is no answer.
    Unusable(String),
}

/// Takes the `params` of progress notifications.
pub type ProgressSink = Arc<dyn Fn(Map<String, Value>) + Send + Sync>;

/// A request that waits for its answer; dropped early, it is cancelled at the child.
pub(super) struct Waiting {
    id: i64,
    answer: oneshot::Receiver<Answer>,
    calls: Calls,
    answered: bool,
}

struct Shared {
    outbox: Outbox,
    stray: Ring,
    line_limit: usize,
    pending: Mutex<Pending>,
    tools_changed: Notify,
    ended: CancellationToken,
}

#[derive(Default)]
struct Pending {
    next: i64,
    ended: bool,
    requests: HashMap<i64, Asker>,
}

enum Asker {
    Rmcp { id: RequestId, method: String },
    Past { answer: oneshot::Sender<Answer>, progress: Option<ProgressSink> },
}

/// Wire ids start here: children that invent ids invent small ones.
const FIRST_ID: i64 = 1 << 40;

/// How long a child may leave its standard input full before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);

impl Downstream {
    pub(super) fn new(stdin: pipe::Sender, stdout: pipe::Receiver, stray: Ring, line_limit: usize) -> Self {
        let shared = Shared {
            outbox: Outbox::start(stdin, PATIENCE),
            stray,
            line_limit,
            pending: Mutex::default(),
            tools_changed: Notify::new(),
            ended: CancellationToken::new(),
        };
        Self { lines: Lines::new(stdout, line_limit), calls: Calls(Arc::new(shared)), ready: Vec::new() }
    }

    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    fn accept(&mut self, line: &Bytes) {
        let line = trimmed(line);
        if line.is_empty() {
            return;
        }
        // batches were part of MCP for one revision
        if line[0] == b'['
            && let Ok(batch) = serde_json::from_slice::<Vec<&RawValue>>(&line)
        {
            for message in batch {
                match Envelope::parse(message.get().as_bytes()) {
                    Ok(envelope) => self.message(&envelope, &line.slice_ref(message.get().as_bytes())),
                    Err(_) => self.calls.stray(message.get().as_bytes()),
                }
            }
            return;
        }
        match Envelope::parse(&line) {
            Ok(envelope) => self.message(&envelope, &line),
            Err(error) => self.undecodable(&line, &error),
        }
    }

    fn undecodable(&mut self, line: &Bytes, error: &serde_json::Error) {
        // text printed without a newline in front of a message
        if let Some(at) = memchr::memmem::find(line, br#"{"jsonrpc""#).filter(|at| *at > 0)
            && Envelope::parse(&line[at..]).is_ok()
        {
            self.calls.stray(&line[..at]);
            return self.accept(&line.slice(at..));
        }
        let why = format!("the answer is not valid JSON: {error}");
        if !self.calls.fail_mentioned(line, why, &mut self.ready) {
            self.calls.stray(line);
        }
    }

    fn message(&mut self, envelope: &Envelope<'_>, line: &Bytes) {
        if let Some(method) = &envelope.method {
            return self.child_speaks(method, envelope, line);
        }
        if envelope.result.is_none() && envelope.error.is_none() {
            return self.calls.stray(line);
        }
        let Some(asker) = envelope.lenient_id().and_then(|id| self.calls.take(id)) else {
            return self.calls.stray(line);
        };
        // `"error": null` beside a result is a habit from JSON-RPC 1.0
        let error = envelope.error.filter(|error| error.get() != "null").map(lenient_error);
        let result = envelope.result.map_or("null", RawValue::get);
        match (asker, error) {
            (Asker::Past { answer, .. }, Some(error)) => drop(answer.send(Answer::Error(error))),
            (Asker::Past { answer, .. }, None) => {
                let raw =
                    envelope.result.map_or(Bytes::from_static(b"null"), |raw| line.slice_ref(raw.get().as_bytes()));
                let _ = answer.send(Answer::Result(raw));
            }
            (Asker::Rmcp { id, .. }, Some(error)) => self.ready.push(JsonRpcMessage::error(error, Some(id))),
            (Asker::Rmcp { id, method }, None) => self.ready.push(match decode(&method, result) {
                Ok(result) => JsonRpcMessage::response(result, id),
                Err(error) => {
                    let why = format!("the answer to `{method}` does not fit: {error}");
                    JsonRpcMessage::error(ErrorData::internal_error(why, None), Some(id))
                }
            }),
        }
    }

    fn child_speaks(&mut self, method: &str, envelope: &Envelope<'_>, line: &Bytes) {
        match (method, envelope.id) {
            ("notifications/progress", None) => self.calls.progress(envelope.params),
            ("notifications/tools/list_changed", None) => self.calls.0.tools_changed.notify_one(),
            (_, None) => self.ready.extend(serde_json::from_slice(line).ok()),
            (_, Some(id)) => match serde_json::from_slice(line) {
                Ok(request) => self.ready.push(request),
                Err(_) => {
                    let refusal = format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{{\"code\":-32602,\"message\":\"the parameters do not \
                         fit the method\"}}}}\n",
                        id.get()
                    );
                    self.calls.0.outbox.try_send(refusal.into());
                    self.calls.stray(line);
                }
            },
        }
    }
}

impl Transport<RoleClient> for Downstream {
    type Error = io::Error;

    fn send(
        &mut self,
        mut item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        match &mut item {
            JsonRpcMessage::Request(request) => {
                let asker = Asker::Rmcp { id: request.id.clone(), method: request.request.method().to_owned() };
                request.id = RequestId::Number(self.calls.ask(asker).unwrap_or(FIRST_ID));
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &mut notification.notification {
                    let id = cancelled.params.request_id.as_ref().and_then(|id| self.calls.forget(id));
                    cancelled.params.request_id = id.map(RequestId::Number);
                }
            }
            _ => {}
        }
        let outbox = self.calls.0.outbox.clone();
        async move { outbox.send(to_line(&item)?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if !self.ready.is_empty() {
                return Some(self.ready.remove(0));
            }
            let stuck = self.calls.0.outbox.broken();
            let line = tokio::select! {
                line = self.lines.next() => line,
                () = stuck.cancelled() => Ok(None),
            };
            match line {
                Ok(Some(Line::Whole(line))) => self.accept(&line),
                // half an answer is none: the death that cut it off is what the caller must hear of
                Ok(Some(Line::Broken(line))) => match Envelope::parse(&trimmed(&line)) {
                    Ok(_) => self.accept(&line),
                    Err(_) => self.calls.stray(&line),
                },
                Ok(Some(Line::TooLong(start))) => {
                    let why = format!("the answer is longer than the limit of {} bytes", self.calls.0.line_limit);
                    if !self.calls.fail_mentioned(&start, why, &mut self.ready) {
                        self.calls.stray(&start);
                    }
                }
                Ok(None) | Err(_) => {
                    self.calls.end();
                    return None;
                }
            }
        }
    }

    /// The process is the supervisor's to end.
    async fn close(&mut self) -> io::Result<()> {
        self.calls.end();
        Ok(())
    }
}

impl Calls {
    /// Sends a request past rmcp. `params` gets the progress token when somebody listens.
    ///
    /// # Errors
    /// When the child's session has ended.
    pub(super) async fn request(
        &self,
        method: &str,
        mut params: Map<String, Value>,
        progress: Option<ProgressSink>,
    ) -> io::Result<Waiting> {
        let (sender, answer) = oneshot::channel();
        let listened = progress.is_some();
        let id = self.ask(Asker::Past { answer: sender, progress }).ok_or(io::ErrorKind::BrokenPipe)?;
        let waiting = Waiting { id, answer, calls: self.clone(), answered: false };
        if listened {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("progressToken".into(), id.into());
            }
        }
        #[derive(serde::Serialize)]
        struct Request<'a> {
            jsonrpc: &'static str,
            id: i64,
            method: &'a str,
            params: &'a Map<String, Value>,
        }
        let line = to_line(&Request { jsonrpc: "2.0", id, method, params: &params })?;
        self.0.outbox.send(line).await?;
        Ok(waiting)
    }

    /// Closes the child's input and fails what still waits.
    pub(super) fn close(&self) {
        self.0.outbox.close();
        self.end();
    }

    /// Fires when the child closed its output, or takes no input any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    /// Waits for the child to say that its tools changed.
    pub(super) async fn tools_changed(&self) {
        self.0.tools_changed.notified().await;
    }

    fn ask(&self, asker: Asker) -> Option<i64> {
        let mut pending = self.pending();
        if pending.ended {
            return None;
        }
        let id = FIRST_ID + pending.next;
        pending.next += 1;
        pending.requests.insert(id, asker);
        Some(id)
    }

    fn take(&self, id: i64) -> Option<Asker> {
        self.pending().requests.remove(&id)
    }

    fn forget(&self, rmcp_id: &RequestId) -> Option<i64> {
        let mut pending = self.pending();
        let wire = pending.requests.iter().find_map(|(wire, asker)| match asker {
            Asker::Rmcp { id, .. } if id == rmcp_id => Some(*wire),
            _ => None,
        })?;
        pending.requests.remove(&wire);
        Some(wire)
    }

    fn progress(&self, params: Option<&RawValue>) {
        let Some(Ok(params)) = params.map(|raw| serde_json::from_str::<Map<String, Value>>(raw.get())) else { return };
        let token = params.get("progressToken").and_then(Value::as_i64);
        let sink = token.and_then(|id| match self.pending().requests.get(&id) {
            Some(Asker::Past { progress, .. }) => progress.clone(),
            _ => None,
        });
        if let Some(sink) = sink {
            sink(params);
        }
    }

    /// Fails the request whose id a broken line mentions.
    fn fail_mentioned(&self, line: &[u8], why: String, ready: &mut Vec<RxJsonRpcMessage<RoleClient>>) -> bool {
        let mentioned = memchr::memmem::find_iter(line, b"\"id\"").find_map(|at| {
            let rest = line[at + 4..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
            let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let id = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
            self.take(id)
        });
        match mentioned {
            Some(Asker::Past { answer, .. }) => drop(answer.send(Answer::Unusable(why))),
            Some(Asker::Rmcp { id, .. }) => {
                ready.push(JsonRpcMessage::error(ErrorData::internal_error(why, None), Some(id)));
            }
            None => return false,
        }
        true
    }

    /// Forgets every asker; each then sees that its answer will not come.
    fn end(&self) {
        let mut pending = self.pending();
        pending.ended = true;
        pending.requests.clear();
        drop(pending);
        self.0.ended.cancel();
    }

    fn stray(&self, line: &[u8]) {
        self.0.stray.push(line);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().expect("no holder panics")
    }
}

impl Waiting {
    /// The answer; none when the session ended first.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let answer = (&mut self.answer).await.ok();
        self.answered = true;
        answer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered && self.calls.take(self.id).is_some() {
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{}}}}}\n",
                self.id
            );
            self.calls.0.outbox.try_send(line.into());
        }
    }
}

fn to_line(message: &impl serde::Serialize) -> io::Result<Bytes> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line.into())
}

fn lenient_error(raw: &RawValue) -> ErrorData {
    let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let code = value.get("code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
    let message = value.get("message").and_then(Value::as_str).unwrap_or(raw.get()).to_owned();
    let code = code.map_or(ErrorCode::INTERNAL_ERROR, ErrorCode);
    ErrorData::new(code, message, value.get("data").cloned())
}

/// Decodes an answer by what was asked, filling in what sloppy servers leave out.
fn decode(method: &str, raw: &str) -> serde_json::Result<ServerResult> {
    if method != "initialize" {
        return serde_json::from_str(raw);
    }
    #[derive(Deserialize)]
    struct Loose {
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Loose { mut fields } = serde_json::from_str(raw)?;
    fields.entry("serverInfo").or_insert_with(|| json!({ "name": "unknown", "version": "0" }));
    let capabilities = fields.entry("capabilities").or_insert_with(|| json!({}));
    if let Some(capabilities) = capabilities.as_object_mut() {
        capabilities.retain(|_, value| !value.is_null());
        capabilities.values_mut().filter(|value| !value.is_object()).for_each(|value| *value = json!({}));
    }
    serde_json::from_value::<InitializeResult>(Value::Object(fields)).map(ServerResult::InitializeResult)
}
