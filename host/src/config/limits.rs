use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cores, Seconds, Whole};

/// `[limits]`: how much a server may use, and does when it does not ask for less, and how much the host takes from anybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Memory of a server and all its processes, in MiB.
    pub memory_mb: Whole<16, 1_048_576>,
    /// Processor cores of a server.
    pub cpu: Cores,
    /// Processes and threads of a server.
    pub pids: Whole<1, 65_536>,
    /// Open files of each process of a server.
    pub files: Whole<16, 1_048_576>,
    /// What a server may take of the disk, in MiB.
    pub disk_mb: Whole<1, 1_048_576>,
    /// Servers that one client may have made or loaded at once, running or not; over HTTP those of one token.
    pub servers: Whole<1, 10_000>,
    /// Seconds that one call of a tool may take.
    pub call_timeout_s: Seconds,
    /// Seconds that a server may take to answer `initialize` after it was started.
    pub start_timeout_s: Seconds,
    /// Seconds that installing a server's dependencies and building it may take together.
    pub build_timeout_s: Seconds,
    /// Seconds after which the answer to whoever creates or loads a server that is not up yet is how far it is; the
    /// server goes on to come up.
    pub patience_s: Seconds,
    /// The longest line of the protocol, from the client or from a server, in MiB.
    pub line_mb: Whole<1, 1024>,
    /// The most source that one server may have, its further files included, in MiB.
    pub code_mb: Whole<1, 256>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: Whole::new(512),
            cpu: Cores::new(1.0),
            pids: Whole::new(64),
            files: Whole::new(256),
            disk_mb: Whole::new(1024),
            servers: Whole::new(100),
            call_timeout_s: Seconds::new(60.0),
            start_timeout_s: Seconds::new(30.0),
            build_timeout_s: Seconds::new(600.0),
            patience_s: Seconds::new(40.0),
            line_mb: Whole::new(16),
            code_mb: Whole::new(1),
        }
    }
}
