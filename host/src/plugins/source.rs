use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use perennial_sdk::{BoxFuture, Cx, Error, ErrorCode, Exported, Home, Opened, Result, method};
use serde::{Deserialize, Serialize};

use super::{
    Plugin,
    inspect::{Inspected, Pin, inspect},
    lives::Lives,
    mcp_tools::McpTools,
    native::{Instance, Library},
    process::{Command, Conversation, OutOfProcess},
    proxy::Proxy,
    transport::{Request, Response, Transport},
};
use crate::{blocking::blocking, supervisor::Supervisor};

/// Where a plugin comes from that is not linked in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A library.
    Native {
        /// Its file.
        path: PathBuf,
        /// What the file must be.
        pin: Pin,
    },
    /// A program that speaks JSON-RPC or MCP on its standard streams.
    Process {
        /// Program and arguments.
        command: Vec<String>,
        /// What it finds in its environment beside what every program needs.
        env: BTreeMap<String, String>,
        /// Where it runs; a program with a `/` in it is relative to it.
        cwd: PathBuf,
        /// Bytes of the longest line that it may send.
        line_bytes: usize,
    },
}

/// What plugins are opened with.
#[derive(Clone)]
pub struct Surroundings {
    /// Where plugins live.
    pub home: Home,
    /// Where libraries are copied to before they are loaded.
    pub copies: PathBuf,
    /// Starts the processes.
    pub supervisor: Arc<Supervisor>,
    /// How long a plugin may take to come up.
    pub start: Duration,
    /// How long a call may take.
    pub limit: Duration,
}

/// A loaded library and the instance of it that lives.
struct Native {
    lives: Lives<Instance>,
    bodies: bool,
}

/// Variables that a program of the operator's own finds as the host did: where things are, and how people write.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "TZ",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

impl Source {
    /// Opens the plugin `name` with its `config` table.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub async fn open(&self, name: &str, config: serde_json::Value, around: &Surroundings) -> Result<Plugin> {
        let init = method::Init { config, home: around.home.clone() };
        match self {
            Self::Native { path, pin } => {
                let inspected = looked_at(path.clone(), pin.clone()).await?;
                let manifest = inspected.choose(name)?.clone();
                let (copies, called) = (around.copies.clone(), name.to_owned());
                let shown = path.display().to_string();
                let loading = blocking(move || {
                    let copy = inspected.private_copy(&copies)?;
                    Library::load(&called, &copy, &manifest)
                });
                let library =
                    in_time(around.start, loading).await.map_err(|error| error.context(format!("`{shown}`")))?;
                native(name, library, init, around).await
            }
            Self::Process { command, env, cwd, line_bytes } => {
                let Some((program, args)) = command.split_first() else {
                    return Err(Error::invalid("`command` is empty").hint("it holds a program and its arguments"));
                };
                let passed_on = PASSED_ON.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?)));
                let command = Command {
                    name: name.into(),
                    program: if program.contains('/') { cwd.join(program) } else { program.into() },
                    args: args.to_vec(),
                    env: passed_on.chain(env.clone()).collect(),
                    cwd: cwd.clone(),
                    line_bytes: *line_bytes,
                    start: around.start,
                };
                process(command, init, around).await
            }
        }
    }
}

/// Opens a plugin that is linked in by the way that leads to loaded ones: what both do is then held together by the same
/// tests.
///
/// # Errors
/// Those of the plugin.
pub async fn loopback<P: Exported>(config: serde_json::Value, around: &Surroundings) -> Result<Plugin> {
    let entry = P::entry().ok_or_else(|| Error::invalid("the plugin has no entry point"))?;
    let library = Library::linked(P::ID, entry)?;
    native(P::ID, library, method::Init { config, home: around.home.clone() }, around).await
}

async fn looked_at(path: PathBuf, pin: Pin) -> Result<Inspected> {
    blocking(move || inspect(&path, &pin)).await
}

async fn native(name: &str, library: Arc<Library>, init: method::Init, around: &Surroundings) -> Result<Plugin> {
    let manifest = library.manifest.clone();
    let (init, start): (Arc<[u8]>, _) = (serde_json::to_vec(&init)?.into(), around.start);
    let make = move || -> BoxFuture<'static, Result<Arc<Instance>>> {
        let (library, init) = (library.clone(), init.clone());
        Box::pin(async move {
            let instance = Arc::new(in_time(start, blocking(move || library.instance())).await?);
            let request = Request { method: method::INIT, json: init.to_vec(), body: Vec::new() };
            let cx = Cx::detached().with_timeout(start);
            in_time(start, instance.call(&cx, request)).await?;
            Ok(instance)
        })
    };
    let lives = Lives::new(name, Box::new(make)).without_delay();
    lives.get().await?;
    let transport = Arc::new(Native { lives, bodies: manifest.bodies });
    let proxy = Proxy::open(name, transport, &manifest.provides, around.limit).await?;
    Ok(proxied(name, &manifest.version, &manifest.provides, proxy))
}

/// A plugin, or else an MCP server: it is asked for the one first, and started again for the other.
async fn process(command: Command, init: method::Init, around: &Surroundings) -> Result<Plugin> {
    let (name, configured) = (command.name.clone(), !init.config.is_null());
    let init = Arc::new(init);
    let (again, supervisor) = (command.clone(), around.supervisor.clone());
    let first = match Conversation::open(&again, &supervisor, &init).await {
        Ok(first) => first,
        Err(error) if !may_speak_mcp(&error) => return Err(error),
        Err(error) => {
            return match McpTools::open(&command, &around.supervisor, around.limit).await {
                Ok(_) if configured => Err(Error::invalid("the program is an MCP server, which takes no `config`")
                    .hint("give it arguments in `command`, or variables in `env`")),
                Ok(tools) => Ok(tool_plugin(&name, tools)),
                Err(otherwise) => Err(neither(error, &otherwise)),
            };
        }
    };
    let initialised = first.initialised.clone();
    let make = move || -> BoxFuture<'static, Result<Arc<Conversation>>> {
        let (command, supervisor, init) = (again.clone(), supervisor.clone(), init.clone());
        Box::pin(async move { Ok(Arc::new(Conversation::open(&command, &supervisor, &init).await?)) })
    };
    let transport = Arc::new(OutOfProcess(Lives::beginning_with(&name, Arc::new(first), Box::new(make))));
    let opened = Proxy::open(&name, transport.clone(), &initialised.provides, around.limit).await;
    match opened {
        Ok(proxy) => Ok(proxied(&name, &initialised.version, &initialised.provides, proxy)),
        Err(error) => {
            transport.close().await;
            Err(error)
        }
    }
}

/// Whether a program that gave this to `plugin/init` may be an MCP server: they refuse what comes before `initialize`, end,
/// or say nothing at all. An answer that only a plugin gives ends the question.
fn may_speak_mcp(error: &Error) -> bool {
    matches!(error.code, ErrorCode::Unsupported | ErrorCode::Unavailable)
        || (error.code == ErrorCode::Invalid && error.data.get("path").is_none())
}

fn neither(mut error: Error, otherwise: &Error) -> Error {
    if error.code == ErrorCode::Unsupported {
        error = error.context("it has no `plugin/init`");
    }
    if error.data.is_null() {
        error.data = otherwise.data.clone();
    }
    error.message = format!("{}; {}", error.message, otherwise.message);
    error.hint("a plugin answers `plugin/init` on its standard output, an MCP server `initialize`")
}

fn proxied(name: &str, version: &str, provides: &[String], proxy: Proxy) -> Plugin {
    let (proxy, is) = (Arc::new(proxy), |kind: &str| provides.iter().any(|provided| provided == kind));
    let mut opened = Opened::foreign(shutdown_of(proxy.clone()));
    if is("runtime") {
        opened.runtime = Some(proxy.clone());
    }
    if is("storage") {
        opened.storage = Some(proxy.clone());
    }
    if is("tools") {
        opened.tools = Some(proxy);
    }
    Plugin::new(name, version, opened)
}

fn tool_plugin(name: &str, tools: McpTools) -> Plugin {
    let tools = Arc::new(tools);
    let ended = tools.clone();
    let mut opened = Opened::foreign(move || {
        let tools = ended.clone();
        Box::pin(async move { tools.shutdown().await })
    });
    let version = tools.version().to_owned();
    opened.tools = Some(tools);
    Plugin::new(name, &version, opened)
}

fn shutdown_of(proxy: Arc<Proxy>) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync {
    move || Box::pin(proxy.clone().shutdown())
}

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs_f64();
        Err(Error::new(ErrorCode::Timeout, format!("it did not come up within {seconds} s")))
    })
}

impl Transport for Native {
    fn call<'a>(&'a self, cx: &'a Cx, request: Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async move { self.lives.get().await?.call(cx, request).await })
    }

    fn takes_bodies(&self) -> bool {
        self.bodies
    }

    /// A library stays.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
