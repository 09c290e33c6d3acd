use std::{
    borrow::Borrow,
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use perennial_sdk::{Error, Registration};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer},
};
use serde_json::Value;

use super::{
    Config, ConfigError, Whole,
    source::{Origin, Step},
    wording,
};
use crate::plugins::{self, Configured, Pin, Source, platform};

/// A plugin's id: lowercase letters, digits and `-`, at most 64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[a-z0-9-]{1,64}$"))]
pub struct PluginName(String);

/// `[plugins.NAME]`: where a plugin comes from, and its own settings.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginSettings {
    /// The built-in plugin that this is a further instance of, with settings of its own; without it the one of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// A native plugin's file, relative to the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PerPlatform<PathBuf>>,
    /// The hash that the file must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<PerPlatform<Sha256>>,
    /// Program and arguments of a plugin that runs out of process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What stands in for the hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// Environment variables of a plugin that runs out of process. They may hold secrets, too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// MiB of the longest line that a plugin out of process may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_mb: Option<Whole<1, 1024>>,
    /// The plugin's own table. It may hold secrets: `Debug` keeps silent about it.
    #[serde(skip_serializing_if = "toml::Table::is_empty")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub config: toml::Table,
}

/// One for all platforms, or one for each, such as `{ linux-x86_64 = …, macos-aarch64 = … }`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum PerPlatform<T> {
    /// The same everywhere.
    Any(T),
    /// By operating system and architecture.
    Each(BTreeMap<String, T>),
}

/// A SHA-256 in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[0-9A-Fa-f]{64}$"))]
pub struct Sha256(String);

/// What stands in for a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Any file will do: for development.
    Unpinned,
}

impl PluginName {
    /// The name of a plugin that is linked in; the names that plugins export are valid.
    pub(super) fn built_in(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The line limit of a plugin whose table has none, in MiB.
const LINE_MB: u64 = 64;

/// What is wrong with a plugin's table, as far as the file alone tells.
pub(super) fn check(
    origin: &Origin,
    name: &PluginName,
    settings: &PluginSettings,
    built_in: &[&Registration],
) -> Result<(), ConfigError> {
    let at = |key: &str, error: ConfigError| Err(origin.place(error, &["plugins", name.as_str(), key]));
    let alone = |key: &str, other: &str| {
        at(key, ConfigError::new(format!("plugin `{name}` sets `{key}` but has no `{other}`")))
    };
    if settings.path.is_some() && settings.command.is_some() {
        return at("command", ConfigError::new(format!("plugin `{name}` has both a `path` and a `command`")));
    }
    if settings.path.is_none() {
        if settings.sha256.is_some() {
            return alone("sha256", "path");
        }
        if settings.trust.is_some() {
            return alone("trust", "path");
        }
    }
    if settings.command.is_none() {
        if !settings.env.is_empty() {
            return alone("env", "command");
        }
        if settings.line_mb.is_some() {
            return alone("line_mb", "command");
        }
    }
    if settings.path.is_some() {
        return match (&settings.sha256, settings.trust) {
            (None, None) => at(
                "path",
                ConfigError::new(format!("plugin `{name}` has no `sha256`")).with_help(format!(
                    "native plugins are code that is trusted: `perennial plugin pin {name}` writes it, or write `trust = \
                     \"unpinned\"` while you develop it"
                )),
            ),
            (Some(_), Some(Trust::Unpinned)) => {
                at("trust", ConfigError::new(format!("plugin `{name}` has both a `sha256` and `trust = \"unpinned\"`")))
            }
            _ => Ok(()),
        };
    }
    if let Some(command) = &settings.command {
        return match command.first().is_some_and(|program| !program.is_empty()) {
            true => Ok(()),
            false => at("command", ConfigError::new(format!("the `command` of plugin `{name}` names no program"))),
        };
    }
    let ids: Vec<_> = built_in.iter().map(|plugin| plugin.id).collect();
    if ids.contains(&name.as_str()) {
        return Ok(());
    }
    let error = ConfigError::new(format!("no plugin `{name}` is built in")).with_help(wording::suggestion(
        name.as_str(),
        &ids,
        "`plugin`, `path` or `command` says where it comes from; built in are",
    ));
    Err(origin.place(error, &["plugins", name.as_str()]))
}

/// See [`super::Config::third_party`].
pub(super) fn source(config: &Config, settings: &PluginSettings) -> Option<Configured> {
    if let Some(path) = &settings.path {
        let platform = platform();
        let named = path.keys().join(", ");
        let missing = |what: &str| {
            Err((
                plugins::Origin::File(path.any().map(|path| config.resolve(path)).unwrap_or_default()),
                Error::unsupported(format!("it has no {what} for {platform}"))
                    .hint(format!("there is one for: {named}")),
            ))
        };
        let Some(path) = path.here() else { return Some(missing("`path`")) };
        let pin = match settings.sha256.as_ref().map(PerPlatform::here) {
            Some(Some(sha256)) => Pin::Sha256(sha256.0.clone()),
            Some(None) => return Some(missing("`sha256`")),
            None if settings.trust == Some(Trust::Unpinned) => Pin::Unpinned,
            // the check of the file says so better
            None => return Some(missing("`sha256`")),
        };
        return Some(Ok(Source::Native { path: config.resolve(path), pin }));
    }
    let command = settings.command.clone()?;
    let line_mb = settings.line_mb.map_or(LINE_MB, Whole::get);
    Some(Ok(Source::Process {
        command,
        env: settings.env.clone(),
        cwd: config.file().and_then(Path::parent).map_or_else(std::env::temp_dir, Path::to_path_buf),
        line_bytes: usize::try_from(line_mb).unwrap_or(usize::MAX).saturating_mul(1024 * 1024),
    }))
}

/// See [`super::Config::config_error`].
pub(super) fn config_error(origin: &Origin, plugin: &str, error: &perennial_sdk::Error) -> ConfigError {
    let base = ["plugins", plugin, "config"];
    let mut steps: Vec<_> = base.into_iter().map(Step::Key).collect();
    let path = error.data.get("path").and_then(Value::as_array);
    steps.extend(path.into_iter().flatten().filter_map(|segment| match segment {
        Value::String(key) => Some(Step::Key(key)),
        index => Some(Step::Index(usize::try_from(index.as_u64()?).ok()?)),
    }));
    let message = origin.hide(error.message.clone());
    let unknown = wording::unknown_key(&message);
    if let Some(key) = unknown.filter(|key| steps.last() != Some(&Step::Key(key))) {
        steps.push(Step::Key(key));
    }
    let mut explained = wording::explain(&message, Some(&dotted(&steps)));
    if let (false, Some(hint)) = (explained.has_help(), &error.hint) {
        explained = explained.with_help(origin.hide(hint.clone()));
    }
    let found = origin.document.as_ref().and_then(|document| Some((document, document.find(&steps)?)));
    match found.filter(|(_, found)| found.depth >= 2) {
        Some((document, found)) if unknown.is_some() => explained.at(document.place(found.key())),
        Some((document, found)) => explained.at(document.place(found.value())),
        None => origin.place(explained, &["storage", "use"]),
    }
}

/// A table as plugins take it; dates become text, and numbers that JSON lacks null.
pub(crate) fn to_json(table: &toml::Table) -> Value {
    fn convert(value: &toml::Value) -> Value {
        match value {
            toml::Value::String(text) => Value::from(text.as_str()),
            toml::Value::Integer(number) => Value::from(*number),
            toml::Value::Float(number) => Value::from(*number),
            toml::Value::Boolean(truth) => Value::from(*truth),
            toml::Value::Datetime(date) => Value::from(date.to_string()),
            toml::Value::Array(items) => items.iter().map(convert).collect(),
            toml::Value::Table(table) => to_json(table),
        }
    }
    Value::Object(table.iter().map(|(key, value)| (key.clone(), convert(value))).collect())
}

impl<T> PerPlatform<T> {
    /// The one for this machine.
    pub fn here(&self) -> Option<&T> {
        match self {
            Self::Any(value) => Some(value),
            Self::Each(each) => each.get(&platform()),
        }
    }

    /// The first one there is.
    fn any(&self) -> Option<&T> {
        match self {
            Self::Any(value) => Some(value),
            Self::Each(each) => each.values().next(),
        }
    }

    /// The platforms that it names; none when it is the same everywhere.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Any(_) => Vec::new(),
            Self::Each(each) => each.keys().map(String::as_str).collect(),
        }
    }
}

fn dotted(steps: &[Step<'_>]) -> String {
    let mut name = String::new();
    for step in steps {
        match step {
            Step::Key(key) if name.is_empty() => name.push_str(key),
            Step::Key(key) => name.extend([".", key]),
            Step::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

impl TryFrom<String> for PluginName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let fits = plain && (1..=64).contains(&name.len());
        if fits { Ok(Self(name)) } else { Err("plugin names are made of lowercase letters, digits and `-`") }
    }
}

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if fits { Ok(Self(text.to_lowercase())) } else { Err("not a SHA-256, which is 64 digits in hex") }
    }
}

/// Serde's own way with untagged enums would swallow why a value does not fit.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerPlatform<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = PerPlatform<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table of texts by platform")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.to_owned().into_deserializer()).map(PerPlatform::Any)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(PerPlatform::Each)
            }
        }
        deserializer.deserialize_any(Visitor(PhantomData))
    }
}

impl Borrow<str> for PluginName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PluginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSettings")
            .field("plugin", &self.plugin)
            .field("path", &self.path)
            .field("command", &self.command)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}
