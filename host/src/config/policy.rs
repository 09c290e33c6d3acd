use std::{borrow::Cow, fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

use crate::egress::Endpoint;

/// `[policy]`: the ceiling of what any server may be granted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How servers are confined.
    pub sandbox: Sandbox,
    /// What servers may connect to.
    pub network: NetworkCeiling,
    /// Folders that a server may be allowed to read, and what is in them.
    pub read: Vec<PathBuf>,
    /// Folders that a server may be allowed to write, and what is in them.
    pub write: Vec<PathBuf>,
    /// Names of environment variables and secrets that a server may be given.
    pub env: Vec<VariableName>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetworkCeiling {
    /// Public hosts and ports that are named one by one.
    #[default]
    Hosts,
    /// Nothing.
    None,
    /// Everything, private addresses too.
    All,
    /// These places alone.
    Listed(Vec<Place>),
}

/// An entry of a list of places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Public hosts and ports that are named one by one: `"hosts"`.
    Hosts,
    /// `host:port`, of a private network, too.
    Endpoint(HostAndPort),
}

/// A place in a list of the operator's: `host:port`, `*.example.com:443`, `host:*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAndPort(pub Endpoint);

/// The name of an environment variable or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"))]
pub struct VariableName(String);

const WORDS: &[&str] = &["hosts", "none", "all"];

impl VariableName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VariableName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if crate::bounds::is_variable(&text) { Ok(Self(text)) } else { Err("not the name of a variable") }
    }
}

impl<'de> Deserialize<'de> for NetworkCeiling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrList;
        impl<'de> Visitor<'de> for WordOrList {
            type Value = NetworkCeiling;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"hosts\", \"none\", \"all\" or a list of \"host:port\"")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<NetworkCeiling, E> {
                match word {
                    "hosts" => Ok(NetworkCeiling::Hosts),
                    "none" => Ok(NetworkCeiling::None),
                    "all" => Ok(NetworkCeiling::All),
                    word => Err(E::unknown_variant(word, WORDS)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NetworkCeiling, A::Error> {
                let mut places = Vec::new();
                while let Some(place) = list.next_element()? {
                    places.push(place);
                }
                Ok(if places.is_empty() { NetworkCeiling::None } else { NetworkCeiling::Listed(places) })
            }
        }
        deserializer.deserialize_any(WordOrList)
    }
}

impl Serialize for NetworkCeiling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Hosts => serializer.serialize_str("hosts"),
            Self::None => serializer.serialize_str("none"),
            Self::All => serializer.serialize_str("all"),
            Self::Listed(places) => places.serialize(serializer),
        }
    }
}

impl JsonSchema for NetworkCeiling {
    fn schema_name() -> Cow<'static, str> {
        "NetworkCeiling".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The most that a server may be allowed to connect to.",
            "anyOf": [
                { "const": "hosts", "description": "Public hosts and ports that are named one by one." },
                { "const": "none", "description": "Nothing." },
                { "const": "all", "description": "Everything, private addresses too." },
                {
                    "type": "array",
                    "items": { "type": "string", "pattern": "^(hosts|.+:([0-9]{1,5}|\\*))$" },
                    "description": "These places alone, of private networks too; \"hosts\" among them stands for every \
                                    public one."
                }
            ]
        })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "hosts" => Ok(Self::Hosts),
            _ => HostAndPort::try_from(text).map(Self::Endpoint).map_err(de::Error::custom),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Hosts => serializer.serialize_str("hosts"),
            Self::Endpoint(HostAndPort(endpoint)) => serializer.collect_str(endpoint),
        }
    }
}

impl TryFrom<String> for HostAndPort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Endpoint::of_operator(&text).map(Self).map_err(|error| {
            let meant = error.meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            format!("`{text}` {}{meant}", error.why)
        })
    }
}

impl<'de> Deserialize<'de> for HostAndPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for HostAndPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for HostAndPort {
    fn schema_name() -> Cow<'static, str> {
        "HostAndPort".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^.+:([0-9]{1,5}|\\*)$" })
    }
}
