use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[policy]`: the ceiling of what any server may be granted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How servers are confined.
    pub sandbox: Sandbox,
    /// What servers may connect to.
    pub network: NetworkCeiling,
    /// Folders that a server may be allowed to read.
    pub read: Vec<PathBuf>,
    /// Folders that a server may be allowed to write.
    pub write: Vec<PathBuf>,
    /// Names of environment variables and secrets that a server may be given.
    pub env: Vec<String>,
}

/// How servers are confined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// As far as this machine can; every created server is told how far that is.
    #[default]
    BestEffort,
    /// Wholly, or no server is started.
    Require,
    /// Not at all.
    Off,
}

/// The most that a server may be allowed to connect to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCeiling {
    /// Public hosts and ports that are named one by one.
    #[default]
    Hosts,
    /// Nothing.
    None,
    /// Everything, private addresses too.
    All,
}
