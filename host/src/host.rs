//! What the tools work on.

use std::{sync::Arc, time::Duration};

use crate::{
    audit::Audit, catalog::Catalog, config::Config, current::Current, exposure::Exposure, library::Library,
    offers::Offered, plugins::Plugins, policy::Ceiling, secrets::Secrets,
};

/// The parts of this program that a tool may touch.
pub struct Host {
    /// What the operator set, in the units that the host uses.
    pub settings: Arc<Current<Settings>>,
    /// What is installed.
    pub plugins: Arc<Plugins>,
    /// The saved servers.
    pub library: Arc<Library>,
    /// Which of their tools stand in the list.
    pub exposure: Arc<Exposure>,
    /// What saved servers were seen to offer beside tools.
    pub offered: Arc<Offered>,
    /// The running servers.
    pub catalog: Arc<Catalog>,
    /// Who did what.
    pub audit: Audit,
    /// The values of what servers are granted by name.
    pub secrets: Secrets,
}

/// What the operator set, in the units that the host uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Bytes of the longest line of the protocol.
    pub line_bytes: usize,
    /// Bytes of source that one server may have.
    pub code_bytes: usize,
    /// Servers that one client may have made or loaded at once.
    pub servers: usize,
    /// How long a call of a tool may take.
    pub call_timeout: Duration,
    /// How long a server may take to answer `initialize`.
    pub start_timeout: Duration,
    /// How long installing dependencies and building may take together.
    pub build_timeout: Duration,
    /// How long a saved server that a call started stays up when nobody calls it.
    pub idle: Duration,
    /// How long a caller waits for a server that comes up before it is told how far that is.
    pub patience: Duration,
    /// The most that any server may be granted.
    pub ceiling: Ceiling,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        const MIB: usize = 1024 * 1024;
        let limits = &config.limits;
        Self {
            line_bytes: usize::try_from(limits.line_mb.get()).unwrap_or(usize::MAX).saturating_mul(MIB),
            code_bytes: usize::try_from(limits.code_mb.get()).unwrap_or(usize::MAX).saturating_mul(MIB),
            servers: usize::try_from(limits.servers.get()).unwrap_or(usize::MAX),
            call_timeout: limits.call_timeout_s.duration(),
            start_timeout: limits.start_timeout_s.duration(),
            build_timeout: limits.build_timeout_s.duration(),
            patience: limits.patience_s.duration(),
            idle: config.exposure.idle_s.duration(),
            ceiling: Ceiling::of(config),
        }
    }
}
