use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use perennial_sdk::{Error, Permissions, Result, SavedServer, ServerId};
use serde::{Deserialize, Serialize};

use super::Fingerprint;

/// What this installation lets saved servers use, as its file holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approvals {
    format_version: u64,
    servers: BTreeMap<ServerId, Vec<Approval>>,
}

/// One content that may use what it asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The content.
    pub sha256: Fingerprint,
    /// Who says so.
    pub how: How,
    /// When: ISO 8601 in UTC.
    pub at: String,
    /// What it asks for; part of the content, and here for people who read the file.
    pub permissions: Permissions,
}

/// Who says that a content may use what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// This installation saved it, as it ran here.
    Saved,
    /// A person, by `perennial approve`.
    Approved,
    /// A person, whom the chat client asked.
    Asked,
}

/// In the state folder.
const FILE: &str = "approvals.json";

/// Held by whoever changes the file; it is never renamed, as the file is.
const LOCK: &str = "approvals.lock";

const FORMAT_VERSION: u64 = 1;

impl Approvals {
    /// Reads the file in the folder `state`; none yet is no approval yet.
    ///
    /// # Errors
    /// `unavailable` when it is there and is not what this program writes.
    pub(super) fn read(state: &Path) -> Result<Self> {
        let path = state.join(FILE);
        let unusable = |why: &dyn std::fmt::Display| {
            let message = format!("the approvals in `{}` cannot be read: {why}", path.display());
            Error::unavailable(message)
                .hint("nothing counts as approved, and the file is left as it is: repair it, or move it away and approve again")
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable(&error)),
        };
        let approvals: Self = serde_json::from_slice(&text).map_err(|error| unusable(&error))?;
        match approvals.format_version {
            FORMAT_VERSION => Ok(approvals),
            other => Err(unusable(&format!("its format is {other}, this program knows {FORMAT_VERSION}"))),
        }
    }

    /// Changes the file, as `change` does, which answers whether it did. One at a time, in this process and in others.
    ///
    /// # Errors
    /// As [`Approvals::read`]; it cannot be written.
    pub(super) fn change(state: &Path, change: impl FnOnce(&mut Self) -> bool) -> Result<bool> {
        let unwritten = |error: std::io::Error| {
            Error::from(error).context(format!("the approvals in `{}` cannot be written", state.display()))
        };
        fs::create_dir_all(state).map_err(unwritten)?;
        let lock = File::options().create(true).append(true).open(state.join(LOCK)).map_err(unwritten)?;
        give_to_owner(&lock, state);
        lock.lock().map_err(unwritten)?;
        let mut approvals = Self::read(state)?;
        let changed = change(&mut approvals);
        if changed {
            approvals.write(state).map_err(unwritten)?;
        }
        Ok(changed)
    }

    /// Whether this content may use what it asks for.
    pub fn cover(&self, record: &SavedServer) -> bool {
        record.permissions.is_default() || self.approval(record).is_some()
    }

    /// The approval of this content.
    pub fn approval(&self, record: &SavedServer) -> Option<&Approval> {
        let of_it = self.servers.get(record.server_id.as_str()).filter(|of_it| !of_it.is_empty())?;
        let sha256 = Fingerprint::of(record);
        of_it.iter().rev().find(|approval| approval.sha256 == sha256)
    }

    /// Whether anything of this server was ever approved.
    pub fn know(&self, id: &ServerId) -> bool {
        self.servers.contains_key(id)
    }

    pub(super) fn add(&mut self, id: ServerId, approval: Approval) -> bool {
        let of_it = self.servers.entry(id).or_default();
        let new = of_it.iter().all(|known| known.sha256 != approval.sha256);
        if new {
            of_it.push(approval);
        }
        new
    }

    pub(super) fn remove(&mut self, id: &ServerId, only: Option<&Fingerprint>) -> usize {
        let Some(of_it) = self.servers.get_mut(id) else { return 0 };
        let before = of_it.len();
        of_it.retain(|approval| only.is_some_and(|only| approval.sha256 != *only));
        let gone = before - of_it.len();
        if of_it.is_empty() {
            self.servers.remove(id);
        }
        gone
    }

    fn write(&self, state: &Path) -> std::io::Result<()> {
        // readable and writable for its owner alone
        let mut file = tempfile::NamedTempFile::new_in(state)?;
        give_to_owner(file.as_file(), state);
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(state.join(FILE))?;
        File::open(state)?.sync_all()
    }
}

impl Default for Approvals {
    fn default() -> Self {
        Self { format_version: FORMAT_VERSION, servers: BTreeMap::new() }
    }
}

/// Root, who may come in by `docker exec`, leaves behind nothing that the host could not read.
fn give_to_owner(file: &File, folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let (Ok(ours), Ok(theirs)) = (file.metadata(), fs::metadata(folder)) else { return };
        if ours.uid() != theirs.uid() {
            let _ = fchown(file, Some(theirs.uid()), Some(theirs.gid()));
        }
    }
}
