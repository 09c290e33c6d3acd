//! The conversation with one child.

use std::{fmt, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use perennial_sdk::ToolDefinition;
use rmcp::{
    ClientHandler, RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{
    net::unix::pipe,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Passed,
    calls::{Answer, Calls, ProgressSink},
    downstream::Downstream,
    result::ResultShape,
};
use crate::supervisor::Ring;

/// The MCP conversation with a child process: opened by `initialize`, ended when the child closes its output.
pub struct Session {
    calls: Calls,
    /// Bytes of the longest list of tools, all its pages together.
    list_bytes: usize,
    running: RunningService<RoleClient, Host>,
}

/// What a session puts up with.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Bytes of the longest line that a child may send.
    pub line_bytes: usize,
    /// How long `initialize` and the first `tools/list` may take together.
    pub start: Duration,
}

/// A call of a child's tool.
pub struct ToolCall {
    /// The tool, as the child calls it.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// `_meta` of the caller, without what belongs to the caller's own connection.
    pub meta: Map<String, Value>,
    /// Takes the `params` of the child's progress notifications.
    pub progress: Option<ProgressSink>,
    /// How long the child may take.
    pub limit: Duration,
    /// The caller gave up.
    pub cancelled: CancellationToken,
}

/// Why a child gave no result.
#[derive(Debug, Clone, PartialEq)]
pub enum CallEnd {
    /// The session ended first; the process tells why.
    SessionEnded,
    /// No answer in this time.
    TimedOut(Duration),
    /// The caller gave up.
    Cancelled,
    /// The child answered with a JSON-RPC error.
    Refused {
        /// JSON-RPC's code.
        code: i32,
        /// The child's words.
        message: String,
        /// What else it sent.
        data: Option<Value>,
    },
    /// The child sent something that is no answer.
    Unusable(String),
}

const MOST_PAGES: usize = 100;

#[derive(Clone)]
struct Host;

impl Session {
    /// Opens the conversation and asks for the tools.
    ///
    /// # Errors
    /// [`CallEnd::TimedOut`] after `limits.start`; otherwise whatever the child made of `initialize`.
    pub async fn open(
        stdin: pipe::Sender,
        stdout: pipe::Receiver,
        stray: Ring,
        limits: SessionLimits,
    ) -> Result<(Self, Vec<ToolDefinition>), CallEnd> {
        let deadline = Instant::now() + limits.start;
        let downstream = Downstream::new(stdin, stdout, stray, limits.line_bytes);
        let calls = downstream.calls();
        let handshake = Host.serve_with_lifecycle(downstream, ClientLifecycleMode::Initialize);
        let running = match timeout_at(deadline, handshake).await {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(CallEnd::TimedOut(limits.start)),
        };
        let session = Self { calls, list_bytes: limits.line_bytes, running };
        let tools = match timeout_at(deadline, session.tools()).await {
            Ok(tools) => tools?,
            Err(_) => return Err(CallEnd::TimedOut(limits.start)),
        };
        Ok((session, tools))
    }

    /// The child's tools, every page of them; one that cannot be read is left out, the others stay.
    ///
    /// # Errors
    /// When the session ends or the child refuses.
    pub async fn tools(&self) -> Result<Vec<ToolDefinition>, CallEnd> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ToolsPage {
            #[serde(default)]
            tools: Vec<Value>,
            #[serde(default)]
            next_cursor: Option<String>,
        }
        if self.running.peer().peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(Vec::new());
        }
        let mut tools = Vec::new();
        let mut cursor = None;
        let mut room = self.list_bytes;
        for _ in 0..MOST_PAGES {
            let params = cursor.iter().map(|cursor: &String| ("cursor".to_owned(), json!(cursor))).collect();
            let mut waiting =
                self.calls.request("tools/list", params, None).await.map_err(|_| CallEnd::SessionEnded)?;
            let raw = waiting.answer().await.ok_or(CallEnd::SessionEnded)?.result()?;
            room = room.checked_sub(raw.len()).ok_or_else(|| {
                let mib = self.list_bytes / (1024 * 1024);
                CallEnd::Unusable(format!("its list of tools is longer than {mib} MiB (`limits.line_mb`)"))
            })?;
            let page: ToolsPage = serde_json::from_slice(&raw)
                .map_err(|error| CallEnd::Unusable(format!("the answer to `tools/list` does not fit: {error}")))?;
            tools.extend(page.tools.into_iter().filter_map(readable_tool));
            cursor = page.next_cursor.filter(|next| Some(next) != cursor.as_ref());
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool; the result is the child's own, byte for byte.
    ///
    /// # Errors
    /// See [`CallEnd`]. A cancelled or late call is cancelled at the child, and its late answer goes nowhere.
    pub async fn call(&self, call: ToolCall) -> Result<Passed, CallEnd> {
        let ToolCall { name, arguments, meta, progress, limit, cancelled } = call;
        let mut params = Map::with_capacity(3);
        params.insert("name".into(), name.into());
        params.insert("arguments".into(), arguments.into());
        if !meta.is_empty() {
            params.insert("_meta".into(), meta.into());
        }
        let answered = async {
            let mut waiting =
                self.calls.request("tools/call", params, progress).await.map_err(|_| CallEnd::SessionEnded)?;
            waiting.answer().await.ok_or(CallEnd::SessionEnded)?.result()
        };
        let raw = tokio::select! {
            answer = timeout(limit, answered) => answer.unwrap_or(Err(CallEnd::TimedOut(limit)))?,
            () = cancelled.cancelled() => return Err(CallEnd::Cancelled),
        };
        tool_result(raw)
    }

    /// Waits until the child says that its tools changed.
    pub async fn tools_changed(&self) {
        self.calls.tools_changed().await;
    }

    /// Waits until the child has closed its output, or takes no input any more.
    pub async fn ended(&self) {
        self.calls.ended().cancelled().await;
    }

    /// Waits until no call is in flight.
    pub async fn idle(&self) {
        self.calls.idle().await;
    }

    /// Closes the child's input, which asks it to end, and fails the calls that still wait.
    pub fn close(&self) {
        self.calls.close();
    }

    /// What the child says of itself: its name and version.
    pub fn server_info(&self) -> Option<(String, String)> {
        let info = self.running.peer().peer_info()?;
        let server = info.server_info.as_ref()?;
        Some((server.name.clone(), server.version.clone()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("server_info", &self.server_info()).finish_non_exhaustive()
    }
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("perennial", env!("CARGO_PKG_VERSION"));
        // the default would offer 2026-07-28 inside `initialize`, which that revision does not have
        ClientConfig::new(ClientCapabilities::default(), us).with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

impl Answer {
    fn result(self) -> Result<Bytes, CallEnd> {
        match self {
            Self::Result(raw) => Ok(raw),
            Self::Error(error) => {
                Err(CallEnd::Refused { code: error.code.0, message: error.message.into_owned(), data: error.data })
            }
            Self::Unusable(why) => Err(CallEnd::Unusable(why)),
        }
    }
}

impl From<ClientInitializeError> for CallEnd {
    fn from(error: ClientInitializeError) -> Self {
        match error {
            ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => {
                Self::SessionEnded
            }
            ClientInitializeError::JsonRpcError(error) => {
                Self::Refused { code: error.code.0, message: error.message.into_owned(), data: error.data }
            }
            other => Self::Unusable(other.to_string()),
        }
    }
}

fn readable_tool(mut value: Value) -> Option<ToolDefinition> {
    let fields = value.as_object_mut()?;
    if !fields.get("inputSchema").is_some_and(Value::is_object) {
        fields.insert("inputSchema".into(), json!({ "type": "object" }));
    }
    if fields.get("outputSchema").is_some_and(|schema| !schema.is_object()) {
        fields.shift_remove("outputSchema");
    }
    if fields.get("description").is_some_and(|text| !text.is_string()) {
        fields.shift_remove("description");
    }
    serde_json::from_value(value).ok()
}

/// The result as it came, unless it is no tool result at all.
pub(super) fn tool_result(raw: Bytes) -> Result<Passed, CallEnd> {
    let malformed = |why: &str| {
        let shown: String = String::from_utf8_lossy(&raw).chars().take(2000).collect();
        CallEnd::Unusable(format!("{why}: {shown}"))
    };
    let shape: ResultShape =
        serde_json::from_slice(&raw).map_err(|error| malformed(&format!("the answer cannot be read ({error})")))?;
    let raw = on_one_line(raw.clone());
    match shape.content_is_list {
        Some(true) => Ok(Passed::new(raw)),
        None if shape.has_result_type => Ok(Passed::new(raw)),
        None if shape.has_structured_content => {
            let mut filled = BytesMut::with_capacity(raw.len() + 16);
            filled.put_slice(br#"{"content":[],"#);
            filled.put_slice(&raw[1..]);
            Ok(Passed::new(filled.freeze()))
        }
        Some(false) | None => Err(malformed("the answer is not a tool result with a `content` list")),
    }
}

/// JSON without carriage returns, which stand between its parts alone: some clients end a line there.
fn on_one_line(json: Bytes) -> Bytes {
    if memchr::memchr(b'\r', &json).is_none() {
        return json;
    }
    json.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_last_words_of_a_child_that_is_gone_are_kept() {
        for _ in 0..100 {
            let ((stdin, gone), (mut says, stdout)) = (pipe::pipe().unwrap(), pipe::pipe().unwrap());
            drop(gone);
            says.write_all(b"done\n").await.unwrap();
            drop(says);
            let stray = Ring::new(10, 1000);
            let limits = SessionLimits { line_bytes: 1000, start: Duration::from_secs(5) };
            let end = Session::open(stdin, stdout, stray.clone(), limits).await.unwrap_err();
            assert_eq!((end, stray.tail(5).trim()), (CallEnd::SessionEnded, "done"));
        }
    }
}
