//! What is installed: runtimes, storages and tools, by name; linked in, loaded, or running as a process.

mod builtin;
mod inspect;
mod instances;
mod lives;
mod log;
mod mcp_tools;
mod native;
mod opening;
mod process;
mod proxy;
pub mod scaffold;
mod source;
mod status;
mod transport;
pub mod trial;

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use perennial_sdk::{Description, DynStorage, DynTools, Error, ErrorCode, Home, LanguageRuntime, Opened, Result};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use self::opening::Opening;
pub use inspect::{Inspected, Inspection, Pin, inspect, platform};
pub use source::{Source, Surroundings, loopback};

/// The opened plugins, those that could not be opened, and those of which nobody knows yet.
pub struct Plugins {
    built_in: Vec<Plugin>,
    others: Vec<Opening>,
}

/// A plugin at work.
pub struct Plugin {
    /// Its name in the configuration.
    pub name: String,
    /// Its version, as it tells it.
    pub version: String,
    /// What it provides.
    pub opened: Opened,
    origin: Origin,
    description: Option<Arc<Description>>,
}

/// A plugin that is not there.
pub struct Failed {
    /// Its name in the configuration.
    pub name: String,
    /// Where it would come from.
    pub origin: Origin,
    /// Why it is not.
    pub error: Error,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is linked into this program.
    BuiltIn,
    /// It is one more of a plugin that is linked into this program.
    Instance(String),
    /// A library.
    File(PathBuf),
    /// Program and arguments.
    Command(Vec<String>),
}

/// A plugin of the configuration: where it comes from, or why nobody can say.
pub type Configured = Result<Source, (Origin, Error)>;

/// A storage that was opened by itself, beside the plugins of the host.
pub struct Storage {
    opened: Opened,
    storage: Arc<dyn DynStorage>,
}

/// A language runtime with what it says of itself.
#[derive(Clone)]
pub struct Runtime {
    /// The plugin's name.
    pub name: String,
    /// The version of its crate.
    pub version: String,
    /// What it plans with.
    pub runtime: Arc<dyn LanguageRuntime>,
    /// Its languages and programs.
    pub description: Arc<Description>,
}

/// How calls crossed the boundary to loaded plugins so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Calls to one plugin that have not come back.
    pub in_flight: usize,
    /// Calls to any plugin that came back twice, or were never made.
    pub stray: u64,
}

impl Traffic {
    /// As it is now.
    pub fn of(plugin: &str) -> Self {
        Self { in_flight: native::in_flight(plugin), stray: native::stray() }
    }
}

impl Plugins {
    /// Opens every plugin that is linked into this program and those of `configured`, which go before a built-in one of
    /// the same name; `config` gives each its own table.
    ///
    /// A plugin of others that does not open is left out, and [`Plugins::failed`] tells why. A process that has not come up
    /// after `patience` is not waited for any longer, unless it is the `needed` one: it joins the others later.
    ///
    /// # Errors
    /// The name of a plugin that does not take its configuration, and why.
    pub async fn open(
        around: &Surroundings,
        configured: BTreeMap<String, Configured>,
        needed: &str,
        patience: Option<Duration>,
        config: impl Fn(&str) -> Value,
    ) -> Result<Self, (String, Error)> {
        let mut built_in = Vec::new();
        for registration in builtin::registrations().into_iter().filter(|one| !configured.contains_key(one.id)) {
            let (name, opened) = (registration.id, (registration.open)(config(registration.id), around.home.clone()));
            let opened = opened.await.map_err(|error| (name.to_owned(), error))?;
            built_in.push(Plugin::new(name, registration.version, opened));
        }
        let others: Vec<_> = configured
            .into_iter()
            .map(|(name, one)| {
                let config = config(&name);
                Opening::begin(name, one, config, around)
            })
            .collect();
        let until = patience.map(|patience| Instant::now() + patience);
        for one in &others {
            match until {
                Some(until) if one.is_process() && one.name != needed => {
                    let _ = timeout_at(until, one.outcome().wait()).await;
                }
                _ => drop(one.outcome().wait().await),
            }
        }
        for failed in others.iter().filter_map(Opening::failed) {
            if failed.error.is_about_config() {
                return Err((failed.name.clone(), failed.error.clone()));
            }
            failed.tell();
        }
        Ok(Self { built_in, others })
    }

    /// Those that could not be opened.
    pub fn failed(&self) -> impl Iterator<Item = &Failed> {
        self.others.iter().filter_map(Opening::failed)
    }

    /// All that are open, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin> {
        let mut all: Vec<_> = self.built_in.iter().chain(self.others.iter().filter_map(Opening::plugin)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.into_iter()
    }

    /// Hears of those that are still being opened when they are open. One that does not open is told of in the log.
    pub fn hear_of_late(&self, hear: impl Fn(&Plugin) + Send + Sync + 'static) {
        let hear = Arc::new(hear);
        for late in self.others.iter().filter(|one| one.is_pending()) {
            let (outcome, hear) = (late.outcome().clone(), hear.clone());
            tokio::spawn(async move {
                match outcome.wait().await {
                    Ok(plugin) => hear(plugin),
                    Err(failed) => failed.tell(),
                }
            });
        }
    }

    /// The runtime of a language, by the language's name or an alias.
    ///
    /// # Errors
    /// `unsupported`, with the languages that there are.
    pub fn runtime(&self, language: &str) -> Result<(Runtime, String)> {
        let wanted = language.trim().to_lowercase();
        let known = || self.languages().collect::<Vec<_>>().join(", ");
        self.runtimes()
            .find_map(|runtime| {
                let language = runtime
                    .description
                    .languages
                    .iter()
                    .find(|language| language.name == wanted || language.aliases.contains(&wanted))?;
                Some((runtime.clone(), language.name.clone()))
            })
            .ok_or_else(|| {
                let shown: String = language.chars().take(40).collect();
                let failed = self.failed().map(|failed| format!("; the plugin {failed}")).collect::<String>();
                let late = self.others.iter().filter(|one| one.is_pending());
                let late = late.map(|one| format!("; the plugin `{}` is still starting", one.name)).collect::<String>();
                Error::unsupported(format!("no runtime for the language `{shown}`"))
                    .hint(format!("`language` is one of: {}{failed}{late}", known()))
            })
    }

    /// The main names of all languages.
    pub fn languages(&self) -> impl Iterator<Item = String> {
        self.runtimes().flat_map(|runtime| {
            runtime.description.languages.iter().map(|language| language.name.clone()).collect::<Vec<_>>()
        })
    }

    /// A storage by its plugin's name.
    ///
    /// # Errors
    /// `not_found`, with the storages that there are.
    pub fn storage(&self, name: &str) -> Result<Arc<dyn DynStorage>> {
        let found = self.iter().find(|plugin| plugin.name == name).and_then(|plugin| plugin.opened.storage.clone());
        if let Some(failed) = self.failed().find(|failed| failed.name == name) {
            let why = failed.error.clone();
            return Err(Error { code: ErrorCode::NotFound, ..why }.context("the plugin is not loaded"));
        }
        found.ok_or_else(|| {
            let known: Vec<_> =
                self.iter().filter(|plugin| plugin.opened.storage.is_some()).map(|p| p.name.as_str()).collect();
            unknown_storage(name, &known)
        })
    }

    /// The tools that plugins contribute, with the plugin's name.
    pub fn tool_providers(&self) -> impl Iterator<Item = (&str, Arc<dyn DynTools>)> {
        self.iter().filter_map(|plugin| Some((plugin.name.as_str(), plugin.opened.tools.clone()?)))
    }

    /// Ends those that are not processes: what must still be written is written.
    pub async fn shutdown(&self) {
        join_all(self.iter().filter(|plugin| !plugin.is_process()).map(|plugin| plugin.opened.shutdown())).await;
    }

    /// Ends those that are processes, which can write only as long as the supervisor lets them live.
    pub async fn shutdown_processes(&self) {
        self.others.iter().for_each(Opening::give_up);
        join_all(self.iter().filter(|plugin| plugin.is_process()).map(|plugin| plugin.opened.shutdown())).await;
    }

    /// The language runtimes.
    pub fn runtimes(&self) -> impl Iterator<Item = Runtime> {
        self.iter().filter_map(|plugin| {
            Some(Runtime {
                name: plugin.name.clone(),
                version: plugin.version.clone(),
                runtime: plugin.opened.runtime.clone()?,
                description: plugin.description.clone()?,
            })
        })
    }
}

impl Storage {
    /// Opens the storage plugin of this name with its own table.
    ///
    /// # Errors
    /// `not_found`, with the storages that there are; what the plugin says of its configuration.
    pub async fn open(name: &str, config: Value, home: Home) -> Result<Self> {
        let storages = || builtin::registrations().into_iter().filter(|plugin| plugin.provides.contains(&"storage"));
        let Some(registration) = storages().find(|plugin| plugin.id == name) else {
            let known: Vec<_> = storages().map(|plugin| plugin.id).collect();
            return Err(unknown_storage(name, &known));
        };
        let opened = (registration.open)(config, home).await?;
        match opened.storage.clone() {
            Some(storage) => Ok(Self { opened, storage }),
            None => Err(Error::internal(format!("plugin `{name}` gives no storage"))),
        }
    }

    /// What it stores in.
    pub fn storage(&self) -> Arc<dyn DynStorage> {
        self.storage.clone()
    }

    /// Ends it: what must still be written is written.
    pub async fn shutdown(&self) {
        self.opened.shutdown().await;
    }
}

fn unknown_storage(name: &str, known: &[&str]) -> Error {
    Error::not_found(format!("no storage plugin `{name}`")).hint(format!("there are: {}", known.join(", ")))
}

impl Plugin {
    pub(super) fn new(name: &str, version: &str, opened: Opened) -> Self {
        let description = opened.runtime.as_ref().map(|runtime| Arc::new(runtime.describe()));
        Self { name: name.into(), version: version.into(), opened, origin: Origin::BuiltIn, description }
    }

    fn instance(name: &str, of: &str, version: &str, opened: Opened) -> Self {
        Self { origin: Origin::Instance(of.into()), ..Self::new(name, version, opened) }
    }

    /// Where it comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    fn is_process(&self) -> bool {
        matches!(self.origin, Origin::Command(_))
    }

    /// Among `runtime`, `storage` and `tools`.
    pub fn provides(&self) -> Vec<&'static str> {
        let kinds = [
            ("runtime", self.opened.runtime.is_some()),
            ("storage", self.opened.storage.is_some()),
            ("tools", self.opened.tools.is_some()),
        ];
        kinds.into_iter().filter_map(|(kind, there)| there.then_some(kind)).collect()
    }
}

impl Failed {
    fn tell(&self) {
        tracing::error!(plugin = self.name, "the plugin is not loaded: {}", self.error);
    }
}

impl Source {
    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Native { path, .. } => Origin::File(path.clone()),
            Self::Process { command, .. } => Origin::Command(command.clone()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(of) => write!(f, "built in: {of}"),
            Self::BuiltIn => f.write_str("built in"),
            Self::File(path) => path.display().fmt(f),
            Self::Command(command) => f.write_str(&command.join(" ")),
        }
    }
}

/// ``deno` is not loaded: why``
impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not loaded: {}", self.name, self.error)
    }
}

/// What an [`Error`] is about.
pub(crate) trait AboutConfig {
    /// Whether it tells of a mistake in the plugin's own table.
    fn is_about_config(&self) -> bool;
}

impl AboutConfig for Error {
    fn is_about_config(&self) -> bool {
        self.code == ErrorCode::Invalid && self.data.get("path").is_some()
    }
}
