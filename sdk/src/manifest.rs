use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a library says of a plugin in it. It stands in a section of its own, to be read before any of its code runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Lowercase letters, digits and `-`.
    pub id: String,
    /// The plugin's version.
    #[serde(default)]
    pub version: String,
    /// Among `storage`, `runtime` and `tools`.
    pub provides: Vec<String>,
    /// The version of the SDK that it was built with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
    /// Whether long texts of parameters may stand beside the JSON.
    #[serde(default)]
    pub bodies: bool,
    /// `abort` when a panic ends the whole process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic: Option<String>,
}

impl Manifest {
    /// The section's name: ELF, Mach-O, PE.
    pub const SECTIONS: [&str; 3] = [".perennial", "__perennial", ".prnnl"];
    /// What every manifest in a section begins with; a newline ends it.
    pub const HEAD: &str = "perennial/1 ";

    /// Every manifest of a section.
    ///
    /// # Errors
    /// Anything in it that is no manifest.
    pub fn parse_section(section: &[u8]) -> Result<Vec<Self>> {
        let text = std::str::from_utf8(section).map_err(|_| Error::invalid("it is not UTF-8"))?;
        let lines = text.split('\n').map(|line| line.trim_matches(['\0', ' '])).filter(|line| !line.is_empty());
        lines.map(|line| Self::parse(line.strip_prefix(Self::HEAD).unwrap_or(line))).collect()
    }

    /// A manifest's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(json: &str) -> Result<Self> {
        let manifest: Self = serde_json::from_str(json).map_err(|error| Error::invalid(error.to_string()))?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if manifest.id.is_empty() || !manifest.id.bytes().all(plain) {
            return Err(Error::invalid("its `id` is not made of lowercase letters, digits and `-`"));
        }
        Ok(manifest)
    }

    /// The symbol of the plugin.
    pub fn symbol(&self) -> String {
        format!("{}{}", crate::abi::SYMBOL_PREFIX, self.id.replace('-', "_"))
    }
}

/// An identifier as a plugin's id.
#[doc(hidden)]
pub const fn id<const N: usize>(identifier: &str) -> [u8; N] {
    let (bytes, mut id, mut at) = (identifier.as_bytes(), [0; N], 0);
    while at < N {
        id[at] = match bytes[at] {
            b'_' => b'-',
            byte @ (b'a'..=b'z' | b'0'..=b'9') => byte,
            _ => panic!("a plugin's id is made of lowercase letters, digits and `_`, which becomes `-`"),
        };
        at += 1;
    }
    id
}

/// The text of an ASCII constant.
#[doc(hidden)]
pub const fn text(bytes: &'static [u8]) -> &'static str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("not ASCII"),
    }
}

/// How long `parts` are together.
#[doc(hidden)]
pub const fn length(parts: &[&str]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < parts.len() {
        sum += parts[at].len();
        at += 1;
    }
    sum
}

/// `parts` together.
#[doc(hidden)]
pub const fn joined<const N: usize>(parts: &[&str]) -> [u8; N] {
    let (mut all, mut part, mut filled) = ([0; N], 0, 0);
    while part < parts.len() {
        let (bytes, mut at) = (parts[part].as_bytes(), 0);
        while at < bytes.len() {
            all[filled] = bytes[at];
            filled += 1;
            at += 1;
        }
        part += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_plugins_share_a_section() {
        let section =
            b"perennial/1 {\"id\":\"a-b\",\"provides\":[\"tools\"]}\n\0\0perennial/1 {\"id\":\"c\",\"version\":\
            \"1.0\",\"provides\":[],\"later\":1}\n";
        let manifests = Manifest::parse_section(section).unwrap();
        assert_eq!(
            manifests.iter().map(Manifest::symbol).collect::<Vec<_>>(),
            ["perennial_plugin_v1__a_b", "perennial_plugin_v1__c"]
        );
        for bad in ["perennial/1 {}", "perennial/1 {\"id\":\"A\",\"provides\":[]}", "junk"] {
            assert!(Manifest::parse_section(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn constants_are_put_together() {
        const PARTS: &[&str] = &["a", "", "bc"];
        const ALL: [u8; length(PARTS)] = joined(PARTS);
        assert_eq!(text(&ALL), "abc");
        assert_eq!(&id::<3>("a_1"), b"a-1");
    }
}
