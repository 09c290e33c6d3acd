//! The main job, shown: a client of its own drives the real program over standard input and output.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use perennial_sdk::Error;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::command::run;
use crate::{
    config::{Config, Directories},
    exit::Failure,
    host::Settings,
    mcp::{Asks, Caller, Session, SessionLimits, ToolCall},
    supervisor::{Process, ProcessSpec, Ring, StopGrace, Supervisor},
};

const CODE: &str = include_str!("tour_server.py");
const NAME: &str = "Mon serveur de calcul";

type Show<'a> = &'a mut dyn FnMut(&str) -> Result<(), Error>;

/// Creates a server from code, lists it, calls it, saves it, kills the host, and brings it back. It works in folders of
/// its own, except for the cache.
///
/// # Errors
/// The first step that does not do what it should.
pub fn tour(config: Config, directories: Directories, show: Show<'_>) -> Result<(), Failure> {
    run(async {
        let folder = tempfile::Builder::new().prefix("perennial-tour-").tempdir().map_err(Error::from)?;
        let supervisor = Supervisor::new(folder.path().join("state"));
        let done = Tour { config, directories, folder, supervisor: supervisor.clone() }.walk(show).await;
        supervisor.shutdown().await;
        done
    })
}

struct Tour {
    config: Config,
    directories: Directories,
    folder: TempDir,
    supervisor: Arc<Supervisor>,
}

struct Host {
    session: Session,
    process: Process,
}

impl Tour {
    async fn walk(&self, show: Show<'_>) -> Result<(), Failure> {
        show("Perennial, as a chat client sees it. Your library is not touched.\n")?;
        let host = self.start(show).await?;
        let created =
            host.step(show, "create-server-from-template", json!({ "language": "python", "code": CODE })).await?;
        let id = created["structuredContent"]["serverId"].clone();
        host.step(show, "list-servers", json!({})).await?;
        let sum = json!({ "serverId": id, "toolName": "add", "args": { "a": 20, "b": 22 } });
        expect(&host.step(show, "execute-tool", sum).await?, "42")?;
        host.step(show, "save-server", json!({ "serverId": id, "name": NAME })).await?;

        let begun = Instant::now();
        host.process.kill();
        let exit = host.process.exited().await;
        step(show, "kill the host (SIGKILL)", begun.elapsed(), &format!("it {exit}; nothing of it is left"))?;

        let host = self.start(show).await?;
        expect(&host.step(show, "list-saved-servers", json!({})).await?, NAME)?;
        let loaded = host.step(show, "load-saved-server", json!({ "savedServerId": id })).await?;
        let new = loaded["structuredContent"]["serverId"].clone();
        let sum = json!({ "serverId": new, "toolName": "add", "args": { "a": 20, "b": 22 } });
        expect(&host.step(show, "execute-tool", sum).await?, "42")?;
        host.session.close();
        host.process.stop(StopGrace::default()).await;
        Ok(show("\nIt came back. Add Perennial to your client as the README shows, and ask for a server.")?)
    }

    async fn start(&self, show: Show<'_>) -> Result<Host, Failure> {
        let begun = Instant::now();
        let below = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        let mut env: std::collections::BTreeMap<_, _> = std::env::vars().collect();
        env.retain(|name, _| !name.starts_with("PERENNIAL_") && name != "MCP_CREATE_DATA_DIR");
        env.insert("PERENNIAL_DATA_DIR".into(), below("data"));
        env.insert("PERENNIAL_STATE_DIR".into(), below("state"));
        env.insert("PERENNIAL_CACHE_DIR".into(), self.directories.cache.to_string_lossy().into_owned());
        let mut args = vec!["serve".to_owned()];
        if let Some(file) = self.config.file() {
            args.extend(["--config".to_owned(), file.to_string_lossy().into_owned()]);
        }
        let child = self
            .supervisor
            .spawn(ProcessSpec {
                label: "perennial".into(),
                program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
                args,
                env,
                cwd: self.folder.path().to_owned(),
                confinement: None,
            })
            .await?;
        let settings = Settings::from(&self.config);
        let limits = SessionLimits { line_bytes: settings.line_bytes, start: settings.start_timeout };
        let (session, tools) = Session::open(child.stdin, child.stdout, Ring::new(20, 4096), limits, Asks::Refused)
            .await
            .map_err(|end| Error::internal(format!("the host does not answer: {end:?}")))?;
        step(show, "start the host, initialize", begun.elapsed(), &format!("{} tools", tools.len()))?;
        Ok(Host { session, process: child.process })
    }
}

impl Host {
    async fn step(&self, show: Show<'_>, tool: &str, arguments: Value) -> Result<Value, Failure> {
        let begun = Instant::now();
        let Value::Object(arguments) = arguments else { unreachable!("tools take objects") };
        let result = self
            .session
            .call(ToolCall {
                name: tool.into(),
                arguments,
                meta: Map::new(),
                progress: None,
                limit: Duration::from_secs(120),
                cancelled: CancellationToken::new(),
                caller: Caller::default(),
            })
            .await
            .map_err(|end| Error::internal(format!("`{tool}` has no answer: {end:?}")))?
            .to_value();
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        if result["isError"] == true {
            return Err(Error::internal(format!("`{tool}`: {text}")).into());
        }
        step(show, tool, begun.elapsed(), text)?;
        Ok(result)
    }
}

fn step(show: Show<'_>, what: &str, took: Duration, outcome: &str) -> Result<(), Error> {
    let outcome = match serde_json::from_str::<Value>(outcome) {
        Ok(json) => json.to_string().chars().take(110).collect(),
        Err(_) => outcome.to_owned(),
    };
    let mut lines: Vec<&str> = outcome.lines().filter(|line| !line.trim().is_empty()).collect();
    let more = lines.len().saturating_sub(3);
    lines.truncate(3);
    show(&format!("{:>8.1} ms  {what}", took.as_secs_f64() * 1000.0))?;
    lines.iter().try_for_each(|line| show(&format!("             {line}")))?;
    if more > 0 { show(&format!("             … {more} more lines")) } else { Ok(()) }
}

fn expect(result: &Value, text: &str) -> Result<(), Failure> {
    if result["content"][0]["text"].as_str().is_some_and(|answer| answer.contains(text)) {
        return Ok(());
    }
    Err(Error::internal(format!("`{text}` was expected in the answer, which is: {result}")).into())
}
