//! The one TOML file, typed: what may be written in it, where it is looked for, what the environment overrides, and
//! errors that name the line.

mod cache;
mod directories;
pub mod edit;
mod error;
mod exposure;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod instances;
mod interpolation;
mod limits;
mod load;
mod numbers;
mod overrides;
mod plugins;
mod policy;
mod registries;
mod reload;
mod schema;
mod shown;
mod source;
mod variables;
mod wording;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use perennial_sdk::{Registration, Retention};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use cache::Cache;
pub use directories::{Directories, usual_file};
pub use error::ConfigError;
pub use exposure::{Exposure, ExposureMode};
pub use http::Http;
pub use limits::Limits;
pub use load::{Request, load, load_text};
pub use numbers::{Cores, Gigabytes, Seconds, Whole};
pub(crate) use plugins::to_json as table_as_json;
pub use plugins::{PerPlatform, PluginName, PluginSettings, Sha256, Trust};
pub use policy::{HostAndPort, NetworkCeiling, Place, Policy, Sandbox, VariableName};
pub use registries::{Address, CrateIndex, Registries};
pub use reload::{Change, Reloaded};
pub use schema::schema;
pub use shown::{Setting, SettingOrigin};
pub use variables::Variables;
pub(crate) use wording::suggestion;

use crate::{log::Levels, plugins::Configured};

/// The file with every key and its default; a test holds it and [`Config::default`] together.
pub const EXAMPLE: &str = include_str!("../../../perennial.example.toml");

/// The newest `schema_version` that this program reads.
pub const SCHEMA_VERSION: u64 = 1;

/// Everything that an operator can set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The version of the file's format.
    #[schemars(range(min = 1, max = 1))]
    pub schema_version: u64,
    /// Where saved servers go.
    pub storage: StorageChoice,
    /// How much a server may use when it does not say otherwise.
    pub limits: Limits,
    /// The ceiling of what any server may be granted.
    pub policy: Policy,
    /// Where installs get their packages.
    pub registries: Registries,
    /// How much of the disk installed packages may take.
    pub cache: Cache,
    /// Which servers' tools are first-class.
    pub exposure: Exposure,
    /// What `perennial serve --http` listens on, and whom it answers.
    pub http: Http,
    /// What is written to standard error.
    pub log: Logging,
    /// Plugins by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<PluginName, PluginSettings>,
    #[serde(skip)]
    origin: source::Origin,
}

/// `[storage]`: where saved servers go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StorageChoice {
    /// The storage plugin.
    #[serde(rename = "use")]
    pub plugin: PluginName,
    /// How many of a server's newest versions `perennial gc` keeps; all, when there is no number and no age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<Whole<1, 1_000_000>>,
    /// For how many days it keeps a version that was replaced by a newer one, whatever its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<Whole<1, 36_500>>,
    /// For how many days it keeps the versions of a deleted server.
    pub deleted_days: Whole<1, 36_500>,
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// From which level on.
    pub level: Levels,
}

impl StorageChoice {
    /// What `perennial gc` keeps.
    pub fn retention(&self) -> Retention {
        let days = |days: Whole<1, 36_500>| Duration::from_secs(days.get() * 86_400);
        Retention {
            versions: self.keep_versions.map(Whole::get),
            replaced: self.keep_days.map(days),
            deleted: days(self.deleted_days),
            dry_run: false,
        }
    }
}

impl Config {
    /// The file that was read; none when there is none and all is default.
    pub fn file(&self) -> Option<&Path> {
        self.origin.document.as_deref().map(source::Document::path)
    }

    /// The environment variables that decided settings, by dotted key.
    pub fn overridden(&self) -> &BTreeMap<String, &'static str> {
        &self.origin.overridden
    }

    /// A path written in the file: relative ones are relative to the file's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match self.file().and_then(Path::parent) {
            Some(folder) => folder.join(path),
            None => path.to_path_buf(),
        }
    }

    /// A plugin's own table as plugins take it; null when there is none.
    pub fn plugin_config(&self, plugin: &str) -> serde_json::Value {
        match self.plugins.get(plugin).filter(|settings| !settings.config.is_empty()) {
            Some(settings) => plugins::to_json(&settings.config),
            None => serde_json::Value::Null,
        }
    }

    /// The plugins of the file that are not built in, by name.
    pub fn third_party(&self) -> BTreeMap<PluginName, Configured> {
        let sources = self.plugins.iter();
        sources.filter_map(|(name, settings)| Some((name.clone(), plugins::source(self, settings)?))).collect()
    }

    /// Turns what a plugin says about its `config` table into an error at the line and column of the mistake, which
    /// `error.data.path` leads to. Values that came from `${…}` are not repeated in it.
    pub fn config_error(&self, plugin: &str, error: &perennial_sdk::Error) -> ConfigError {
        plugins::config_error(&self.origin, plugin, error)
    }

    /// Says that the storage that was chosen cannot be used, where it was chosen.
    pub fn storage_error(&self, error: &perennial_sdk::Error) -> ConfigError {
        let wanted = &self.storage.plugin;
        let error = ConfigError::new(self.origin.hide(format!("the storage `{wanted}` cannot be used: {error}")))
            .with_help(error.hint.clone().unwrap_or_default());
        self.origin.place(error, &["storage", "use"])
    }

    /// Says that the server that is to be the only one cannot be, where that was written.
    pub fn only_error(&self, error: &perennial_sdk::Error) -> ConfigError {
        let error = ConfigError::new(self.origin.hide(format!("no server can be the only one: {error}")))
            .with_help(error.hint.clone().unwrap_or_default());
        self.origin.place(error, &["exposure", "only"])
    }

    /// Checks what only the program as a whole can know: that every plugin named can be one, that the storage is one, and that certificates are where they should be.
    ///
    /// # Errors
    /// The first thing that is wrong, at its place in the file.
    pub fn check(&self, built_in: &[&Registration]) -> Result<(), ConfigError> {
        for name in self.plugins.keys() {
            self.check_plugin(name, built_in)?;
        }
        self.check_storage(built_in)?;
        self.http.check(&self.origin)?;
        self.check_authorities()
    }

    /// Why a plugin of the file cannot be loaded.
    ///
    /// # Errors
    /// The reason, at its place in the file.
    pub fn check_plugin(&self, name: &PluginName, built_in: &[&Registration]) -> Result<(), ConfigError> {
        let settings = &self.plugins[name];
        match &settings.plugin {
            Some(of) => instances::check(&self.origin, name, of, settings, built_in),
            None => plugins::check(&self.origin, name, settings, built_in),
        }
    }

    fn check_storage(&self, built_in: &[&Registration]) -> Result<(), ConfigError> {
        let wanted = &self.storage.plugin;
        let storages = built_in.iter().filter(|plugin| plugin.provides.contains(&"storage")).map(|plugin| plugin.id);
        // whether one of others is a storage is known once it is open
        let others = self.plugins.iter().filter(|(_, settings)| settings.path.is_some() || settings.command.is_some());
        let storages = storages.chain(others.map(|(name, _)| name.as_str()));
        let storages: Vec<_> = storages.chain(self.instances().map(|(name, _)| name)).collect();
        let behind = self.plugin_behind(wanted.as_str());
        if behind != wanted.as_str() && !storages.contains(&behind) {
            let error = ConfigError::new(format!("plugin `{wanted}` is `{behind}`, which is no storage"));
            return Err(self.origin.place(error, &["storage", "use"]));
        }
        if storages.contains(&wanted.as_str()) {
            return Ok(());
        }
        let error = ConfigError::new(format!("there is no storage plugin `{wanted}`")).with_help(wording::suggestion(
            wanted.as_str(),
            &storages,
            "storages",
        ));
        Err(self.origin.place(error, &["storage", "use"]))
    }

    fn check_authorities(&self) -> Result<(), ConfigError> {
        let Some(file) = self.registries.ca.as_deref().map(|file| self.resolve(file)) else { return Ok(()) };
        if file.is_file() {
            return Ok(());
        }
        let error = ConfigError::new(format!("`registries.ca` is `{}`, which is no file", file.display()));
        Err(self.origin.place(error, &["registries", "ca"]))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            storage: StorageChoice::default(),
            limits: Limits::default(),
            policy: Policy::default(),
            registries: Registries::default(),
            cache: Cache::default(),
            exposure: Exposure::default(),
            http: Http::default(),
            log: Logging::default(),
            plugins: BTreeMap::new(),
            origin: source::Origin::default(),
        }
    }
}

impl Default for StorageChoice {
    fn default() -> Self {
        Self {
            plugin: PluginName::built_in("json"),
            keep_versions: None,
            keep_days: None,
            deleted_days: Whole::new(30),
        }
    }
}

#[cfg(test)]
mod tests;
