use serde::Serialize;

use super::command::run;
use crate::{
    config::{Config, Directories},
    exit::Failure,
    plugins::Plugins,
    supervisor::Supervisor,
};

/// A plugin that is installed, or should be.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// Its name in the configuration.
    pub name: String,
    /// As it tells it.
    pub version: Option<String>,
    /// Among `runtime`, `storage` and `tools`.
    pub provides: Vec<String>,
    /// `built in`, a file, or a command.
    pub from: String,
    /// Why it is not loaded.
    pub problem: Option<String>,
}

/// Opens every plugin to see which ones are there, and closes them again.
///
/// # Errors
/// A plugin that does not take its configuration.
pub fn installed(config: Config, directories: Directories) -> Result<Vec<Installed>, Failure> {
    run(async {
        let supervisor = Supervisor::new(directories.state.clone());
        let plugins = super::plugins(&config, &directories, &supervisor, None).await?;
        let mut all = rows(&config, &plugins);
        plugins.shutdown_processes().await;
        supervisor.shutdown().await;
        plugins.shutdown().await;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    })
}

fn rows(config: &Config, plugins: &Plugins) -> Vec<Installed> {
    let mut all: Vec<_> = plugins
        .iter()
        .map(|plugin| Installed {
            name: plugin.name.clone(),
            version: Some(plugin.version.clone()),
            provides: plugin.provides().into_iter().map(str::to_owned).collect(),
            from: plugin.origin().to_string(),
            problem: None,
        })
        .collect();
    all.extend(plugins.failed().map(|failed| {
        let hint = failed.error.hint.iter().map(|hint| format!(" ({hint})")).collect::<String>();
        Installed {
            name: failed.name.clone(),
            version: None,
            provides: Vec::new(),
            from: failed.origin.to_string(),
            problem: Some(format!("{}{hint}", failed.error)),
        }
    }));
    let known: Vec<_> = all.iter().map(|row| row.name.clone()).collect();
    all.extend(config.plugins.keys().filter(|name| !known.iter().any(|known| known == name.as_str())).map(|name| {
        let problem = config.check_plugin(name, &perennial_sdk::registrations()).err().map(|error| error.to_string());
        Installed { name: name.to_string(), version: None, provides: Vec::new(), from: String::new(), problem }
    }));
    all
}
