use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use perennial_sdk::{BoxFuture, Cx, Error, Progress, Result, method, rpc::RpcError};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{net::unix::pipe, sync::oneshot, time::timeout};

use super::{
    lives::Lives,
    log::log,
    transport::{Mortal, Request, Response, Transport},
};
use crate::{
    mcp::{Line, Lines, Outbox},
    supervisor::{Child, Process, ProcessSpec, Ring, StopGrace, Supervisor},
};

/// How a plugin out of process is started.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    /// Bytes of the longest line that it may send.
    pub(super) line_bytes: usize,
    /// How long it may take to come up.
    pub(super) start: Duration,
}

/// A plugin that runs as a process of its own, again and again if need be.
pub(super) struct OutOfProcess(pub(super) Lives<Conversation>);

/// JSON-RPC with one life of it.
pub(super) struct Conversation {
    shared: Arc<Shared>,
    process: Process,
    outbox: Outbox,
    /// What it says that it is.
    pub(super) initialised: method::Initialised,
}

struct Shared {
    name: String,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, Pending>>,
    death: OnceLock<Error>,
}

struct Pending {
    answer: oneshot::Sender<Result<Vec<u8>>>,
    cx: Cx,
}

/// How long it may leave its standard input full before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may live on after it closed its output.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// Lines of its standard error that an error shows.
const LOG_LINES: usize = 20;

impl Command {
    /// Starts the process; its standard error is read from then on.
    pub(super) async fn spawn(&self, supervisor: &Arc<Supervisor>) -> Result<Child> {
        let spec = ProcessSpec {
            label: format!("plugin {}", self.name),
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            confinement: None,
        };
        supervisor.spawn(spec).await
    }
}

impl Conversation {
    /// Starts the process and opens the plugin in it.
    ///
    /// # Errors
    /// It does not start, or is no plugin; `unsupported` when it lives and has no such method.
    pub(super) async fn open(command: &Command, supervisor: &Arc<Supervisor>, init: &method::Init) -> Result<Self> {
        let Child { stdin, stdout, process } = command.spawn(supervisor).await?;
        let shared = Arc::new(Shared {
            name: command.name.clone(),
            next: AtomicU64::new(1),
            pending: Mutex::default(),
            death: OnceLock::new(),
        });
        let outbox = Outbox::start(stdin, PATIENCE);
        tokio::spawn(listen(shared.clone(), stdout, process.clone(), outbox.clone(), command.line_bytes));
        let initialised = method::Initialised { id: String::new(), version: String::new(), provides: Vec::new() };
        let mut conversation = Self { shared, process, outbox, initialised };
        let request = Request { method: method::INIT, json: serde_json::to_vec(init)?, body: Vec::new() };
        let cx = Cx::detached().with_timeout(command.start);
        let answered = timeout(command.start, conversation.call(&cx, request)).await.unwrap_or_else(|_| {
            let seconds = command.start.as_secs_f64();
            Err(Error::unavailable(format!(
                "the plugin `{}` did not answer `plugin/init` within {seconds} s",
                command.name
            )))
        })?;
        conversation.initialised = serde_json::from_slice(&answered.json)
            .map_err(|error| Error::invalid(format!("its answer to `plugin/init` does not fit: {error}")))?;
        Ok(conversation)
    }

    pub(super) async fn call(&self, cx: &Cx, request: Request) -> Result<Response> {
        let Request { method, json, .. } = request;
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut pending = self.shared.pending();
            // looked at under the lock under which the end takes what is pending
            if let Some(death) = self.shared.death.get() {
                return Err(death.clone());
            }
            pending.insert(id, Pending { answer, cx: cx.clone() });
        }
        let mut waiting = Waiting { id, shared: &self.shared, outbox: &self.outbox, came_back: false };
        // an MCP server takes the first message for broken when it has more members than JSON-RPC names
        let remaining = cx.remaining().filter(|_| method != method::INIT);
        let timeout = remaining.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let mut line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"").into_bytes();
        if let Some(timeout) = timeout {
            line.extend_from_slice(format!(",\"timeout_ms\":{timeout}").as_bytes());
        }
        if json != b"null" {
            line.extend_from_slice(b",\"params\":");
            line.extend_from_slice(&json);
        }
        line.extend_from_slice(b"}\n");
        if self.outbox.send(line.into()).await.is_err() {
            // its end explains more than a broken pipe
            let _ = timeout_of_end(&self.process).await;
        }
        let answered = answered.await;
        waiting.came_back = true;
        let json = answered.unwrap_or_else(|_| {
            Err(self.death().unwrap_or_else(|| Error::unavailable(format!("the plugin `{}` ended", self.shared.name))))
        })?;
        Ok(Response { json, body: Vec::new() })
    }

    /// Ends the process: the end of its input first.
    pub(super) async fn close(&self) {
        self.outbox.close();
        let half = StopGrace::default().eof / 2;
        self.process.stop(StopGrace { eof: half, term: half }).await;
    }
}

/// Nobody talks to it any more.
impl Drop for Conversation {
    fn drop(&mut self) {
        self.outbox.close();
        self.process.kill();
    }
}

impl Mortal for Conversation {
    fn death(&self) -> Option<Error> {
        self.shared.death.get().cloned()
    }
}

impl Transport for OutOfProcess {
    fn call<'a>(&'a self, cx: &'a Cx, request: Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move { self.0.get().await?.call(cx, request).await })
    }

    fn takes_bodies(&self) -> bool {
        false
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(alive) = self.0.alive() {
                alive.close().await;
            }
        })
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deals with a line; false when it is no message that anybody waits for.
    fn accept(&self, line: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(default)]
            id: Value,
            #[serde(default)]
            method: Option<String>,
            #[serde(borrow, default)]
            params: Option<&'a RawValue>,
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
            #[serde(default)]
            error: Option<RpcError>,
        }
        #[derive(Deserialize)]
        struct Step {
            id: u64,
            #[serde(flatten)]
            progress: Progress,
        }
        let Ok(Message { id, method, params, result, error }) = serde_json::from_slice(line) else { return false };
        let params = params.map_or("null", RawValue::get);
        match method.as_deref() {
            Some(method::PROGRESS) => {
                let Ok(Step { id, progress }) = serde_json::from_str(params) else { return false };
                let Some(cx) = self.pending().get(&id).map(|pending| pending.cx.clone()) else { return false };
                cx.progress(progress.done, progress.total, progress.message);
                true
            }
            Some(method::LOG) => {
                log(&self.name, params.as_bytes());
                true
            }
            Some(_) => false,
            None => {
                let asker = id.as_u64().and_then(|id| self.pending().remove(&id));
                let Some(Pending { answer, .. }) = asker else { return false };
                let _ = answer.send(match error {
                    Some(error) => Err(error.into()),
                    None => Ok(result.map_or("null", RawValue::get).as_bytes().to_vec()),
                });
                true
            }
        }
    }

    /// Fails the call whose id a line mentions that is too long to be read.
    fn fail_mentioned(&self, start: &[u8], limit: usize) {
        let text = String::from_utf8_lossy(start);
        let digits = text.split_once("\"id\"").map(|(_, rest)| rest.trim_start_matches([':', ' ']));
        let digits = digits.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let asker = digits.and_then(|id| self.pending().remove(&id.parse::<u64>().ok()?));
        if let Some(Pending { answer, .. }) = asker {
            let why = format!("an answer of the plugin `{}` is longer than the limit of {limit} bytes", self.name);
            let hint = format!("`line_mb` in `[plugins.{}]` gives it more", self.name);
            let _ = answer.send(Err(Error::invalid(why).hint(hint)));
        }
    }

    /// Ends what waits; every later call hears of it, too.
    fn end(&self, death: Error) {
        let mut pending = self.pending();
        let _ = self.death.set(death.clone());
        for (_, Pending { answer, .. }) in pending.drain() {
            let _ = answer.send(Err(death.clone()));
        }
    }
}

struct Waiting<'a> {
    id: u64,
    shared: &'a Shared,
    outbox: &'a Outbox,
    came_back: bool,
}

/// Nobody waits any more: the plugin is told, and what it still answers goes nowhere.
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.came_back && self.shared.pending().remove(&self.id).is_some() {
            let message = json!({ "jsonrpc": "2.0", "method": method::CANCEL, "params": { "id": self.id } });
            self.outbox.try_send(format!("{message}\n").into());
        }
    }
}

/// Reads what the plugin says until it says nothing more, and tells how it ended.
async fn listen(shared: Arc<Shared>, stdout: pipe::Receiver, process: Process, outbox: Outbox, limit: usize) {
    let stray = Ring::new(1, Ring::LONGEST);
    let mut lines = Lines::new(stdout, limit);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = outbox.broken().cancelled() => break,
        };
        match line {
            Ok(Some(Line::Whole(line))) => {
                if !line.trim_ascii().is_empty() && !shared.accept(&line) {
                    stray.push_line(&line);
                    tracing::warn!(plugin = shared.name, line = stray.tail(1), "the plugin said what nobody asked for");
                }
            }
            Ok(Some(Line::TooLong(start))) => shared.fail_mentioned(&start, limit),
            Ok(Some(Line::Broken(_)) | None) | Err(_) => break,
        }
    }
    outbox.close();
    let how = match timeout_of_end(&process).await {
        Some(exit) => exit,
        None => {
            process.kill();
            process.exited().await;
            "closed its output or took no input".to_owned()
        }
    };
    let mut death = Error::unavailable(format!("the plugin `{}` {how}", shared.name));
    let log = process.stderr_tail(LOG_LINES);
    if !log.is_empty() {
        death.data = json!({ "log": log });
    }
    shared.end(death);
}

/// How the process ended, if it does within a moment.
async fn timeout_of_end(process: &Process) -> Option<String> {
    timeout(LAST_MOMENTS, process.exited()).await.ok().map(|exit| exit.to_string())
}
