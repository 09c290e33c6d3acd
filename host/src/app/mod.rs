//! Puts the host together: configuration → plugins → library → catalog → serve → drain.

mod command;
mod tour;

use std::{sync::Arc, time::Duration};

pub use command::{call, check, remove, saved, saved_server, serve};
pub use tour::tour;

use perennial_sdk::{Error, Home};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::Catalog,
    config::{Config, ConfigError, Directories},
    environment::Environments,
    launch::Launch,
    library::Library,
    mcp::{SessionLimits, Wire, server},
    plugins::Plugins,
    sources::Sources,
    supervisor::Supervisor,
    toolchain::Toolchains,
    tools::Registry,
};

/// The host.
pub struct App {
    /// What the operator set, in the units that the host uses.
    pub settings: Settings,
    /// What is installed.
    pub plugins: Arc<Plugins>,
    /// The tools, by name.
    pub registry: Registry,
    /// The saved servers.
    pub library: Library,
    /// The running servers.
    pub catalog: Arc<Catalog>,
    launch: Arc<Launch>,
    supervisor: Arc<Supervisor>,
}

/// What the operator set, in the units that the host uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of the longest line of the protocol.
    pub line_bytes: usize,
    /// Bytes of source that one server may have.
    pub code_bytes: usize,
    /// How long a call of a tool may take.
    pub call_timeout: Duration,
    /// How long a server may take to answer `initialize`.
    pub start_timeout: Duration,
}

/// How long answers that are on their way may take once the client has closed its end.
const LAST_ANSWERS: Duration = Duration::from_millis(800);

impl App {
    /// Opens the plugins and puts everything in its place. Nothing is started and nothing is read yet.
    ///
    /// # Errors
    /// A plugin that does not take its part of the configuration.
    pub async fn open(config: &Config, directories: &Directories) -> Result<Arc<Self>, ConfigError> {
        let home = Home { data_dir: directories.data.clone() };
        let plugins = Plugins::open(&home, |plugin| config.plugin_config(plugin))
            .await
            .map_err(|(plugin, error)| config.config_error(&plugin, &error))?;
        let plugins = Arc::new(plugins);
        let storage = config.storage.plugin.as_str();
        let storage = plugins.storage(storage).map_err(|error| config.config_error(storage, &error))?;
        let settings = Settings::from(config);
        let supervisor = Supervisor::new(directories.state.clone());
        let launch = Arc::new(Launch {
            plugins: plugins.clone(),
            toolchains: Arc::new(Toolchains::new(
                supervisor.clone(),
                directories.cache.clone(),
                vec![directories.data.clone(), directories.state.clone()],
            )),
            environments: Arc::new(Environments::new(supervisor.clone(), directories.cache.clone())),
            supervisor: supervisor.clone(),
            sources: Sources::new(directories.state.join("sources")),
            servers_dir: directories.state.join("servers"),
            session_limits: SessionLimits { line_bytes: settings.line_bytes, start: settings.start_timeout },
        });
        Ok(Arc::new(Self {
            registry: Registry::new(plugins.tool_providers()),
            library: Library::new(storage),
            catalog: Arc::new(Catalog::new(launch.clone())),
            launch,
            settings,
            plugins,
            supervisor,
        }))
    }

    /// Speaks MCP on `wire` until the client leaves or a signal comes, and ends everything then: within 2 s of either.
    ///
    /// # Errors
    /// When the wire cannot be opened.
    pub async fn serve(self: Arc<Self>, wire: Wire) -> Result<(), Error> {
        let (ended, stop) = (CancellationToken::new(), CancellationToken::new());
        let (supervisor, launch) = (self.supervisor.clone(), self.launch.clone());
        let sweeping = tokio::spawn(async move {
            supervisor.sweep().await;
            let _ = tokio::task::spawn_blocking(move || launch.sources.sweep()).await;
        });
        let serving = tokio::spawn(server::serve(self.clone(), wire, ended.clone(), stop.clone()));
        tokio::select! {
            () = ended.cancelled() => {}
            () = asked_to_end() => {}
        }
        // an answer that is nearly there is worth a moment, but no child may outlive the client for long
        let served = timeout(LAST_ANSWERS, serving).await;
        stop.cancel();
        sweeping.abort();
        self.close().await;
        match served {
            Ok(Ok(result)) => result,
            _ => Ok(()),
        }
    }

    /// Ends every server, and what plugins still have to write is written.
    pub async fn close(&self) {
        tokio::join!(self.supervisor.shutdown(), self.plugins.shutdown());
        self.catalog.shutdown().await;
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        const MIB: usize = 1024 * 1024;
        let limits = &config.limits;
        Self {
            line_bytes: usize::try_from(limits.line_mb.get()).unwrap_or(usize::MAX).saturating_mul(MIB),
            code_bytes: usize::try_from(limits.code_mb.get()).unwrap_or(usize::MAX).saturating_mul(MIB),
            call_timeout: limits.call_timeout_s.duration(),
            start_timeout: limits.start_timeout_s.duration(),
        }
    }
}

/// Waits for SIGTERM, SIGINT or SIGHUP.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = hangup.recv() => {}
    }
}
