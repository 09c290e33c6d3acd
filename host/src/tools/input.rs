//! What several tools take as arguments, parsed and bounded at the edge.

use std::collections::BTreeMap;

use perennial_sdk::{Dependencies, Limits, Permissions};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::{Map, Value};

use crate::bounds;

/// The parts of a server that create and update share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    /// The whole source of the server: it speaks MCP over standard input and output. Without it a working example starts.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// Packages from the language's registry: {"requests": ">=2.31"} or ["requests>=2.31"].
    #[serde(default)]
    #[schemars(with = "Option<DependenciesShape>")]
    pub(super) dependencies: Option<Dependencies>,
    /// Further source files: relative path → text.
    #[serde(default)]
    pub(super) files: Option<BTreeMap<String, String>>,
    /// What the server may reach beyond its own code, packages and folder; nothing when left out. Ask for no more than
    /// the code needs: {"network": ["api.example.com:443"]}. What the operator does not allow is denied with the lines
    /// that would allow it. In an update it takes the place of all that was there.
    #[serde(default, deserialize_with = "known_permissions")]
    #[schemars(with = "Option<PermissionsShape>")]
    pub(super) permissions: Option<Permissions>,
    /// How much it may use; what is left out is the operator's own limit, which is also the most.
    #[serde(default, deserialize_with = "known_limits")]
    #[schemars(with = "Option<LimitsShape>")]
    pub(super) limits: Option<Limits>,
}

impl Parts {
    /// # Errors
    /// Those of [`bounds`].
    pub(super) fn checked(self, most_bytes: usize) -> perennial_sdk::Result<Self> {
        let none = BTreeMap::new();
        bounds::source(self.code.as_deref(), self.files.as_ref().unwrap_or(&none), most_bytes)?;
        self.permissions.as_ref().map_or(Ok(()), bounds::permissions)?;
        Ok(self)
    }
}

/// Plugins must put up with members that came later; a model is told of one that means nothing.
fn known_permissions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Permissions>, D::Error> {
    known(deserializer, bounds::PERMISSIONS)
}

fn known_limits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Limits>, D::Error> {
    known(deserializer, bounds::LIMITS)
}

fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
    names: &'static [&'static str],
) -> Result<Option<T>, D::Error> {
    let Some(members) = Option::<Map<String, Value>>::deserialize(deserializer)? else { return Ok(None) };
    if let Some(unknown) = members.keys().find(|name| !names.contains(&name.as_str())) {
        return Err(D::Error::unknown_field(unknown, names));
    }
    serde_json::from_value(Value::Object(members)).map(Some).map_err(D::Error::custom)
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum DependenciesShape {
    Map(BTreeMap<String, String>),
    List(Vec<String>),
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct PermissionsShape {
    /// "none", or a list of "host:port" with one entry for each public host, such as ["api.example.com:443"]: HTTP clients
    /// reach them through the proxy in HTTPS_PROXY. "all", private addresses and "*.example.com:443" need the operator.
    network: Option<NetworkShape>,
    /// Whole paths of folders or files that it may read. Needs the operator.
    read: Option<Vec<String>>,
    /// Whole paths of folders that it may read and write; its own folder, HOME, it may write anyway. Needs the operator.
    write: Option<Vec<String>>,
    /// Names of secrets and environment variables that it gets, such as ["API_TOKEN"]; never values. Needs the operator.
    env: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NetworkShape {
    Word(String),
    Hosts(Vec<String>),
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct LimitsShape {
    /// MiB of memory.
    memory_mb: Option<u64>,
    /// Processor cores.
    cpu: Option<f64>,
    /// Processes and threads.
    pids: Option<u64>,
    /// Open files of each process.
    files: Option<u64>,
    /// MiB of the disk.
    disk_mb: Option<u64>,
    /// Seconds that one call may take.
    call_timeout_s: Option<f64>,
}
