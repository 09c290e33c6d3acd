use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gigabytes;

/// `[cache]`: how much of the disk installed packages may take. All of it can be made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// The size of everything in the cache folder above which what was not used for longest is removed.
    pub max_gb: Gigabytes,
    /// The size above which a single environment is given up while it is being installed.
    pub max_environment_gb: Gigabytes,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_gb: Gigabytes::new(10.0), max_environment_gb: Gigabytes::new(4.0) }
    }
}
