//! Secrets: values that stay with the operator. A server is given those whose names it was granted, and no text that
//! leaves the host holds one.

mod file;
mod forms;
mod known;
mod redactor;

use std::{collections::BTreeMap, fmt};

use perennial_sdk::{Error, Result};

pub use file::Secrets;
pub use known::{known, remember};
pub use redactor::Redactor;

/// The value of a secret; it can be used, and not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Values by the names of their variables.
pub type Values = BTreeMap<String, Secret>;

impl Secret {
    /// Bytes of the longest one.
    pub const LONGEST: usize = 64 << 10;

    /// Bytes of the shortest one that is recognised in what others say: shorter ones are in every text.
    pub const SHORTEST_KNOWN: usize = 6;

    /// A value as somebody gives it, without the newline that ends a line or a file.
    ///
    /// # Errors
    /// `invalid` when it is empty, too long, or cannot be put into a variable.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        match text {
            "" => Err(Error::invalid("the value is empty")),
            text if text.contains('\0') => Err(Error::invalid("the value has a NUL byte, which no variable can hold")),
            text if text.len() > Self::LONGEST => {
                Err(Error::invalid(format!("the value is longer than {} bytes", Self::LONGEST)))
            }
            text => Ok(Self(text.to_owned())),
        }
    }

    /// The value itself, for whoever was granted it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
