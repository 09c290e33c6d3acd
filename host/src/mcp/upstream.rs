//! The client's side of the wire: rmcp's server transport, tolerant of what clients send.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use rmcp::{
    RoleServer,
    model::{
        CallToolRequest, CallToolRequestParams, ClientNotification, ClientRequest, ClientResult, CustomResult,
        ErrorCode, ErrorData, GetMeta, JsonRpcMessage, ProtocolVersion, RequestId, ServerJsonRpcMessage,
    },
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::{
    Passed,
    envelope::{Envelope, to_line, trimmed},
    lines::{Line, Lines},
    outbox::Outbox,
    stdio::{Reader, Writer},
};

/// rmcp's transport to the client.
pub(super) struct Upstream {
    lines: Lines<Reader>,
    line_limit: usize,
    outbox: Outbox,
    in_flight: InFlight,
    opened: bool,
    ended: CancellationToken,
}

/// The requests that the client waits for, with the results that pass through past rmcp.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<RequestId, Option<Passed>>>>);

/// How long a client may take nothing from us before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(600);

impl Upstream {
    /// `ended` fires when the client has closed its end.
    pub(super) fn new(reader: Reader, writer: Writer, line_limit: usize, ended: CancellationToken) -> Self {
        let outbox = Outbox::start(writer, PATIENCE);
        Self {
            lines: Lines::new(reader, line_limit),
            line_limit,
            outbox,
            in_flight: InFlight::default(),
            opened: false,
            ended,
        }
    }

    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    pub(super) fn in_flight(&self) -> InFlight {
        self.in_flight.clone()
    }

    async fn refuse(&self, code: ErrorCode, why: impl Into<String>, id: Option<RequestId>) {
        let error = ServerJsonRpcMessage::error(ErrorData::new(code, why.into(), None), id);
        if let Ok(line) = to_line(&error) {
            let _ = self.outbox.send(line).await;
        }
    }

    /// A message for rmcp, or none when the line has been dealt with.
    async fn accept(&mut self, line: &Bytes) -> Option<RxJsonRpcMessage<RoleServer>> {
        let line = trimmed(line);
        match line.first()? {
            b'[' if serde_json::from_slice::<Vec<&RawValue>>(&line).is_ok() => {
                self.refuse(ErrorCode::INVALID_REQUEST, "batches are not part of MCP: send one message a line", None)
                    .await;
                return None;
            }
            _ => {}
        }
        let envelope = match Envelope::parse(&line) {
            Ok(envelope) => envelope,
            Err(error) if error.is_data() => {
                let why = format!("not a JSON-RPC message: {error}");
                self.refuse(ErrorCode::INVALID_REQUEST, why, None).await;
                return None;
            }
            Err(error) => {
                self.refuse(ErrorCode::PARSE_ERROR, format!("not JSON: {error}"), None).await;
                return None;
            }
        };
        let id = envelope.request_id();
        if envelope.jsonrpc.as_deref() != Some("2.0") {
            self.refuse(ErrorCode::INVALID_REQUEST, "`jsonrpc` must be \"2.0\"", id).await;
            return None;
        }
        match (&envelope.method, envelope.id, id) {
            (Some(method), Some(_), Some(id)) => {
                if !self.in_flight.open(&id) {
                    let why = format!("the id `{id}` is that of a request still in flight");
                    self.refuse(ErrorCode::INVALID_REQUEST, why, Some(id)).await;
                    return None;
                }
                match request(method, &envelope, &line, &id) {
                    Ok(message) => {
                        self.opened |= opens(&message);
                        Some(message)
                    }
                    Err(error) => {
                        self.in_flight.close(&id);
                        let why = format!("the parameters of `{method}` do not fit: {error}");
                        self.refuse(ErrorCode::INVALID_PARAMS, why, Some(id)).await;
                        None
                    }
                }
            }
            (Some(_), Some(_), None) => {
                self.refuse(ErrorCode::INVALID_REQUEST, "`id` must be a string or an integer", None).await;
                None
            }
            (Some(_), None, _) => {
                let message: RxJsonRpcMessage<RoleServer> = serde_json::from_slice(&line).ok()?;
                if let JsonRpcMessage::Notification(notification) = &message
                    && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.in_flight.close(id);
                }
                // rmcp ends the whole connection on a notification that comes before any request
                self.opened.then_some(message)
            }
            // rmcp's types would drop what they do not know of an answer
            (None, _, Some(id)) if envelope.result.is_some() => {
                let result = serde_json::from_str(envelope.result?.get()).ok()?;
                self.opened.then(|| JsonRpcMessage::response(ClientResult::CustomResult(CustomResult::new(result)), id))
            }
            (None, _, _) if envelope.result.is_some() || envelope.error.is_some() => {
                self.opened.then(|| serde_json::from_slice(&line).ok())?
            }
            (None, _, id) => {
                self.refuse(ErrorCode::INVALID_REQUEST, "neither a request nor an answer: `method` is missing", id)
                    .await;
                None
            }
        }
    }
}

impl Transport<RoleServer> for Upstream {
    type Error = io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let passed = match &item {
            JsonRpcMessage::Response(response) => self.in_flight.close(&response.id),
            JsonRpcMessage::Error(error) => error.id.as_ref().and_then(|id| self.in_flight.close(id)),
            _ => None,
        };
        let line = match (&item, passed) {
            (JsonRpcMessage::Response(response), Some(passed)) => spliced(&response.id, &passed),
            _ => to_line(&item),
        };
        let outbox = self.outbox.clone();
        async move { outbox.send(line?).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            match self.lines.next().await {
                Ok(Some(Line::Whole(line))) => {
                    if let Some(message) = self.accept(&line).await {
                        return Some(message);
                    }
                }
                Ok(Some(Line::TooLong(_))) => {
                    let why = format!("a message above the limit of {} bytes; closing the connection", self.line_limit);
                    self.refuse(ErrorCode::INVALID_REQUEST, why, None).await;
                    break;
                }
                // the end of a piped file need not be a newline, but half a message is no message
                Ok(Some(Line::Broken(line))) if Envelope::parse(&trimmed(&line)).is_ok() => {
                    if let Some(message) = self.accept(&line).await {
                        return Some(message);
                    }
                }
                Ok(Some(Line::Broken(_)) | None) | Err(_) => break,
            }
        }
        self.ended.cancel();
        None
    }

    async fn close(&mut self) -> io::Result<()> {
        self.outbox.flushed().await;
        Ok(())
    }
}

impl InFlight {
    /// Lets `passed` be the answer to `id`, whatever rmcp is given as one. False when nobody waits for it any more.
    pub(super) fn park(&self, id: &RequestId, passed: Passed) -> bool {
        self.lock().get_mut(id).map(|slot| *slot = Some(passed)).is_some()
    }

    fn open(&self, id: &RequestId) -> bool {
        let mut requests = self.lock();
        let new = !requests.contains_key(id);
        requests.entry(id.clone()).or_insert(None);
        new
    }

    fn close(&self, id: &RequestId) -> Option<Passed> {
        self.lock().remove(id).flatten()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Option<Passed>>> {
        self.0.lock().expect("no holder panics")
    }
}

/// rmcp tries every kind of request in turn; the most frequent one is decoded by its name.
fn request(
    method: &str,
    envelope: &Envelope<'_>,
    line: &[u8],
    id: &RequestId,
) -> serde_json::Result<RxJsonRpcMessage<RoleServer>> {
    let (true, Some(params)) = (method == "tools/call", envelope.params) else {
        return serde_json::from_slice(line);
    };
    let mut params: CallToolRequestParams = serde_json::from_str(params.get())?;
    let meta = params.meta.take();
    let mut call = CallToolRequest::new(params);
    if let Some(meta) = meta {
        call.extensions.insert(meta);
    }
    Ok(JsonRpcMessage::request(ClientRequest::CallToolRequest(call), id.clone()))
}

/// Whether rmcp leaves its handshake with this request. Until then it ends the whole connection on anything that is no
/// request, though a client may well cancel its probe.
fn opens(message: &RxJsonRpcMessage<RoleServer>) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    match &request.request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        other => {
            let meta = other.get_meta();
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(|version| ProtocolVersion::KNOWN_VERSIONS.contains(&version))
        }
    }
}

fn spliced(id: &RequestId, passed: &Passed) -> io::Result<Bytes> {
    let id = serde_json::to_vec(id)?;
    let result = passed.as_bytes();
    let mut line = BytesMut::with_capacity(result.len() + id.len() + 40);
    line.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    line.put_slice(&id);
    line.put_slice(br#","result":"#);
    line.put_slice(result);
    line.put_slice(b"}\n");
    Ok(line.freeze())
}
