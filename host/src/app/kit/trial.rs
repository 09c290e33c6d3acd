use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use perennial_sdk::{Cx, Error, Home, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    app::command::run,
    config::{Config, Directories, suggestion},
    exit::Failure,
    host::Settings,
    plugins::{
        AboutConfig, Inspection, Pin, Source, inspect,
        trial::{Provenance, Told, Trial, Tried},
    },
    supervisor::{Finished, ProcessSpec, Supervisor},
    tools,
};

/// The variable that tells the process of a trial what to try.
pub const TRIAL: &str = "PERENNIAL_TRIAL";

/// How long a whole trial may take at most, whatever hangs in it.
const LONGEST: Duration = Duration::from_secs(900);

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A plugin of the configuration, or a built-in one.
    Name(String),
    /// Every plugin in a library.
    File(PathBuf),
}

/// How it is tried.
#[derive(Debug, Default)]
pub struct TryPlugin {
    /// Settings that stand before those of the configuration.
    pub settings: toml::Table,
    /// Whether a record may be written to a storage.
    pub try_storage: bool,
    /// Arguments of the process for its log.
    pub log: Vec<String>,
}

/// Opens a plugin in a process of its own and tells what it is, and what is wrong with it. `hear` gets what that process
/// says on its standard error.
///
/// # Errors
/// There is no such plugin; it does not open, or it takes its process down.
pub fn try_plugin(
    config: &Config,
    directories: &Directories,
    subject: &Subject,
    how: &TryPlugin,
    mut hear: impl FnMut(&str) + Send,
) -> Result<Vec<Tried>, Failure> {
    let plan = Prepared::new(config, directories, subject, how)?;
    run(async {
        let supervisor = Supervisor::new(directories.state.clone());
        let mut all = Vec::new();
        for (library, trial) in &plan.trials {
            let outcome = elsewhere(&supervisor, trial, how, &mut hear).await;
            let mut tried = outcome.map_err(|error| match subject {
                _ if !error.is_about_config() => Failure::Error(error),
                Subject::Name(name) if how.settings.is_empty() => config.config_error(name, &error).into(),
                _ => Failure::Usage(error.context(format!("`{}` does not take these settings", trial.name))),
            })?;
            tried.library.clone_from(library);
            tried.problems.extend(taken_names(&tried));
            all.push(tried);
        }
        supervisor.shutdown().await;
        Ok(all)
    })
}

/// Carries out a trial in this process, which is there for nothing else.
///
/// # Errors
/// Nobody said what to try.
pub fn carry_out_trial(tell: impl Fn(&Told)) -> Result<(), Failure> {
    let order = std::env::var(TRIAL).map_err(|_| Error::invalid(format!("`{TRIAL}` does not say what to try")))?;
    let trial: Trial = serde_json::from_str(&order).map_err(Error::from)?;
    run(async {
        let supervisor = Supervisor::new(trial.state.clone());
        let outcome = trial.carry_out(&supervisor, |told| tell(&told)).await;
        supervisor.shutdown().await;
        tell(&Told::Ends(Box::new(outcome)));
        Ok(())
    })
}

/// What is to be tried, and the folder that lasts as long as that.
struct Prepared {
    trials: Vec<(Option<Inspection>, Trial)>,
    _home: Option<TempDir>,
}

impl Prepared {
    fn new(config: &Config, directories: &Directories, subject: &Subject, how: &TryPlugin) -> Result<Self, Failure> {
        let limits = Settings::from(config);
        let trial = |name: &str, from, data: &Path, settings: &Value| Trial {
            name: name.to_owned(),
            from,
            config: settings_before(settings, &how.settings),
            home: Home { data_dir: data.to_path_buf() },
            copies: directories.cache.join("plugins"),
            state: directories.state.clone(),
            start: limits.start_timeout,
            limit: limits.call_timeout,
            try_storage: how.try_storage,
        };
        match subject {
            Subject::File(file) => {
                let file = std::path::absolute(file).map_err(Error::from)?;
                let inspected = inspect(&file, &Pin::Unpinned).map_err(|error| match error.code {
                    perennial_sdk::ErrorCode::NotFound => Error { hint: None, ..error },
                    _ => error,
                })?;
                // a plugin that nobody chose must not touch the user's own data
                let home = tempfile::Builder::new().prefix("perennial-check-").tempdir().map_err(Error::from)?;
                let from = || Source::Native { path: file.clone(), pin: Pin::Sha256(inspected.sha256.clone()) };
                let each = inspected.manifests.iter().map(|manifest| {
                    let source = Provenance::Source(from());
                    (Some(inspected.told()), trial(&manifest.id, source, home.path(), &Value::Null))
                });
                Ok(Self { trials: each.collect(), _home: Some(home) })
            }
            Subject::Name(name) => {
                let from = provenance(config, name)?;
                let library = match &from {
                    Provenance::Source(Source::Native { path, pin }) => Some(inspect(path, pin)?.told()),
                    _ => None,
                };
                let trial = trial(name, from, &directories.data, &config.plugin_config(name));
                Ok(Self { trials: vec![(library, trial)], _home: None })
            }
        }
    }
}

fn provenance(config: &Config, name: &str) -> Result<Provenance, Failure> {
    let built_in = perennial_sdk::registrations();
    if let Some((name, _)) = config.plugins.get_key_value(name) {
        config.check_plugin(name, &built_in)?;
        if let Some(source) = config.third_party().remove(name) {
            return Ok(Provenance::Source(source.map_err(|(_, error)| error)?));
        }
    }
    let behind = config.plugin_behind(name);
    if built_in.iter().any(|plugin| plugin.id == behind) {
        return Ok(Provenance::BuiltIn(behind.to_owned()));
    }
    let ids = built_in.iter().map(|plugin| plugin.id);
    let known: Vec<_> = config.plugins.keys().map(|name| name.as_str()).chain(ids).collect();
    let hint = suggestion(name, &known, "there are");
    Err(Error::not_found(format!("no plugin `{name}` in the configuration"))
        .hint(format!("{hint}\na library is named by its path: `./{name}`"))
        .into())
}

fn settings_before(configured: &Value, settings: &toml::Table) -> Value {
    match (configured, crate::config::table_as_json(settings)) {
        (Value::Object(configured), Value::Object(settings)) => {
            let mut all = configured.clone();
            all.extend(settings);
            Value::Object(all)
        }
        (_, Value::Object(settings)) if settings.is_empty() => Value::Null,
        (_, settings) => settings,
    }
}

/// A name that a built-in tool has is never given to another.
fn taken_names(tried: &Tried) -> Vec<String> {
    let taken = tried.tools.iter().filter(|tool| tools::is_built_in(&tool.name));
    taken.map(|tool| format!("the tool `{}` is left out: Perennial has one of that name", tool.name)).collect()
}

/// Tries a plugin in a process of its own.
async fn elsewhere(
    supervisor: &std::sync::Arc<Supervisor>,
    trial: &Trial,
    how: &TryPlugin,
    hear: &mut (impl FnMut(&str) + Send),
) -> Result<Tried> {
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    env.insert(TRIAL.into(), serde_json::to_string(trial)?);
    let spec = ProcessSpec {
        label: format!("check {}", trial.name),
        program: "/proc/self/exe".into(),
        args: ["plugin", "__try"].map(str::to_owned).into_iter().chain(how.log.clone()).collect(),
        env,
        cwd: std::env::current_dir()?,
        confinement: None,
    };
    let finished = supervisor.run(&Cx::detached(), spec, LONGEST, hear).await?;
    let told = String::from_utf8_lossy(&finished.stdout);
    let mut doing = "was begun with".to_owned();
    for told in told.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match told {
            Told::Begins(what) => doing = what,
            Told::Ends(outcome) => return *outcome,
        }
    }
    Err(taken_down(&trial.name, &doing, &finished))
}

fn taken_down(name: &str, doing: &str, finished: &Finished) -> Error {
    let exit = &finished.exit;
    Error::internal(format!("the plugin `{name}` took its process down while it {doing}: the process {exit}"))
        .hint("loaded into a host it would end that; out of process (`command`) it ends alone")
}
