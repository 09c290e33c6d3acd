use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::HostAndPort;

/// `[registries]`: where installs get their packages. Installers see nothing of the host's environment but this.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Registries {
    /// The package index for Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pypi: Option<Address>,
    /// The registry of packages for TypeScript and JavaScript.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npm: Option<Address>,
    /// The index of crates for Rust, by cargo's sparse protocol, in place of crates.io.
    #[serde(rename = "crates-io", skip_serializing_if = "Option::is_none")]
    pub crates_io: Option<CrateIndex>,
    /// The proxy that all registries are reached through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Address>,
    /// A file of certificates in PEM form that registries are trusted by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Further places that registries send installers to, such as where a mirror keeps its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostAndPort>,
}

/// The URL of a registry. It may hold credentials: `Debug` keeps silent about it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^(https?://[^/]|\$\{)"))]
pub struct Address(String);

/// The URL of a sparse index of crates, with a slash at its end. The file that tells cargo about it can be read by build
/// scripts, so it holds no credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^((sparse\+)?https?://[^/]|\$\{)"))]
pub struct CrateIndex(Address);

impl Address {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Address {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let whole = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if whole && plain { Ok(Self(text)) } else { Err("not a URL that starts with `https://` or `http://`") }
    }
}

impl CrateIndex {
    /// The URL as text, without cargo's `sparse+` before it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for CrateIndex {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut url = text.strip_prefix("sparse+").unwrap_or(&text).to_owned();
        if !url.ends_with('/') {
            url.push('/');
        }
        let address = Address::try_from(url)?;
        let (_, rest) = address.0.split_once("://").unwrap_or_default();
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            return Err("credentials in this URL could be read by the build scripts of crates");
        }
        Ok(Self(address))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

impl fmt::Debug for CrateIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CrateIndex(…)")
    }
}
