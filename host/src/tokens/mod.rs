//! Who may use the host over HTTP: named bearer tokens, of which hashes are kept and never the text.

mod file;
mod keyring;

use std::{fmt, sync::Arc};

use perennial_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use file::{Kept, TokenFile};
pub use keyring::Keyring;

/// Bytes of the shortest token that an operator may bring: fewer could be guessed.
pub const SHORTEST: usize = 20;

/// What a token is called, which stands in the audit log and in what is saved with it: letters, digits, `.`, `_` and `-`,
/// at most 64, of which the first is a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
pub struct TokenName(Arc<str>);

/// The SHA-256 of a token. A token is random, so that nothing slower is needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Hash {
    /// Of this token.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether both are the same; how long it takes does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differences) == 0
    }

    fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::LowerHex for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash")
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TokenName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric();
        let fits = text.len() <= 64
            && text.bytes().next().is_some_and(letter)
            && text.bytes().all(|byte| letter(byte) || b"._-".contains(&byte));
        match fits {
            true => Ok(Self(text.into())),
            false => Err(Error::invalid("that is no name of a token").hint(
                "a name has letters, digits, `.`, `_` and `-`, at most 64, and begins with a letter or digit: `ada-laptop`",
            )),
        }
    }
}

impl TryFrom<String> for TokenName {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map_err(|error: Error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths_and_no_options() {
        assert!("ada-laptop.2".parse::<TokenName>().is_ok());
        for bad in ["", "-rf", ".hidden", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hash_survives_its_text_and_tells_tokens_apart() {
        let hash = Hash::of(b"one");
        assert!(Hash::from_hex(&format!("{hash:x}")).unwrap().matches(&hash));
        assert!(!hash.matches(&Hash::of(b"two")));
        for bad in ["", "zz", &"g".repeat(64), &"é".repeat(32)] {
            assert!(Hash::from_hex(bad).is_none());
        }
    }
}
