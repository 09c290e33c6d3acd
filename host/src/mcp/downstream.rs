//! A child's side of the wire: rmcp's client transport, tolerant of what servers written by models send.
//!
//! Requests carry ids that no child guesses. An answer is decoded by the method that was asked, or passes through
//! untouched; whatever cannot be used but can be tied to a request fails that request at once; all the rest goes to the
//! ring of stray lines and never to a caller.

use std::{
    io,
    time::{Duration, Instant},
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
use tokio::{net::unix::pipe, time::timeout_at};

use super::{
    calls::{Answer, Asker, Calls, News},
    envelope::{Envelope, to_line, trimmed},
    lines::{Line, Lines},
    outbox::Outbox,
};
use crate::{secrets::Redactor, supervisor::Ring};

/// rmcp's transport to a child.
pub(super) struct Downstream {
    lines: Lines<pipe::Receiver>,
    line_limit: usize,
    calls: Calls,
    ready: Vec<RxJsonRpcMessage<RoleClient>>,
    useless: Useless,
    /// When a child that takes nothing any more is not listened to any longer.
    silent_from: Option<Instant>,
}

/// What a child has lately said that nobody asked for.
struct Useless {
    since: Instant,
    lines: usize,
    bytes: usize,
}

/// How long a child may leave its standard input full before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the output of a child is still read when it takes no input any more: most have ended, and said why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Bytes of the longest id of a child's request that is answered.
const LONGEST_ID: usize = 256;

impl Downstream {
    pub(super) fn new(
        stdin: pipe::Sender,
        stdout: pipe::Receiver,
        stray: Ring,
        line_limit: usize,
        redactor: Option<Redactor>,
    ) -> Self {
        let calls = Calls::new(Outbox::start(stdin, PATIENCE), stray, redactor);
        Self {
            lines: Lines::new(stdout, line_limit),
            line_limit,
            calls,
            ready: Vec::new(),
            useless: Useless::default(),
            silent_from: None,
        }
    }

    pub(super) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    /// Deals with a line; false when it was of no use to anybody, or is something of which there can be too much.
    fn accept(&mut self, line: &Bytes) -> bool {
        let line = trimmed(line);
        if line.is_empty() {
            return false;
        }
        // batches were part of MCP for one revision
        if line[0] == b'['
            && let Ok(batch) = serde_json::from_slice::<Vec<&RawValue>>(&line)
        {
            let mut useful = false;
            for message in batch {
                match Envelope::parse(message.get().as_bytes()) {
                    Ok(envelope) => useful |= self.message(&envelope, &line.slice_ref(message.get().as_bytes())),
                    Err(_) => self.calls.stray(message.get().as_bytes()),
                }
            }
            return useful;
        }
        match Envelope::parse(&line) {
            Ok(envelope) => self.message(&envelope, &line),
            Err(error) => self.undecodable(&line, &error),
        }
    }

    fn undecodable(&mut self, line: &Bytes, error: &serde_json::Error) -> bool {
        // text printed without a newline in front of a message
        if let Some(at) = memchr::memmem::find(line, br#"{"jsonrpc""#).filter(|at| *at > 0)
            && Envelope::parse(&line[at..]).is_ok()
        {
            self.calls.stray(&line[..at]);
            return self.accept(&line.slice(at..));
        }
        let why = format!("the answer is not valid JSON: {error}");
        let useful = self.calls.fail_mentioned(line, why, &mut self.ready);
        if !useful {
            self.calls.stray(line);
        }
        useful
    }

    fn message(&mut self, envelope: &Envelope<'_>, line: &Bytes) -> bool {
        if let Some(method) = &envelope.method {
            return self.child_speaks(method, envelope);
        }
        let asker = match envelope.result.is_some() || envelope.error.is_some() {
            true => envelope.lenient_id().and_then(|id| self.calls.take(id)),
            false => None,
        };
        // `"error": null` beside a result is a habit from JSON-RPC 1.0
        let error = envelope.error.filter(|error| error.get() != "null").map(lenient_error);
        let result = envelope.result.map_or("null", RawValue::get);
        match (asker, error) {
            (None, _) => {
                self.calls.stray(line);
                return false;
            }
            (Some(Asker::Past { answer, .. }), Some(error)) => drop(answer.send(Answer::Error(error))),
            (Some(Asker::Past { answer, .. }), None) => {
                let raw =
                    envelope.result.map_or(Bytes::from_static(b"null"), |raw| line.slice_ref(raw.get().as_bytes()));
                let _ = answer.send(Answer::Result(raw));
            }
            (Some(Asker::Rmcp { id, .. }), Some(error)) => self.ready.push(JsonRpcMessage::error(error, Some(id))),
            (Some(Asker::Rmcp { id, method }), None) => self.ready.push(match decode(&method, result) {
                Ok(result) => JsonRpcMessage::response(result, id),
                Err(error) => {
                    let why = format!("the answer to `{method}` does not fit: {error}");
                    JsonRpcMessage::error(ErrorData::internal_error(why, None), Some(id))
                }
            }),
        }
        true
    }

    /// Requests of a child never come to rmcp, which would start a task for each, without bound, for a child that asks and
    /// never reads: they are answered with what fits into its queue, or passed on as far as the limits go.
    fn child_speaks(&mut self, method: &str, envelope: &Envelope<'_>) -> bool {
        // an id goes back as it came: the queue would hold hundreds of long ones for a child that does not read
        let unfit =
            |id: &&RawValue| id.get().len() > LONGEST_ID || id.get().bytes().any(|byte| byte.is_ascii_control());
        if let Some(id) = envelope.id.filter(unfit) {
            self.calls.stray(id.get().as_bytes());
            return false;
        }
        match (method, envelope.id) {
            // they count like any flood: whatever is passed on costs the siblings, and the client, as much
            ("notifications/progress", None) => {
                self.calls.progress(envelope.params);
                return false;
            }
            ("notifications/message", None) => {
                self.calls.log(envelope.params);
                return false;
            }
            ("notifications/tools/list_changed", None) => self.calls.tell_tools_changed(),
            ("notifications/prompts/list_changed" | "notifications/resources/list_changed", None) => {
                self.calls.tell(News::Offers);
            }
            ("notifications/resources/updated", None) => self.calls.tell_updated(envelope.params),
            ("notifications/cancelled", None) => self.calls.withdraw(envelope.params),
            (_, None) => {}
            ("ping", Some(id)) => {
                let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{}}}}\n", id.get());
                self.calls.outbox().try_send(answer.into());
            }
            (_, Some(id)) => self.calls.child_asks(method, id, envelope.params),
        }
        false
    }
}

impl Useless {
    /// Counts a line that nobody asked for.
    fn count(&mut self, bytes: usize) {
        if self.since.elapsed() > Self::PERIOD {
            *self = Self::default();
        }
        self.lines += 1;
        self.bytes += bytes;
    }

    /// How long nothing should be read of a child that has said too much.
    fn pause(&self) -> Option<Duration> {
        let too_much = self.lines > Self::MOST_LINES || self.bytes > Self::MOST_BYTES;
        Self::PERIOD.checked_sub(self.since.elapsed()).filter(|_| too_much)
    }

    const PERIOD: Duration = Duration::from_secs(1);
    const MOST_LINES: usize = 2000;
    const MOST_BYTES: usize = 8 * 1024 * 1024;
}

impl Default for Useless {
    fn default() -> Self {
        Self { since: Instant::now(), lines: 0, bytes: 0 }
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
                request.id = RequestId::Number(self.calls.ask(asker).unwrap_or(Calls::FIRST_ID));
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &mut notification.notification {
                    let id = cancelled.params.request_id.as_ref().and_then(|id| self.calls.forget(id));
                    cancelled.params.request_id = id.map(RequestId::Number);
                }
            }
            _ => {}
        }
        let outbox = self.calls.outbox().clone();
        async move {
            let line = to_line(&item)?;
            // a child that takes nothing any more is known by its silence, behind the last that it says
            let _ = outbox.send(line).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if !self.ready.is_empty() {
                return Some(self.ready.remove(0));
            }
            // back-pressure for a child that floods its output: its siblings share this thread
            if let Some(pause) = self.useless.pause() {
                tokio::time::sleep(pause).await;
                self.useless = Useless::default();
            }
            let stuck = self.calls.outbox().broken().clone();
            let line = if stuck.is_cancelled() {
                let until = *self.silent_from.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                match Instant::now() < until {
                    true => timeout_at(until.into(), self.lines.next()).await.unwrap_or(Ok(None)),
                    false => Ok(None),
                }
            } else {
                tokio::select! {
                    line = self.lines.next() => line,
                    () = stuck.cancelled() => continue,
                }
            };
            let (useful, bytes) = match line {
                Ok(Some(Line::Whole(line))) => (self.accept(&line), line.len()),
                // half an answer is none: the death that cut it off is what the caller must hear of
                Ok(Some(Line::Broken(line))) if Envelope::parse(&trimmed(&line)).is_ok() => {
                    (self.accept(&line), line.len())
                }
                Ok(Some(Line::Broken(line))) => {
                    self.calls.stray(&line);
                    (false, line.len())
                }
                Ok(Some(Line::TooLong(start))) => {
                    let why = format!("the answer is longer than the limit of {} bytes", self.line_limit);
                    let useful = self.calls.fail_mentioned(&start, why, &mut self.ready);
                    if !useful {
                        self.calls.stray(&start);
                    }
                    (useful, self.line_limit)
                }
                Ok(None) | Err(_) => {
                    self.calls.end();
                    return None;
                }
            };
            if !useful {
                self.useless.count(bytes);
            }
        }
    }

    /// The process is the supervisor's to end.
    async fn close(&mut self) -> io::Result<()> {
        self.calls.end();
        Ok(())
    }
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
