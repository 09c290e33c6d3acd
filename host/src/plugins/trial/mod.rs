//! Opens one plugin and looks whether it keeps to what its kind promises, for `perennial plugin check`. That happens in a
//! process of its own, which a plugin may take down with it.

mod runtime;
mod storage;
mod tools;

use std::{path::PathBuf, sync::Arc, time::Duration};

use perennial_sdk::{Capabilities, Error, Home, Result, ToolDefinition};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Inspection, Plugin, Source, Surroundings, builtin};
use crate::supervisor::Supervisor;

/// All that the process of a trial is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial {
    /// The plugin's name in the configuration, or its id.
    pub name: String,
    /// Where it comes from.
    pub from: Provenance,
    /// Its own table.
    pub config: Value,
    /// Where it lives.
    pub home: Home,
    /// Where libraries are copied to before they are loaded.
    pub copies: PathBuf,
    /// Where what runs is recorded.
    pub state: PathBuf,
    /// How long it may take to come up.
    pub start: Duration,
    /// How long a call may take.
    pub limit: Duration,
    /// Whether a record may be written to it, and deleted again.
    pub try_storage: bool,
}

/// Where a plugin comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// It is linked into this program, under this id.
    BuiltIn(String),
    /// It is not.
    Source(Source),
}

/// What the process of a trial tells, in this order. What it began last is what it died of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// What is done next, to be read after “while it”.
    Begins(String),
    /// What the trial came to.
    Ends(Box<Result<Tried, Error>>),
}

/// What a plugin is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its name in the configuration, or its id.
    pub name: String,
    /// As it tells it.
    pub version: String,
    /// `built in`, a file, or a command.
    pub from: String,
    /// What was known of the library before any of it ran; none unless it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<Inspection>,
    /// Among `runtime`, `storage` and `tools`.
    pub provides: Vec<String>,
    /// The languages of a runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<TriedLanguage>,
    /// The programs that a runtime needs: what the host looks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// What a storage says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<TriedStorage>,
    /// The tools, as models see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDefinition>,
    /// What is not as it should be.
    pub problems: Vec<String>,
}

/// A language of a runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriedLanguage {
    /// Its main name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// How many templates it has.
    pub templates: usize,
}

/// What a storage says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriedStorage {
    /// Where the records are.
    pub location: String,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The id of the record that was written, read, listed and deleted again; none when that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_record: Option<String>,
}

impl Trial {
    /// Opens the plugin, tries it and closes it again.
    ///
    /// # Errors
    /// It does not open.
    pub async fn carry_out(self, supervisor: &Arc<Supervisor>, tell: impl Fn(Told)) -> Result<Tried> {
        let begin = |what: &str| tell(Told::Begins(what.to_owned()));
        begin("was opened");
        let plugin = self.open(supervisor).await?;
        let mut tried = Tried {
            name: self.name.clone(),
            version: plugin.version.clone(),
            from: plugin.origin().to_string(),
            library: None,
            provides: plugin.provides().into_iter().map(str::to_owned).collect(),
            languages: Vec::new(),
            programs: Vec::new(),
            storage: None,
            tools: Vec::new(),
            problems: Vec::new(),
        };
        if let (Some(runtime), Some(description)) = (&plugin.opened.runtime, &plugin.description) {
            begin("planned its templates");
            tried.languages = description.languages.iter().map(TriedLanguage::from).collect();
            tried.programs = description.programs.iter().map(|program| program.name.clone()).collect();
            tried.problems.extend(runtime::problems(runtime.clone(), description.clone()).await);
        }
        if let Some(storage) = &plugin.opened.storage {
            let mut told =
                TriedStorage { location: storage.location(), capabilities: storage.capabilities(), trial_record: None };
            if self.try_storage {
                begin("kept a trial record");
                let (id, problems) = storage::keep_a_record(&**storage, self.limit).await;
                told.trial_record = Some(id.to_string());
                tried.problems.extend(problems);
            }
            tried.storage = Some(told);
        }
        if let Some(tools) = &plugin.opened.tools {
            tried.tools = tools.tools();
            tried.problems.extend(tools::problems(&tried.tools));
        }
        if tried.provides.is_empty() {
            tried.problems.push("it provides nothing: neither a runtime nor a storage nor tools".into());
        }
        begin("was ended");
        plugin.opened.shutdown().await;
        Ok(tried)
    }

    async fn open(&self, supervisor: &Arc<Supervisor>) -> Result<Plugin> {
        match &self.from {
            Provenance::BuiltIn(id) => {
                let registration = builtin::registrations().into_iter().find(|plugin| plugin.id == id);
                let registration =
                    registration.ok_or_else(|| Error::not_found(format!("no plugin `{id}` is built in")))?;
                let opened = (registration.open)(self.config.clone(), self.home.clone()).await?;
                Ok(match *id == self.name {
                    true => Plugin::new(&self.name, registration.version, opened),
                    false => Plugin::instance(&self.name, id, registration.version, opened),
                })
            }
            Provenance::Source(source) => {
                let around = Surroundings {
                    home: self.home.clone(),
                    copies: self.copies.clone(),
                    supervisor: supervisor.clone(),
                    start: self.start,
                    limit: self.limit,
                };
                let plugin = source.open(&self.name, self.config.clone(), &around).await?;
                Ok(Plugin { origin: source.origin(), ..plugin })
            }
        }
    }
}

impl From<&perennial_sdk::Language> for TriedLanguage {
    fn from(language: &perennial_sdk::Language) -> Self {
        let (name, aliases) = (language.name.clone(), language.aliases.clone());
        Self { name, aliases, templates: language.templates.len() }
    }
}
