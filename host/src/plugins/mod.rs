//! What is installed: runtimes, storages and tools, by name.

mod builtin;
mod instances;

use std::sync::Arc;

use perennial_sdk::{Description, DynStorage, DynTools, Error, Home, LanguageRuntime, Opened, Registration, Result};
use serde_json::Value;

/// The opened plugins.
pub struct Plugins {
    all: Vec<Plugin>,
}

/// A plugin at work.
pub struct Plugin {
    /// Its name in the configuration.
    pub name: String,
    /// The version of its crate.
    pub version: String,
    opened: Opened,
    description: Option<Arc<Description>>,
}

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

impl Plugins {
    /// Opens every plugin that is linked into this program; `config` gives each its own table.
    ///
    /// # Errors
    /// The name of the plugin whose configuration does not fit, and why.
    pub async fn open(home: &Home, config: impl Fn(&str) -> Value) -> Result<Self, (String, Error)> {
        let mut all = Vec::new();
        for registration in builtin::registrations() {
            let Registration { id, version, open, .. } = registration;
            let opened = open(config(id), home.clone()).await.map_err(|error| ((*id).to_owned(), error))?;
            let description = opened.runtime.as_ref().map(|runtime| Arc::new(runtime.describe()));
            all.push(Plugin { name: (*id).into(), version: (*version).into(), opened, description });
        }
        Ok(Self { all })
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Plugin> {
        self.all.iter()
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
                Error::unsupported(format!("no runtime for the language `{shown}`"))
                    .hint(format!("`language` is one of: {}", known()))
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
        let found = self.all.iter().find(|plugin| plugin.name == name).and_then(|plugin| plugin.opened.storage.clone());
        found.ok_or_else(|| {
            let known: Vec<_> =
                self.all.iter().filter(|plugin| plugin.opened.storage.is_some()).map(|p| p.name.as_str()).collect();
            unknown_storage(name, &known)
        })
    }

    /// The tools that plugins contribute, with the plugin's name.
    pub fn tool_providers(&self) -> impl Iterator<Item = (&str, Arc<dyn DynTools>)> {
        self.all.iter().filter_map(|plugin| Some((plugin.name.as_str(), plugin.opened.tools.clone()?)))
    }

    /// Ends all of them: what must still be written is written.
    pub async fn shutdown(&self) {
        for plugin in &self.all {
            plugin.opened.shutdown().await;
        }
    }

    /// The language runtimes.
    pub fn runtimes(&self) -> impl Iterator<Item = Runtime> {
        self.all.iter().filter_map(|plugin| {
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
