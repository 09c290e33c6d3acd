use std::sync::Arc;

use perennial_sdk::Error;

use super::App;
use crate::{
    blocking::blocking,
    config::{Change, Config, ConfigError, Request},
    host::Settings,
    log,
};

/// How the configuration is read again while the host runs.
#[derive(Clone)]
pub struct Reload {
    /// As at the start.
    pub request: Request,
    /// `-v`, which goes before the file's level.
    pub verbose: u8,
    /// `-q`, likewise.
    pub quiet: bool,
}

/// The configuration in force, and how to read it again.
pub struct Reloading {
    config: Config,
    reload: Reload,
}

impl Reloading {
    /// None when there is no file that could be read again.
    pub fn of(config: Config, reload: Reload) -> Option<Self> {
        config.file().is_some().then_some(Self { config, reload })
    }

    /// Reads the file again. All of it is in force afterwards that can be while servers run, or nothing of it.
    pub(super) async fn carry_out(&mut self, app: &Arc<App>) {
        let (reload, old) = (self.reload.clone(), self.config.clone());
        let reading = blocking(move || {
            let read = || -> Result<_, ConfigError> {
                let new = crate::config::load(&reload.request)?;
                new.check(&perennial_sdk::registrations())?;
                old.reloaded(new)
            };
            // certificates and the installers' own files are read here
            Ok::<_, Error>(read().map(|reloaded| (super::registries(&reloaded.config), reloaded)))
        });
        let (registries, reloaded) = match reading.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return tracing::error!("the configuration stays as it was: {error}"),
            Err(error) => return tracing::error!("the configuration stays as it was: {error}"),
        };
        let Reload { verbose, quiet, .. } = self.reload;
        log::adjust(&reloaded.config.log.level.clone().adjusted(verbose, quiet));
        let roof = super::roof(&reloaded.config, &app.launch.gates);
        app.launch.environments.change(registries, super::quota(&reloaded.config), roof);
        app.host.settings.replace(Settings::from(&reloaded.config));
        app.host.exposure.change((&reloaded.config).into()).await;
        self.config = reloaded.config;
        // warnings, since the usual level would keep an answer from whoever asked
        match reloaded.changed.as_slice() {
            [] => tracing::warn!("the configuration was read again: nothing changed"),
            changed => tracing::warn!("the configuration was read again: {}", list(changed)),
        }
        if !reloaded.pending.is_empty() {
            tracing::warn!("changes that need a restart: {}", list(&reloaded.pending));
        }
    }
}

fn list(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
