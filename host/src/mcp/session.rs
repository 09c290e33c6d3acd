//! The conversation with one child.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use perennial_sdk::ToolDefinition;
use rmcp::{
    RoleClient,
    model::{Implementation, ProtocolVersion, RequestMetaObject, ServerCapabilities},
    service::{ClientInitializeError, RunningService},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{
    net::unix::pipe,
    sync::broadcast,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Passed,
    caller::Caller,
    calls::{Answer, Calls, News, ProgressSink, Waiting},
    downstream::Downstream,
    handshake::{self, Host},
    listening::Listening,
    logging::Level,
    questions::Questions,
    result::ResultShape,
    rounds::{InputRequired, MOST_ROUNDS},
};
use crate::{secrets::Redactor, supervisor::Ring};

/// The MCP conversation with a child process, of either era: ended when the child closes its output.
pub struct Session {
    calls: Calls,
    /// Whether every request says for itself what others say once, by `initialize`.
    stateless: bool,
    /// The least that the child was asked to log.
    level: Mutex<Option<Level>>,
    listening: Listening,
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

/// What becomes of what a child asks of clients.
#[derive(Debug, Clone)]
pub enum Asks {
    /// It is refused, and the child knows beforehand that it is.
    Refused,
    /// It reaches the client whose call it belongs to, without the values that the child was given.
    Passed(Option<Redactor>),
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
    /// The client that the child may ask.
    pub caller: Caller,
}

/// A request that passes through to a child.
pub struct Request {
    /// What is asked.
    pub method: &'static str,
    /// Its parameters, without `_meta`.
    pub params: Map<String, Value>,
    /// See [`ToolCall::meta`].
    pub meta: Map<String, Value>,
    /// See [`ToolCall::progress`].
    pub progress: Option<ProgressSink>,
    /// How long the child may take.
    pub limit: Duration,
    /// The caller gave up.
    pub cancelled: CancellationToken,
    /// The client that the child may ask.
    pub caller: Caller,
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

/// Where a request of 2026-07-28 says what is to be logged.
pub(super) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

const MOST_PAGES: usize = 100;

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
        asks: Asks,
    ) -> Result<(Self, Vec<ToolDefinition>), CallEnd> {
        let deadline = Instant::now() + limits.start;
        let (passes_on, redactor) = match asks {
            Asks::Refused => (false, None),
            Asks::Passed(redactor) => (true, redactor),
        };
        let downstream = Downstream::new(stdin, stdout, stray, limits.line_bytes, redactor);
        let calls = downstream.calls();
        let handshake = handshake::begin(Host { passes_on }, downstream);
        let running = match timeout_at(deadline, handshake).await {
            Ok(Ok(running)) => running,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(CallEnd::TimedOut(limits.start)),
        };
        let stateless = running.peer().peer_info().is_some_and(|info| !info.protocol_version.has_initialize());
        let session = Self {
            calls,
            stateless,
            level: Mutex::default(),
            listening: Listening::default(),
            list_bytes: limits.line_bytes,
            running,
        };
        let tools = match timeout_at(deadline, session.tools()).await {
            Ok(tools) => tools?,
            Err(_) => return Err(CallEnd::TimedOut(limits.start)),
        };
        if stateless {
            session.listen(|_| ()).await;
        }
        Ok((session, tools))
    }

    /// The child's tools, every page of them; one that cannot be read is left out, the others stay.
    ///
    /// # Errors
    /// When the session ends or the child refuses.
    pub async fn tools(&self) -> Result<Vec<ToolDefinition>, CallEnd> {
        if self.running.peer().peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(Vec::new());
        }
        Ok(self.pages("tools/list", "tools").await?.into_iter().filter_map(readable_tool).collect())
    }

    /// All pages of a list.
    pub(super) async fn pages(&self, method: &str, member: &str) -> Result<Vec<Value>, CallEnd> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            next_cursor: Option<String>,
            #[serde(flatten)]
            members: Map<String, Value>,
        }
        let mut listed = Vec::new();
        let mut cursor = None;
        let mut room = self.list_bytes;
        for _ in 0..MOST_PAGES {
            let mut params: Map<_, _> =
                cursor.iter().map(|cursor: &String| ("cursor".to_owned(), json!(cursor))).collect();
            self.introduce(&mut params, &Caller::default());
            let raw = self.once(method, params, None, None).await?;
            room = room.checked_sub(raw.len()).ok_or_else(|| {
                let mib = self.list_bytes / (1024 * 1024);
                CallEnd::Unusable(format!("the answer to `{method}` is longer than {mib} MiB (`limits.line_mb`)"))
            })?;
            let unfit = |why: String| CallEnd::Unusable(format!("the answer to `{method}` does not fit: {why}"));
            let Page { next_cursor, mut members } =
                serde_json::from_slice(&raw).map_err(|error| unfit(error.to_string()))?;
            match members.remove(member) {
                Some(Value::Array(items)) => listed.extend(items),
                None => {}
                Some(_) => return Err(unfit(format!("`{member}` is no list"))),
            }
            cursor = next_cursor.filter(|next| Some(next) != cursor.as_ref());
            if cursor.is_none() {
                break;
            }
        }
        Ok(listed)
    }

    /// Calls a tool; the result is the child's own, byte for byte.
    ///
    /// # Errors
    /// See [`CallEnd`]. A cancelled or late call is cancelled at the child, and its late answer goes nowhere.
    pub async fn call(&self, call: ToolCall) -> Result<Passed, CallEnd> {
        let ToolCall { name, arguments, meta, progress, limit, cancelled, caller } = call;
        let mut params = Map::with_capacity(3);
        params.insert("name".into(), name.into());
        params.insert("arguments".into(), arguments.into());
        let method = "tools/call";
        tool_result(self.pass(Request { method, params, meta, progress, limit, cancelled, caller }).await?)
    }

    /// Passes a request on. What its client takes to answer the child's own questions does not count as the child's time.
    pub(super) async fn pass(&self, request: Request) -> Result<Bytes, CallEnd> {
        let (limit, cancelled) = (request.limit, request.cancelled.clone());
        let questions = request.caller.questions.clone();
        tokio::select! {
            biased;
            answer = self.rounds(request) => answer,
            () = out_of_time(limit, &questions) => Err(CallEnd::TimedOut(limit)),
            () = cancelled.cancelled() => Err(CallEnd::Cancelled),
        }
    }

    /// Asks until there is a result, or one that the client knows how to go on from.
    async fn rounds(&self, request: Request) -> Result<Bytes, CallEnd> {
        let Request { method, mut params, meta, progress, caller, .. } = request;
        if !meta.is_empty() {
            params.insert("_meta".into(), meta.into());
        }
        self.introduce(&mut params, &caller);
        self.ask_for_logs(&caller).await?;
        let Caller { questions, mut inputs, stateless } = caller;
        if !self.stateless || stateless {
            if self.stateless {
                inputs.insert_into(&mut params);
            }
            return self.once(method, params, progress, Some(questions)).await;
        }
        for _ in 0..MOST_ROUNDS {
            let mut params = params.clone();
            inputs.insert_into(&mut params);
            let raw = self.once(method, params, progress.clone(), Some(questions.clone())).await?;
            match InputRequired::of(&raw) {
                None => return Ok(raw),
                Some(required) => inputs = required.answered(&questions, self.calls.redactor()).await?,
            }
        }
        Err(CallEnd::Unusable(format!("it asked for input more than {MOST_ROUNDS} times")))
    }

    pub(super) async fn once(
        &self,
        method: &str,
        params: Map<String, Value>,
        progress: Option<ProgressSink>,
        questions: Option<Questions>,
    ) -> Result<Bytes, CallEnd> {
        let asked = self.calls.request(method, params, progress, questions).await;
        asked.map_err(|_| CallEnd::SessionEnded)?.answer().await.ok_or(CallEnd::SessionEnded)?.result()
    }

    /// Sends a request whose answer nobody waits for: it lasts.
    pub(super) async fn last(&self, method: &str, params: Map<String, Value>) -> Result<Waiting, CallEnd> {
        self.calls.request(method, params, None, None).await.map_err(|_| CallEnd::SessionEnded)
    }

    pub(super) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Whether every request says for itself what older children are told once.
    pub(super) fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// Sees to it that an older child logs at least what this caller wants to hear. What it was once asked for it goes on
    /// with: another client may want it still.
    async fn ask_for_logs(&self, caller: &Caller) -> Result<(), CallEnd> {
        let Some(wanted) = caller.questions.log().and_then(|log| log.least) else { return Ok(()) };
        if self.stateless || self.capabilities().logging.is_none() {
            return Ok(());
        }
        {
            let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
            if level.is_some_and(|level| level <= wanted) {
                return Ok(());
            }
            *level = Some(wanted);
        }
        let params = Map::from_iter([("level".to_owned(), json!(wanted))]);
        match self.once("logging/setLevel", params, None, None).await {
            Err(CallEnd::SessionEnded) => Err(CallEnd::SessionEnded),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Says with the request what a child of 2026-07-28 has not been told before.
    pub(super) fn introduce(&self, params: &mut Map<String, Value>, caller: &Caller) {
        if !self.stateless {
            return;
        }
        let us = Implementation::new("perennial", env!("CARGO_PKG_VERSION"));
        let context =
            RequestMetaObject::with_client_context(ProtocolVersion::V_2026_07_28, us, caller.questions.capabilities());
        let meta = params.entry("_meta").or_insert_with(|| json!({}));
        if let (Some(meta), Ok(Value::Object(context))) = (meta.as_object_mut(), serde_json::to_value(context)) {
            meta.extend(context);
            if let Some(least) = caller.questions.log().and_then(|log| log.least) {
                meta.insert(LOG_LEVEL.into(), json!(least));
            }
        }
    }

    /// Waits until the child says that its tools changed.
    pub async fn tools_changed(&self) {
        self.calls.tools_changed().await;
    }

    /// Hears what the child tells of itself from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.calls.news()
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

    /// What the child says that it can do.
    pub(super) fn capabilities(&self) -> ServerCapabilities {
        self.running.peer().peer_info().map(|info| info.capabilities.clone()).unwrap_or_default()
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

/// Waits until a child has used up its time.
async fn out_of_time(limit: Duration, questions: &Questions) {
    let begun = Instant::now();
    loop {
        let left = (limit + questions.waited()).saturating_sub(begun.elapsed());
        if left.is_zero() {
            return;
        }
        // while the client is asked, what is left stays the same
        tokio::time::sleep(left.max(Duration::from_millis(50))).await;
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
pub(super) fn on_one_line(json: Bytes) -> Bytes {
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
            let end = Session::open(stdin, stdout, stray.clone(), limits, Asks::Refused).await.unwrap_err();
            assert_eq!((end, stray.tail(5).trim()), (CallEnd::SessionEnded, "done"));
        }
    }
}
