//! The one creation path: spec → plan → environment → process → session. Create, load, restart and update all go here.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_sdk::{Cx, Description, Error, ErrorCode, Result, ServerId, ServerSpec, ToolDefinition};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    blocking::blocking,
    current::Current,
    definitions::clean_others,
    egress::Gates,
    environment::{Environments, Prepared, STARTING},
    exposure::Exposure,
    host::Settings,
    mcp::{Asks, CallEnd, Session, SessionLimits},
    offers::{Offered, Offers},
    plugins::{Plugins, Runtime},
    policy::{Demand, Protected, Reachable},
    rights::Rights,
    secrets::{self, Redactor, Secrets, Values},
    sources::{SourceFolder, Sources},
    supervisor::{Process, Ring, StopGrace, Strictness, Supervisor},
    toolchain::Toolchains,
    toolset::Toolset,
};

/// Brings servers up.
pub struct Launch {
    /// The runtimes.
    pub plugins: Arc<Plugins>,
    /// The programs that runtimes need.
    pub toolchains: Arc<Toolchains>,
    /// Installed dependencies.
    pub environments: Arc<Environments>,
    /// Starts the processes.
    pub supervisor: Arc<Supervisor>,
    /// Where the files of each start go.
    pub sources: Sources,
    /// The folder below which servers have their own, to write in.
    pub servers_dir: PathBuf,
    /// How long things may take, and what servers may do.
    pub settings: Arc<Current<Settings>>,
    /// Serves what servers may connect to.
    pub gates: Arc<Gates>,
    /// The values of what servers are granted by name.
    pub secrets: Secrets,
    /// What no grant includes by the way.
    pub protected: Arc<Protected>,
    /// Hears which tools a saved server has when it runs.
    pub exposure: Arc<Exposure>,
    /// What saved servers were seen to offer beside tools.
    pub offered: Arc<Offered>,
}

/// Where a server works.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// The server's id in this session.
    pub id: ServerId,
    /// The saved server that it is, or else itself: what it writes is found there again.
    pub home: ServerId,
}

/// A server that only needs to be started.
pub struct Built {
    /// Its command, and its environment.
    pub prepared: Prepared,
    /// What the runtime has to say about the code.
    pub notes: Vec<String>,
    description: Arc<Description>,
}

/// A server that came up.
pub struct Launched {
    /// The running process and the conversation with it.
    pub instance: Instance,
    /// What its dependencies were resolved to.
    pub lock: Option<String>,
    /// What the runtime has to say about the code.
    pub notes: Vec<String>,
}

/// A running process and the conversation with it.
pub struct Instance {
    /// The conversation.
    pub session: Session,
    /// The process.
    pub process: Process,
    /// What it was given.
    pub rights: Rights,
    stray: Ring,
    tools: Mutex<Arc<Toolset>>,
    /// None until it was asked.
    offers: Mutex<Option<Arc<Offers>>>,
    source: SourceFolder,
    // keeps the environment from being removed
    _prepared: Prepared,
}

const LOG_LINES: usize = 60;

/// How long a server may take to tell what it offers beside tools: nobody waits for that.
const LOOKING: Duration = Duration::from_secs(30);

impl Launch {
    /// Brings a server up: when this returns it has answered `initialize` and `tools/list`.
    ///
    /// # Errors
    /// Everything that a model needs to repair its code: `data.log` holds what the installer or the server printed;
    /// `denied` for what it asks for and cannot have.
    pub async fn start(&self, cx: &Cx, place: &Workplace, spec: &ServerSpec, demand: Demand) -> Result<Launched> {
        let (mut rights, values) = self.rights(spec, demand).await?;
        let state_dir = self.servers_dir.join(place.home.as_str()).join("state");
        let source = self.sources.folder()?;
        let Built { mut prepared, notes, description } = self.build(cx, spec, source.path(), &state_dir).await?;
        let (starting, all) = STARTING;
        cx.progress(starting, Some(all), "starting the server");
        prepared.process.label = place.id.to_string();
        self.give(&mut rights, &values, &mut prepared)?;
        let child = self.supervisor.spawn(prepared.process.clone()).await?;
        // it must not stay where descriptions of it may be logged
        prepared.process.env.retain(|name, _| !values.contains_key(name));
        if rights.strictness == Some(Strictness::Require) && child.process.enforced().measures.is_empty() {
            child.process.kill();
            return Err(unconfined());
        }
        let stray = Ring::new(200, 64 * 1024);
        let settings = self.settings.get();
        let limits = SessionLimits { line_bytes: settings.line_bytes, start: settings.start_timeout };
        let opening =
            Session::open(child.stdin, child.stdout, stray.clone(), limits, Asks::Passed(rights.redactor.clone()));
        let opened = tokio::select! {
            opened = opening => opened,
            () = cx.cancelled() => Err(CallEnd::Cancelled),
        };
        match opened {
            Ok((session, tools)) => {
                let instance = Instance {
                    session,
                    process: child.process,
                    tools: Mutex::new(Arc::new(Toolset::new(redacted(&rights, tools)))),
                    offers: Mutex::default(),
                    rights,
                    stray,
                    source,
                    _prepared: prepared,
                };
                Ok(Launched { lock: instance._prepared.lock.clone(), instance, notes })
            }
            Err(end) => {
                let error = unopened(&end, &child.process, &stray, &source, &description).await;
                Err(with_rights(error, &rights))
            }
        }
    }

    /// What a server may do, and the values that it gets.
    async fn rights(&self, spec: &ServerSpec, demand: Demand) -> Result<(Rights, Values)> {
        let ceiling = self.settings.get().ceiling.clone();
        let (permissions, limits) = (spec.permissions.clone(), spec.limits.clone());
        let (protected, secrets) = (self.protected.clone(), self.secrets.clone());
        // folders are looked at, and the file with secrets is read
        let touches_disk = !(permissions.read.is_empty() && permissions.write.is_empty() && permissions.env.is_empty());
        let decide = move || {
            let judged = ceiling.judge(&permissions, &limits, &protected, demand)?;
            let values = secrets.values(&judged.granted.env)?;
            let rights = Rights {
                granted: judged.granted,
                remedy: ceiling.remedy(&judged.refused),
                withheld: judged.refused,
                strictness: ceiling.strictness(),
                traffic: None,
                redactor: Redactor::of(values.clone()),
            };
            Ok((rights, values))
        };
        let (rights, values) = if touches_disk { blocking(decide).await? } else { decide()? };
        if !values.is_empty() {
            secrets::remember(&values);
        }
        Ok((rights, values))
    }

    /// Puts what a server was given where its process finds it.
    fn give(&self, rights: &mut Rights, values: &Values, prepared: &mut Prepared) -> Result<()> {
        let registries = self.environments.registries();
        let mut read = prepared.read.clone();
        if rights.granted.network != Reachable::Nothing {
            let authorities = registries.authorities_of_servers();
            read.extend(authorities.values().map(PathBuf::from).filter(|path| path.is_file() || path.is_dir()));
            for (name, file) in authorities {
                prepared.process.env.entry(name).or_insert(file);
            }
        }
        let write = prepared.write.clone();
        prepared.process.confinement = rights.confinement(read, write, &self.gates, || registries.way_out())?;
        let values = values.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        prepared.process.env.extend(values);
        Ok(())
    }

    /// Does everything but start it: its dependencies are installed, its files are in `server_dir`, it is built.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub async fn build(&self, cx: &Cx, spec: &ServerSpec, server_dir: &Path, state_dir: &Path) -> Result<Built> {
        let (runtime, _) = self.plugins.runtime(&spec.language)?;
        let (toolchain, missing) = match self.toolchains.find(&runtime.name, &runtime.description).await {
            Ok(toolchain) => (toolchain, None),
            // what is built may need no program any more
            Err(missing) => match self.toolchains.last_found(&runtime.name).await {
                Some(toolchain) => (Arc::new(toolchain), Some(missing)),
                None => return Err(missing),
            },
        };
        let plan = {
            let (cx, runtime, spec, toolchain) = (cx.clone(), runtime.clone(), spec.clone(), toolchain.clone());
            tokio::task::spawn_blocking(move || runtime.runtime.plan(&cx, &spec, &toolchain))
                .await
                .map_err(|_| Error::internal(format!("the runtime `{}` panicked while it planned", runtime.name)))??
        };
        let build_timeout = self.settings.get().build_timeout;
        let limited = cx.clone().with_timeout(build_timeout);
        let Runtime { name, description, .. } = runtime;
        let lock = spec.lock.as_deref();
        let prepared = self
            .environments
            .prepare(&limited, &name, &description, &toolchain, missing.as_ref(), &plan, lock, server_dir, state_dir)
            .await
            .map_err(|error| explained(&limited, build_timeout, error))?;
        Ok(Built { prepared, notes: plan.notes, description })
    }

    /// Removes what a server wrote that was never saved.
    pub async fn forget(&self, place: &Workplace) {
        let folder = self.servers_dir.join(place.home.as_str());
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    }
}

fn explained(cx: &Cx, build_timeout: Duration, mut error: Error) -> Error {
    if error.code == ErrorCode::Timeout && cx.remaining().is_some_and(|left| left.is_zero()) {
        let seconds = build_timeout.as_secs_f64();
        error = error.context(format!("the build took longer than {seconds} s"));
        error.hint.get_or_insert("`limits.build_timeout_s` in the configuration gives builds more time".into());
    }
    error
}

impl Instance {
    /// Its tools.
    pub fn tools(&self) -> Arc<Toolset> {
        self.tools.lock().expect("no holder panics").clone()
    }

    /// Waits until the server says that its tools changed, and asks for them.
    pub async fn tools_changed(&self) {
        self.session.tools_changed().await;
        if let Ok(tools) = self.session.tools().await {
            let tools = Toolset::new(redacted(&self.rights, tools));
            *self.tools.lock().expect("no holder panics") = Arc::new(tools);
        }
    }

    /// What it offers beside tools, once it was asked.
    pub fn offers(&self) -> Option<Arc<Offers>> {
        self.offers.lock().expect("no holder panics").clone()
    }

    /// Asks it what it offers beside tools; whether it said so.
    pub async fn look_at_offers(&self) -> bool {
        let mut offers = match timeout(LOOKING, self.session.offers()).await {
            Ok(Ok(offers)) => offers,
            unsaid => {
                tracing::debug!(?unsaid, "the server does not tell what it offers");
                return false;
            }
        };
        for definitions in [&mut offers.prompts, &mut offers.resources, &mut offers.templates] {
            clean_others(definitions);
            if let Some(redactor) = &self.rights.redactor {
                for definition in definitions {
                    redactor.value(definition);
                }
            }
        }
        *self.offers.lock().expect("no holder panics") = Some(Arc::new(offers));
        true
    }

    /// Waits until no further call can be answered, and sees to it that the process ends then.
    pub async fn end_of_session(&self) {
        tokio::select! {
            () = self.session.ended() => {
                if timeout(Duration::from_millis(500), self.process.exited()).await.is_err() {
                    self.process.kill();
                }
            }
            _ = self.process.exited() => {}
        }
        self.session.close();
    }

    /// The last `lines` lines that it wrote to standard error, with its own files by their names alone.
    pub fn stderr_tail(&self, lines: usize) -> String {
        self.rights.redacted(self.source.shorten(&self.process.stderr_tail(lines)))
    }

    /// The last `lines` lines on its standard output that were no MCP.
    pub fn stray_tail(&self, lines: usize) -> String {
        self.rights.redacted(self.stray.tail(lines))
    }

    /// How many of those there ever were.
    pub fn stray_total(&self) -> u64 {
        self.stray.total()
    }

    /// Ends it: the end of its input first, then as `grace` has it.
    pub async fn stop(&self, grace: StopGrace) {
        self.session.close();
        self.process.stop(grace).await;
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("pid", &self.process.pid()).finish_non_exhaustive()
    }
}

/// A server that tells its secrets in its tools' descriptions must not have them saved.
fn redacted(rights: &Rights, tools: Vec<ToolDefinition>) -> Vec<ToolDefinition> {
    let Some(redactor) = &rights.redactor else { return tools };
    let redacted = tools.into_iter().filter_map(|tool| {
        let mut value = serde_json::to_value(&tool).unwrap_or_default();
        if redactor.value(&mut value) { serde_json::from_value(value).ok() } else { Some(tool) }
    });
    redacted.collect()
}

fn unconfined() -> Error {
    Error::new(ErrorCode::Denied, "this machine confines no server, and the configuration requires it").hint(
        "`sandbox = \"best-effort\"` in `[policy]` of the configuration runs servers as far confined as the machine can",
    )
}

/// What a server that did not come up was not given, and what was denied to it: it may be why.
fn with_rights(mut error: Error, rights: &Rights) -> Error {
    let (denied, withheld) = (rights.denied_since(0), &rights.withheld);
    let mut lines: Vec<String> = denied.iter().map(ToString::to_string).collect();
    lines.extend(withheld.iter().map(|one| format!("withheld: {one}")));
    lines.extend(rights.remedy.clone());
    if !lines.is_empty() {
        lines.extend(error.hint.take());
        error.hint = Some(lines.join("\n"));
        error.data["denied"] = json!(denied);
        error.data["withheldByPolicy"] = json!(withheld);
    }
    if let Some(redactor) = &rights.redactor {
        error.message = redactor.text(&error.message).into_owned();
        redactor.value(&mut error.data);
    }
    error
}

/// Why a process never became a server, with all that it printed.
async fn unopened(
    end: &CallEnd,
    process: &Process,
    stray: &Ring,
    source: &SourceFolder,
    description: &Description,
) -> Error {
    let exit = match end {
        CallEnd::SessionEnded => timeout(Duration::from_secs(1), process.exited()).await.ok(),
        _ => process.exit(),
    };
    if exit.is_none() {
        process.kill();
        process.exited().await;
    }
    let stderr = source.shorten(&process.stderr_tail(LOG_LINES));
    let mut error = match (end, &exit) {
        (CallEnd::Cancelled, _) => Error::new(ErrorCode::Cancelled, "cancelled"),
        (_, Some(exit)) => Error::invalid(format!("the server {exit} before it answered `initialize`")),
        (CallEnd::SessionEnded, None) => Error::invalid("the server closed its output before it answered `initialize`"),
        (CallEnd::TimedOut(limit), _) => {
            let seconds = limit.as_secs();
            Error::new(ErrorCode::Timeout, format!("the server did not answer `initialize` within {seconds} s"))
        }
        (CallEnd::Refused { code, message, .. }, _) => {
            Error::invalid(format!("the server answered `initialize` with error {code}: {message}"))
        }
        (CallEnd::Unusable(why), _) => Error::invalid(format!("the server's answers are of no use: {why}")),
    };
    error.retryable = false;
    let stray = stray.tail(20);
    error.data = json!({ "log": stderr, "stray": stray, "exit": exit.map(|exit| exit.to_string()) });
    let known = description.hints.iter().find(|hint| stderr.contains(&hint.when) || stray.contains(&hint.when));
    error.hint(known.map_or(
        "the server must read JSON-RPC lines from its standard input, answer them on its standard output, and keep \
         running; `create-server-from-template` without `code` starts a working example",
        |hint| &hint.hint,
    ))
}
