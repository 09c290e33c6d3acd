use std::{collections::BTreeMap, fmt, str::FromStr};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A server's id: letters, digits, `-` and `_`, 1 to 64 of them.
///
/// New ones are `server-` and twelve hex digits; older files hold plain uuids and ids such as `server-abc123`. Being
/// parsed at the edge, an id can be part of a path without being able to leave its folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerId(String);

/// What was asked for: everything that makes one server what it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerSpec {
    /// The language by its main name, as the runtime describes it.
    pub language: String,
    /// The main source file.
    pub code: String,
    /// Further files: relative path → text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Packages from the language's registry.
    #[serde(skip_serializing_if = "Dependencies::is_empty")]
    pub dependencies: Dependencies,
    /// What the dependencies were resolved to, in the ecosystem's own lock format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// What the server may reach.
    #[serde(skip_serializing_if = "Permissions::is_default")]
    pub permissions: Permissions,
    /// How much it may use.
    #[serde(skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
}

/// Packages as they were asked for: a map name → requirement, or a list of requirement strings.
///
/// Runtimes parse both by their ecosystem's grammar; nothing in here has been checked yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dependencies {
    /// `{"requests": ">=2.31"}`; an empty requirement or `*` means any version.
    Map(IndexMap<String, String>),
    /// `["requests>=2.31"]`
    List(Vec<String>),
}

/// What a server may reach. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Hosts that it may connect to.
    pub network: Network,
    /// Folders that it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// Folders that it may write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub write: Vec<String>,
    /// Names of environment variables and secrets; values stay with the operator.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
}

/// The hosts that a server may connect to: `"none"`, `"all"`, or `["host:port", …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NetworkForm", into = "NetworkForm")]
pub enum Network {
    /// No connection at all.
    #[default]
    None,
    /// These `host:port` pairs.
    Hosts(Vec<String>),
    /// Everything.
    All,
}

/// How much a server may use; what is not set is the operator's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
    /// Processor cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// Open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// MiB of the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_mb: Option<u64>,
    /// Seconds that one call may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_timeout_s: Option<f64>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum NetworkForm {
    Word(String),
    Hosts(Vec<String>),
}

impl ServerId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// A new random id: `server-` and twelve hex digits of a version 4 uuid.
    pub fn random() -> Self {
        let uuid = uuid::Uuid::new_v4().simple().to_string();
        Self(format!("server-{}", &uuid[..12]))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(text.into())) } else { Err(Error::invalid("not a server id")) }
    }
}

impl TryFrom<String> for ServerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ServerId> for String {
    fn from(id: ServerId) -> Self {
        id.0
    }
}

impl AsRef<str> for ServerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ServerId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Dependencies {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Map(map) => map.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }
}

impl Default for Dependencies {
    fn default() -> Self {
        Self::Map(IndexMap::new())
    }
}

impl Permissions {
    /// Whether nothing is granted.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Limits {
    /// Whether everything is left to the operator.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<NetworkForm> for Network {
    type Error = String;

    fn try_from(form: NetworkForm) -> Result<Self, String> {
        match form {
            NetworkForm::Word(word) if word == "none" => Ok(Self::None),
            NetworkForm::Word(word) if word == "all" => Ok(Self::All),
            NetworkForm::Word(word) => Err(format!("`{word}` is not \"none\", \"all\" or a list of \"host:port\"")),
            NetworkForm::Hosts(hosts) if hosts.is_empty() => Ok(Self::None),
            NetworkForm::Hosts(hosts) => Ok(Self::Hosts(hosts)),
        }
    }
}

impl From<Network> for NetworkForm {
    fn from(network: Network) -> Self {
        match network {
            Network::None => Self::Word("none".into()),
            Network::All => Self::Word("all".into()),
            Network::Hosts(hosts) => Self::Hosts(hosts),
        }
    }
}
