use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use perennial_sdk::{Cx, ErrorCode, Result, SavedBy, SavedServer, ServerId, Version};
use serde::Serialize;

use super::{Changes, Library, changes};

/// How many versions are remembered; after that all are forgotten and read again.
const MOST_KNOWN: usize = 2000;

/// What became of one saved server, newest version first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The id under which it was first saved.
    pub saved_server_id: ServerId,
    /// How many versions there are, tombstones among them.
    pub total: usize,
    /// The newest of them.
    pub versions: Vec<HistoryEntry>,
}

/// One version in a history.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its number.
    pub version: Version,
    /// What it is.
    pub state: VersionState,
    /// The name that it gave the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was saved, as the record says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_at: Option<String>,
    /// Who saved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved_by: Option<SavedBy>,
    /// What is different from the version before it; none for the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// What a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// It can be loaded.
    Saved,
    /// The server was deleted here.
    Deleted,
    /// It cannot be read.
    Damaged,
}

/// Versions never change: what was read once need not be read again.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<(ServerId, Version), HistoryEntry>>);

/// What a version number leads to.
enum Read {
    Record(Box<SavedServer>),
    Nothing(Box<HistoryEntry>),
}

impl Library {
    /// The newest `most` versions of a saved server, deleted ones too, each with what changed in it.
    ///
    /// # Errors
    /// `not_found`, and those of the storage.
    pub async fn history(&self, cx: &Cx, id: &ServerId, most: usize) -> Result<History> {
        let numbers = self.versions(cx, id).await?;
        let first = numbers.len().saturating_sub(most);
        let mut versions = Vec::with_capacity(numbers.len() - first);
        // the record below, read for its difference
        let mut below: Option<(usize, Read)> = None;
        for at in (first..numbers.len()).rev() {
            let version = numbers[at];
            if let Some(known) = self.known.get(id, version) {
                versions.push(known);
                continue;
            }
            let read = match below.take() {
                Some((place, read)) if place == at => read,
                _ => self.read(cx, id, version).await?,
            };
            let entry = match read {
                Read::Nothing(entry) => *entry,
                Read::Record(record) => {
                    let mut difference = None;
                    for place in (0..at).rev() {
                        let read = self.read(cx, id, numbers[place]).await?;
                        if let Read::Record(before) = &read {
                            difference = Some(Changes::between(before, &record));
                            below = Some((place, read));
                            break;
                        }
                    }
                    HistoryEntry {
                        version,
                        state: VersionState::Saved,
                        name: Some(changes::shortened(&record.name)),
                        saved_at: Some(changes::shortened(&record.saved_at)),
                        saved_by: record.saved_by,
                        changes: difference,
                        damage: None,
                    }
                }
            };
            self.known.note(id, &entry);
            versions.push(entry);
        }
        Ok(History { saved_server_id: id.clone(), total: numbers.len(), versions })
    }

    async fn read(&self, cx: &Cx, id: &ServerId, version: Version) -> Result<Read> {
        let (state, damage) = match self.storage.get(cx, id, Some(version)).await {
            Ok(record) => return Ok(Read::Record(Box::new(record))),
            Err(error) if error.code == ErrorCode::NotFound => (VersionState::Deleted, None),
            Err(error) if matches!(error.code, ErrorCode::Other(_)) => {
                (VersionState::Damaged, Some(changes::shortened(&error.message)))
            }
            Err(error) => return Err(error),
        };
        let (name, saved_at, saved_by, changes) = (None, None, None, None);
        let entry = HistoryEntry { version, state, name, saved_at, saved_by, changes, damage };
        Ok(Read::Nothing(Box::new(entry)))
    }
}

impl Known {
    fn get(&self, id: &ServerId, version: Version) -> Option<HistoryEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(id.clone(), version)).cloned()
    }

    fn note(&self, id: &ServerId, entry: &HistoryEntry) {
        // what cannot be read now may be well again later
        if entry.state == VersionState::Damaged {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert((id.clone(), entry.version), entry.clone());
    }
}
