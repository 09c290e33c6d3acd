//! Finds the real programs that a runtime asks for.
//!
//! A client that was started from a desktop gives `PATH=/usr/bin:/bin`, so the usual places are searched too; and a shim
//! is never used, since it costs a tenth of a second at every start and follows the user's folder: what the probe says
//! of itself counts.

mod candidates;
mod memo;
mod probe;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use perennial_sdk::{Description, Error, Program, Result, Tool, Toolchain};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::{blocking::blocking, supervisor::Supervisor};

pub use candidates::Surroundings;
use memo::Memo;

/// Finds the programs of every runtime, once each. One for the whole host.
#[derive(Debug)]
pub struct Toolchains {
    supervisor: Arc<Supervisor>,
    surroundings: Surroundings,
    forbidden: Vec<PathBuf>,
    cache_dir: PathBuf,
    memo: Memo,
    found: Mutex<HashMap<String, Arc<OnceCell<Arc<Toolchain>>>>>,
}

/// Why a program that is there will not do.
struct Rejected {
    path: PathBuf,
    why: String,
}

impl Toolchains {
    /// Remembers what probes told in `cache_dir`. A program whose folders would let it read one of `forbidden` (the
    /// user's home, the configuration, the data) is not used.
    pub fn new(supervisor: Arc<Supervisor>, cache_dir: PathBuf, forbidden: Vec<PathBuf>) -> Self {
        Self {
            supervisor,
            surroundings: Surroundings::of_this_process(),
            forbidden: forbidden.iter().map(|path| real(path)).collect(),
            memo: Memo::new(cache_dir.join("toolchains.json")),
            cache_dir,
            found: Mutex::default(),
        }
    }

    /// Searches as if the host had been started in these surroundings.
    #[must_use]
    pub fn with_surroundings(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// The programs of a runtime. What was found is kept for the life of the host; what was not is looked for again.
    ///
    /// # Errors
    /// `unavailable` when a required program is missing, with what was looked at and how to get it.
    pub async fn find(&self, runtime_id: &str, description: &Description) -> Result<Arc<Toolchain>> {
        let cell = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.entry(runtime_id.to_string()).or_default().clone()
        };
        cell.get_or_try_init(|| self.search(runtime_id, description)).await.cloned()
    }

    /// The programs that a runtime was last seen with, by this host or one before, whether they are still there or not:
    /// with them what was installed and built is found again.
    pub async fn last_found(&self, runtime_id: &str) -> Option<Toolchain> {
        let file = self.record(runtime_id);
        let read = blocking(move || Ok(std::fs::read(file)?)).await.ok()?;
        let toolchain: Toolchain = serde_json::from_slice(&read).ok()?;
        toolchain.tools.values().all(|tool| self.exposed(tool).is_none()).then_some(toolchain)
    }

    async fn remember(&self, runtime_id: &str, toolchain: &Toolchain) {
        let (file, text) = (self.record(runtime_id), serde_json::to_vec(toolchain).unwrap_or_default());
        let write = move || match std::fs::read(&file) {
            Ok(known) if known == text => Ok(()),
            _ => Ok(memo::write(&file, &text)?),
        };
        if let Err(error) = blocking(write).await {
            tracing::debug!(%error, runtime_id, "the programs that were found are not kept");
        }
    }

    fn record(&self, runtime_id: &str) -> PathBuf {
        self.cache_dir.join(format!("toolchain-{runtime_id}.json"))
    }

    /// Every program of a runtime on its own: where it is, or what [`Toolchains::find`] would say of it.
    pub async fn survey<'a>(&self, description: &'a Description) -> Vec<(&'a Program, Result<Tool>)> {
        let programs = &description.programs;
        match self.outcomes(description).await {
            Ok(outcomes) => {
                let missing = |program: &Program, outcome: Result<Tool, Vec<Rejected>>| {
                    outcome.map_err(|rejected| self.missing(program, &rejected))
                };
                programs.iter().zip(outcomes).map(|(program, outcome)| (program, missing(program, outcome))).collect()
            }
            Err(error) => programs.iter().map(|program| (program, Err(error.clone()))).collect(),
        }
    }

    async fn outcomes(&self, description: &Description) -> Result<Vec<Result<Tool, Vec<Rejected>>>> {
        let cache_dir = self.cache_dir.clone();
        blocking(move || Ok(std::fs::create_dir_all(cache_dir)?)).await?;
        self.memo.load().await;
        let outcomes = join_all(description.programs.iter().map(|program| self.program(program))).await;
        self.memo.save().await;
        Ok(outcomes)
    }

    async fn search(&self, runtime_id: &str, description: &Description) -> Result<Arc<Toolchain>> {
        let mut tools = BTreeMap::new();
        for (program, outcome) in description.programs.iter().zip(self.outcomes(description).await?) {
            match outcome {
                Ok(tool) => {
                    tools.insert(program.name.clone(), tool);
                }
                Err(rejected) if program.required => return Err(self.missing(program, &rejected)),
                Err(rejected) => {
                    for Rejected { path, why } in rejected {
                        tracing::debug!(program = program.name, path = %path.display(), why, "not used");
                    }
                }
            }
        }
        let toolchain = Toolchain { tools, platform: platform() };
        self.remember(runtime_id, &toolchain).await;
        Ok(Arc::new(toolchain))
    }

    async fn program(&self, program: &Program) -> Result<Tool, Vec<Rejected>> {
        let mut rejected = Vec::new();
        let (surroundings, wanted) = (self.surroundings.clone(), program.clone());
        let candidates = blocking(move || Ok(surroundings.candidates(&wanted))).await.unwrap_or_default();
        for path in candidates {
            match self.judge(program, &path).await {
                Ok(tool) => return Ok(tool),
                Err(error) => rejected.push(Rejected { path, why: error.to_string() }),
            }
        }
        Err(rejected)
    }

    async fn judge(&self, program: &Program, candidate: &Path) -> Result<Tool> {
        let tool = match self.memo.recall(candidate, &program.probe) {
            Some(tool) => tool,
            None => {
                let environment = self.surroundings.probe_environment();
                let tool = probe::ask(&self.supervisor, program, candidate, environment, &self.cache_dir).await?;
                self.memo.learn(candidate, &program.probe, &tool);
                tool
            }
        };
        if let Some(minimum) = &program.minimum
            && probe::numbers(&tool.version) < probe::numbers(minimum)
        {
            return Err(Error::unsupported(format!("version {} is older than {minimum}", tool.version)));
        }
        match self.exposed(&tool) {
            Some((root, path)) => Err(Error::unsupported(format!(
                "it is installed in `{}`, and a server that may read that could read `{}`",
                root.display(),
                path.display()
            ))),
            None => Ok(tool),
        }
    }

    /// A folder of the program, and what must not be read that is in it.
    fn exposed<'a>(&'a self, tool: &'a Tool) -> Option<(&'a PathBuf, &'a PathBuf)> {
        let inside = |root: &PathBuf| self.forbidden.iter().find(|path| path.starts_with(real(root)));
        tool.roots.iter().find_map(|root| inside(root).map(|path| (root, path)))
    }

    fn missing(&self, program: &Program, rejected: &[Rejected]) -> Error {
        let name = &program.name;
        let wanted = program.minimum.as_ref().map(|minimum| format!(" {minimum} or newer")).unwrap_or_default();
        let mut message = format!("`{name}`{wanted} was not found");
        for Rejected { path, why } in rejected.iter().take(3) {
            message.push_str(&format!("; `{}` will not do: {why}", path.display()));
        }
        let names = program.candidates.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        message.push_str(&format!("; looked for {names} on PATH and in {} usual places", program.places.len()));
        let mut error = Error::unavailable(message);
        error.hint = program.install_hint.clone();
        error.data = json!({
            "program": name,
            "path": self.surroundings.path,
            "places": program.places,
            "rejected": rejected.iter().map(|r| json!({"path": r.path, "why": r.why})).collect::<Vec<_>>(),
        });
        error
    }
}

/// Where a path leads, or the path itself when that cannot be told.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Such as `linux-x86_64-gnu`: wheels and native packages are built for just that.
fn platform() -> String {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    if system != "linux" {
        return format!("{system}-{machine}");
    }
    // The host itself may be linked statically, so its own target says nothing about the interpreters of the machine.
    let loaders = |prefix: &str| {
        let folders = ["/lib", "/lib64"].into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
        folders.flatten().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
    };
    let library = if loaders("ld-musl-") && !loaders("ld-linux-") { "musl" } else { "gnu" };
    format!("{system}-{machine}-{library}")
}
