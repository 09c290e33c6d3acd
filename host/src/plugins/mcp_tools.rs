use std::{sync::Arc, time::Duration};

use perennial_sdk::{BoxFuture, Cx, DynTools, Error, ErrorCode, Result, ToolDefinition};
use serde_json::{Map, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{lives::Lives, process::Command, transport::Mortal};
use crate::{
    definitions::clean,
    mcp::{Asks, CallEnd, Caller, Session, SessionLimits, ToolCall},
    supervisor::{Child, Process, Ring, StopGrace, Supervisor},
};

/// An MCP server as a plugin: its tools are the host's.
pub(super) struct McpTools {
    name: String,
    lives: Lives<Server>,
    tools: Vec<ToolDefinition>,
    version: String,
    limit: Duration,
}

/// One life of it.
pub(super) struct Server {
    name: String,
    session: Session,
    process: Process,
    tools: Vec<ToolDefinition>,
}

const LOG_LINES: usize = 20;
const LAST_MOMENTS: Duration = Duration::from_millis(500);

impl McpTools {
    /// Starts the server for the first time.
    ///
    /// # Errors
    /// It does not start, or does not speak MCP.
    pub(super) async fn open(command: &Command, supervisor: &Arc<Supervisor>, limit: Duration) -> Result<Self> {
        let (again, supervisor) = (command.clone(), supervisor.clone());
        let make = move || -> BoxFuture<'static, Result<Arc<Server>>> {
            let (command, supervisor) = (again.clone(), supervisor.clone());
            Box::pin(async move { Ok(Arc::new(Server::open(&command, &supervisor).await?)) })
        };
        let lives = Lives::new(&command.name, Box::new(make));
        let first = lives.get().await?;
        let version = first.session.server_info().map(|(_, version)| version).unwrap_or_default();
        Ok(Self { name: command.name.clone(), tools: first.tools.clone(), lives, version, limit })
    }

    /// As the server tells it.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Ends the server: the end of its input first.
    pub(super) async fn shutdown(&self) {
        if let Some(server) = self.lives.alive() {
            server.session.close();
            let half = StopGrace::default().eof / 2;
            server.process.stop(StopGrace { eof: half, term: half }).await;
        }
    }

    async fn call_tool(&self, cx: &Cx, name: &str, arguments: Map<String, Value>) -> Result<Value> {
        let server = self.lives.get().await?;
        let progress = {
            let cx = cx.clone();
            move |params: Map<String, Value>| {
                let number = |key: &str| params.get(key).and_then(Value::as_f64);
                let message = params.get("message").and_then(Value::as_str).unwrap_or_default();
                cx.progress(number("progress").unwrap_or(0.0), number("total"), message);
            }
        };
        let call = ToolCall {
            name: name.into(),
            arguments,
            meta: Map::new(),
            progress: Some(Arc::new(progress)),
            limit: cx.remaining().map_or(self.limit, |left| left.min(self.limit)),
            cancelled: CancellationToken::new(),
            caller: Caller::default(),
        };
        let answered = tokio::select! {
            answered = server.session.call(call) => answered,
            () = cx.cancelled() => Err(CallEnd::Cancelled),
        };
        match answered {
            Ok(passed) => Ok(passed.to_value()),
            Err(end) => Err(server.explained(end).await),
        }
    }
}

impl DynTools for McpTools {
    fn tools(&self) -> Vec<ToolDefinition> {
        self.tools.clone()
    }

    fn call<'a>(&'a self, cx: &'a Cx, name: &'a str, arguments: Map<String, Value>) -> BoxFuture<'a, Result<Value>> {
        Box::pin(self.call_tool(cx, name, arguments))
    }
}

impl std::fmt::Debug for McpTools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpTools").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    async fn open(command: &Command, supervisor: &Arc<Supervisor>) -> Result<Self> {
        let Child { stdin, stdout, process } = command.spawn(supervisor).await?;
        let limits = SessionLimits { line_bytes: command.line_bytes, start: command.start };
        let name = command.name.clone();
        match Session::open(stdin, stdout, Ring::default(), limits, Asks::Refused).await {
            Ok((session, tools)) => Ok(Self { name, session, process, tools: clean(tools).definitions }),
            Err(end) => {
                let error = explained(&name, &process, end).await;
                process.kill();
                Err(error.context("it is no MCP server either"))
            }
        }
    }

    async fn explained(&self, end: CallEnd) -> Error {
        explained(&self.name, &self.process, end).await
    }
}

impl Mortal for Server {
    fn death(&self) -> Option<Error> {
        let ended = self.process.exit();
        ended.map(|exit| Error::unavailable(format!("the plugin `{}` {exit}", self.name)))
    }
}

async fn explained(name: &str, process: &Process, end: CallEnd) -> Error {
    match end {
        CallEnd::SessionEnded => {
            let how = match timeout(LAST_MOMENTS, process.exited()).await {
                Ok(exit) => exit.to_string(),
                Err(_) => {
                    process.kill();
                    "closed its output".into()
                }
            };
            let mut error = Error::unavailable(format!("the plugin `{name}` {how}"));
            let log = process.stderr_tail(LOG_LINES);
            if !log.is_empty() {
                error.data = serde_json::json!({ "log": log });
            }
            error
        }
        CallEnd::TimedOut(limit) => {
            let seconds = limit.as_secs_f64();
            Error::new(ErrorCode::Timeout, format!("the plugin `{name}` did not answer within {seconds} s"))
        }
        CallEnd::Cancelled => Error::new(ErrorCode::Cancelled, "cancelled"),
        CallEnd::Refused { code, message, .. } => {
            Error::invalid(format!("the plugin `{name}` answered with error {code}: {message}"))
        }
        CallEnd::Unusable(why) => Error::internal(format!("the answer of the plugin `{name}` is of no use: {why}")),
    }
}
