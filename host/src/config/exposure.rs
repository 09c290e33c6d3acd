use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Seconds, Whole};

/// `[exposure]`: which saved servers' tools stand in the host's own tool list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Exposure {
    /// Whose tools.
    pub mode: ExposureMode,
    /// In the mode `auto`, the tokens that the tools of saved servers may cost a model in every conversation, by the rule
    /// of four bytes of JSON for one. What has no room is found by `find-tools` and called by `execute-tool`.
    pub auto_tokens: Whole<0, 1_000_000>,
    /// The most tools, in any mode.
    pub max_tools: Whole<0, 10_000>,
    /// The most KiB of definitions, in any mode.
    pub max_kb: Whole<0, 65_536>,
    /// The one saved server, by id or unique name, whose tools are all that clients see, by its own names for them; the
    /// host's own tools are not there then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
    /// Saved servers, by id or unique name, that are started ahead, before anybody calls them.
    pub eager: Vec<String>,
    /// Seconds without a call after which a saved server that was started by one is ended; the next call starts it again.
    pub idle_s: Seconds,
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

impl Default for Exposure {
    fn default() -> Self {
        Self {
            mode: ExposureMode::Auto,
            auto_tokens: Whole::new(8000),
            max_tools: Whole::new(1000),
            max_kb: Whole::new(1024),
            only: None,
            eager: Vec::new(),
            idle_s: Seconds::new(900.0),
        }
    }
}
