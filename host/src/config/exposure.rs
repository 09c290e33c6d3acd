use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[exposure]`: which servers' tools stand in the host's own tool list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exposure {
    /// Whose tools.
    pub mode: ExposureMode,
}

/// Whose tools stand in the host's own tool list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExposureMode {
    /// All, as long as the list stays short.
    #[default]
    Auto,
    /// All.
    All,
    /// Those of servers that were listed with `expose-server`.
    Listed,
    /// Nobody's.
    None,
}
