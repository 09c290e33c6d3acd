use serde::Deserialize;

/// `[plugins.node] config = { … }`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The interpreter to use: an absolute path, or a name on `PATH`.
    pub node: Option<String>,
    /// The npm to use: an absolute path, or a name on `PATH`.
    pub npm: Option<String>,
}
