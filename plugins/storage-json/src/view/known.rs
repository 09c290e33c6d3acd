use std::{collections::HashMap, fs, io::Write, path::Path};

use perennial_sdk::Version;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::file::Stamp;
use crate::durable;

/// What the file was when a host last read or wrote it: the measure of what others have changed since.
///
/// It may be lost or be older than the file. It is then only harder to tell a record that somebody deleted from one
/// that was not written yet, and the record stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) stamp: Option<Stamp>,
    pub(super) sha256: String,
    pub(super) entries: Vec<KnownEntry>,
}

/// One entry of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KnownEntry {
    /// With quotes and escapes, as it stands in the file.
    pub(super) key: String,
    /// SHA-256 of the value's text.
    pub(super) sha256: String,
    pub(super) what: What,
}

/// What an entry is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// A version of the library; `exact` when it was written by us, in the form that we would give it again.
    Version { version: Version, exact: bool },
    /// Not ours to understand: kept as it is.
    Carried(Box<RawValue>),
}

impl Known {
    pub(super) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(super) fn save(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = durable::temporary(folder)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path).map_err(|error| error.error).map(drop)
    }

    pub(super) fn by_key(&self) -> HashMap<&str, &KnownEntry> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect()
    }
}

impl KnownEntry {
    pub(super) fn version(&self) -> Option<Version> {
        match self.what {
            What::Version { version, .. } => Some(version),
            What::Carried(_) => None,
        }
    }
}
