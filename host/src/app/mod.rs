//! Puts the host together: configuration → plugins → library → catalog → serve → drain.

mod approve;
mod audit;
mod command;
mod doctor;
mod expose;
mod history;
mod http;
mod installed;
mod kit;
mod moving;
mod reload;
mod tour;
mod warm;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use approve::{Approvable, Review, Revoked, approvable, approve, review, revoke};
pub use audit::{Wanted, audited};
pub use command::{Listed, call, check, check_library, collect, deleted, remove, saved, saved_server, serve};
pub use doctor::{Checkup, FolderCheck, LanguageCheck, MeasureCheck, ProgramCheck, SandboxCheck, StorageCheck, doctor};
pub use expose::{Exposed, expose};
pub use history::{Comparison, Restored, compare, history, restore};
pub use http::{HttpWish, serve_http};
pub use installed::{Installed, installed};
pub use kit::{
    Added, Pinned, Removed, Subject, TRIAL, TryPlugin, add_plugin, carry_out_trial, pin_plugin, remove_plugin,
    try_plugin,
};
pub use moving::{Place, copy, export, import};
pub use reload::{Reload, Reloading};
pub use tour::tour;
pub use warm::{Warmed, warm};

use perennial_sdk::{Cx, Error, Home};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::Audit,
    catalog::Catalog,
    config::{Address, Config, ConfigError, CrateIndex, Directories, usual_file},
    current::Current,
    egress::Gates,
    environment::{Environments, Quota, Registries, Roof},
    exposure::Exposure,
    host::{Host, Settings},
    identity::Identity,
    launch::Launch,
    library::Library,
    mcp::{Wire, server},
    offers::Offered,
    plugins::{Plugins, Surroundings},
    policy::{Ceiling, Protected},
    secrets::Secrets,
    sources::Sources,
    supervisor::{StopGrace, Supervisor},
    toolchain::Toolchains,
    tools::{self, Registry},
    trust::Trust,
};

/// The host.
pub struct App {
    /// What the tools work on.
    pub host: Arc<Host>,
    /// The tools, by name.
    pub registry: Arc<Registry>,
    launch: Arc<Launch>,
    supervisor: Arc<Supervisor>,
    eager: Vec<String>,
}

/// How long answers that are on their way may take once the client has closed its end.
const LAST_ANSWERS: Duration = Duration::from_millis(800);

/// How long servers may take after the end of their input, and after SIGTERM, when the host ends.
const LAST_WISHES: Duration = Duration::from_millis(250);

impl App {
    /// Opens the plugins and puts everything in its place. No server is started and nothing is read yet. `patience` is
    /// [`Plugins::open`]'s.
    ///
    /// # Errors
    /// A plugin that does not take its part of the configuration.
    pub async fn open(
        config: &Config,
        directories: &Directories,
        patience: Option<Duration>,
    ) -> Result<Arc<Self>, ConfigError> {
        let settings = Arc::new(Current::new(Settings::from(config)));
        let supervisor = Supervisor::new(directories.state.clone());
        let plugins = Arc::new(plugins(config, directories, &supervisor, patience).await?);
        let storage = config.storage.plugin.as_str();
        let storage = match plugins.storage(storage) {
            Ok(storage) => storage,
            Err(error) => {
                plugins.shutdown_processes().await;
                return Err(config.storage_error(&error));
            }
        };
        let (gates, secrets) = (Gates::new(), Secrets::in_folder(&directories.data));
        let own = own_folders(config, directories);
        let offered = Arc::new(Offered::new(&directories.state, &storage.location()));
        let library = Arc::new(Library::new(
            storage,
            Identity::new(directories.state.clone()),
            Trust::new(directories.state.clone()),
        ));
        let exposure = Arc::new(Exposure::new(&directories.state, library.location(), config.into()));
        let launch = Arc::new(Launch {
            plugins: plugins.clone(),
            toolchains: Arc::new(Toolchains::new(
                supervisor.clone(),
                directories.cache.clone(),
                own.iter().cloned().chain(etcetera::home_dir().ok()).collect(),
            )),
            environments: Arc::new(
                Environments::new(supervisor.clone(), directories.cache.clone())
                    .with_registries(registries(config))
                    .with_quota(quota(config))
                    .under(roof(config, &gates)),
            ),
            supervisor: supervisor.clone(),
            sources: Sources::new(directories.state.join("sources")),
            servers_dir: directories.state.join("servers"),
            settings: settings.clone(),
            gates,
            secrets: secrets.clone(),
            protected: Arc::new(Protected::new(own)),
            exposure: exposure.clone(),
            offered: offered.clone(),
        });
        let registry = Arc::new(Registry::new(plugins.tool_providers(), exposure.clone()));
        let joined = registry.clone();
        plugins.hear_of_late(move |plugin| {
            if let Some(tools) = plugin.opened.tools.clone() {
                joined.add(&plugin.name, &tools);
            }
        });
        Ok(Arc::new(Self {
            registry,
            host: Arc::new(Host {
                settings,
                plugins,
                library,
                exposure,
                offered,
                catalog: Arc::new(Catalog::new(launch.clone())),
                audit: Audit::new(&directories.state),
                secrets,
            }),
            launch,
            supervisor,
            eager: config.exposure.eager.clone(),
        }))
    }

    /// Speaks MCP on `wire` until the client leaves or a signal comes, and ends everything then: within 2 s of either.
    /// SIGHUP is such a signal unless the configuration can be read again instead.
    ///
    /// # Errors
    /// When the wire cannot be opened.
    pub async fn serve(self: Arc<Self>, wire: Wire, reloading: Option<Reloading>) -> Result<(), Error> {
        let (ended, stop) = (CancellationToken::new(), CancellationToken::new());
        let sweeping = self.sweep();
        self.start_ahead();
        let serving =
            tokio::spawn(server::serve(self.host.clone(), self.registry.clone(), wire, ended.clone(), stop.clone()));
        let left = tokio::select! {
            () = ended.cancelled() => LAST_ANSWERS,
            () = asked_to_end() => Duration::ZERO,
            () = self.hung_up(reloading) => Duration::ZERO,
        };
        // an answer that is nearly there is worth a moment, but no child may outlive the client for long
        let served = timeout(left, serving).await;
        stop.cancel();
        sweeping.abort();
        self.close().await;
        match served {
            Ok(Ok(result)) => result,
            _ => Ok(()),
        }
    }

    /// Shows one saved server alone, where the configuration wants that.
    ///
    /// # Errors
    /// There is none of that name, or several.
    async fn single_out(&self, config: &Config) -> Result<(), ConfigError> {
        let Some(only) = &config.exposure.only else { return Ok(()) };
        match self.host.library.find(&Cx::detached(), only).await {
            Ok(id) => self.host.exposure.show_only(id),
            Err(error) => {
                self.close().await;
                return Err(config.only_error(&error));
            }
        }
        Ok(())
    }

    /// Removes what earlier hosts left behind, behind everybody's back.
    fn sweep(&self) -> tokio::task::JoinHandle<()> {
        let (supervisor, launch) = (self.supervisor.clone(), self.launch.clone());
        tokio::spawn(async move {
            supervisor.sweep().await;
            launch.environments.sweep().await;
            let _ = tokio::task::spawn_blocking(move || launch.sources.sweep()).await;
        })
    }

    /// Starts the saved servers that are to be up before anybody calls them, behind everybody's back.
    fn start_ahead(self: &Arc<Self>) {
        for reference in self.eager.clone() {
            let host = self.host.clone();
            tokio::spawn(async move {
                if let Err(error) = tools::start_saved(&host, &reference).await {
                    tracing::warn!(%error, server = reference, "a saved server was not started ahead");
                }
            });
        }
    }

    /// Waits for SIGHUP, and for ever when the configuration can be read again instead.
    async fn hung_up(self: &Arc<Self>, mut reloading: Option<Reloading>) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
        while hangup.recv().await.is_some() {
            match &mut reloading {
                Some(reloading) => reloading.carry_out(self).await,
                None => return,
            }
        }
        std::future::pending().await
    }

    /// Ends every server, politely first, and what plugins still have to write is written.
    pub async fn close(&self) {
        let grace = StopGrace { eof: LAST_WISHES, term: LAST_WISHES };
        let servers = async {
            let (catalog, plugins) = (self.host.catalog.shutdown(grace), self.host.plugins.shutdown_processes());
            let _ = timeout(3 * LAST_WISHES, async { tokio::join!(catalog, plugins) }).await;
            self.supervisor.shutdown().await;
        };
        tokio::join!(servers, self.host.plugins.shutdown());
        let host = self.host.clone();
        let _ = tokio::task::spawn_blocking(move || host.audit.flush()).await;
    }
}

/// Opens the plugins.
///
/// # Errors
/// One that does not take its configuration.
pub(super) async fn plugins(
    config: &Config,
    directories: &Directories,
    supervisor: &Arc<Supervisor>,
    patience: Option<Duration>,
) -> Result<Plugins, ConfigError> {
    let settings = Settings::from(config);
    let around = Surroundings {
        home: Home { data_dir: directories.data.clone() },
        copies: directories.cache.join("plugins"),
        supervisor: supervisor.clone(),
        start: settings.start_timeout,
        limit: settings.call_timeout,
    };
    let mut configured = config.third_party();
    for (name, one) in &mut configured {
        // a session does not come this far with one; a listing shows it among the others
        if let Err(error) = config.check_plugin(name, &perennial_sdk::registrations()) {
            let origin = match one {
                Ok(source) => source.origin(),
                Err((origin, _)) => origin.clone(),
            };
            *one = Err((origin, Error::unsupported(error.to_string())));
        }
    }
    let configured = configured.into_iter().map(|(name, one)| (name.to_string(), one)).collect();
    let config_error = |(plugin, error): (String, Error)| config.config_error(&plugin, &error);
    let needed = config.storage.plugin.as_str();
    let opening = Plugins::open(&around, configured, needed, patience, |plugin| config.plugin_config(plugin));
    let mut plugins = opening.await.map_err(config_error)?;
    let instances = config.instances().map(|(name, of)| (name, of, config.plugin_config(name)));
    plugins.open_instances(&around.home, instances).await.map_err(config_error)?;
    Ok(plugins)
}

/// What this process' environment says of registries, and before it what the configuration says.
fn registries(config: &Config) -> Registries {
    let mut registries = Registries::of_this_process();
    let settings = &config.registries;
    let addresses = [
        ("pypi", settings.pypi.as_ref().map(Address::as_str)),
        ("npm", settings.npm.as_ref().map(Address::as_str)),
        ("crates-io", settings.crates_io.as_ref().map(CrateIndex::as_str)),
    ];
    for (registry, address) in addresses {
        if let Some(address) = address {
            registries = registries.mirror(registry, address);
        }
    }
    if let Some(proxy) = &settings.proxy {
        registries = registries.proxy(proxy.as_str());
    }
    if let Some(file) = &settings.ca {
        registries = registries.authorities(&config.resolve(file));
    }
    registries.hosts(settings.hosts.iter().map(|place| place.0.clone()))
}

/// How installations are confined.
fn roof(config: &Config, gates: &Arc<Gates>) -> Roof {
    let ceiling = Ceiling::of(config);
    Roof { strictness: ceiling.strictness(), gates: gates.clone(), file: ceiling.file().map(Path::to_path_buf) }
}

/// Where this program keeps what is its own.
fn own_folders(config: &Config, directories: &Directories) -> Vec<PathBuf> {
    let Directories { data, cache, state, runtime } = directories.clone();
    let configuration = config.file().map(Path::to_path_buf).or_else(usual_file);
    let configuration = configuration.and_then(|file| Some(file.parent()?.to_path_buf()));
    [data, cache, state, runtime].into_iter().chain(configuration).collect()
}

/// How much of the disk installed packages may take.
fn quota(config: &Config) -> Quota {
    Quota { all: config.cache.max_gb.bytes(), each: config.cache.max_environment_gb.bytes() }
}

/// Waits for SIGTERM or SIGINT.
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
