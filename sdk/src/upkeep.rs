use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ServerId, Version};

/// How long a storage keeps what nobody uses any more. The default keeps every version of every server that is not
/// deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// So many of a server's newest versions are kept; all, when there is no number and no age.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<u64>,
    /// A version is kept for so long after it was replaced by a newer one, whatever its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Duration>,
    /// The versions of a deleted server are kept for so long after it was deleted.
    pub deleted: Duration,
    /// Nothing is removed; the answer tells what would be.
    pub dry_run: bool,
}

/// What a collection removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Versions, by server.
    pub servers: Vec<CollectedServer>,
    /// Large texts that no version had any more.
    pub blobs: u64,
    /// Bytes of all of it.
    pub bytes: u64,
}

/// What a collection removed of one server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectedServer {
    /// The server.
    pub server_id: ServerId,
    /// Whether it was deleted long ago, and cannot be had back now.
    pub deleted: bool,
    /// The versions that are gone, oldest first.
    pub versions: Vec<Version>,
}

/// What a check of a storage found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Servers that were looked at, the deleted ones among them.
    pub servers: u64,
    /// Versions that were read.
    pub versions: u64,
    /// Large texts that were read.
    pub blobs: u64,
    /// All that is not as it should be.
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What sort of thing.
    pub kind: FindingKind,
    /// Where it is: an object's key or a path.
    pub place: String,
    /// The server that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<ServerId>,
    /// The version that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What is wrong with it, as a lowercase fragment.
    pub message: String,
    /// What was done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The sorts of [`Finding`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// A version whose content is not what was saved.
    DamagedVersion,
    /// A version whose content is what was saved, but cannot be read as a saved server.
    UnusableVersion,
    /// A version that is not there though older and newer ones are.
    MissingVersion,
    /// A large text that a version has and that is not there.
    MissingBlob,
    /// A large text that is not what was saved.
    DamagedBlob,
    /// Something that the storage has not put there.
    StrayObject,
    /// What a writer left that was killed before it was done.
    StaleTemporary,
    /// A list of what there is that says something else than what there is.
    WrongIndex,
    /// Something that could not be read this time.
    Unreadable,
}

impl Default for Retention {
    fn default() -> Self {
        Self { versions: None, replaced: None, deleted: Duration::from_secs(30 * 86_400), dry_run: false }
    }
}

impl Checked {
    /// Whether nothing is wrong that was not repaired.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired.is_some())
    }
}

impl Finding {
    /// Something at a place.
    pub fn new(kind: FindingKind, place: impl Into<String>, message: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self { kind, place, server_id: None, version: None, message, repaired: None, hint: None }
    }

    /// The version that it concerns.
    #[must_use]
    pub fn of(self, id: &ServerId, version: Version) -> Self {
        Self { server_id: Some(id.clone()), version: Some(version), ..self }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
