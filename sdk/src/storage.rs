use std::{collections::BTreeMap, fmt, future::Future};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BoxFuture, Cx, Dependencies, Limits, Permissions, Plugin, Result, ServerId, ServerSpec, ToolDefinition};

/// Keeps saved servers and their versions: records and compare-and-swap, not files.
///
/// An acknowledged `put` is durable: not lost and not torn, whatever happens to the process next. Versions are numbered
/// from 1 and ordered by number, never by clock. The testkit checks all of it.
pub trait Storage: Plugin {
    /// What this storage can do.
    fn capabilities(&self) -> Capabilities;

    /// Where the records are, for people: a path or a URL without credentials.
    fn location(&self) -> String;

    /// The newest version of every server that is not deleted, ordered by id.
    fn list(&self, cx: &Cx, page: &Page) -> impl Future<Output = Result<Listing>> + Send;

    /// One server by its id or an alias; the newest version when none is named. A deleted server is `not_found`, but
    /// its numbered versions can be read until they are collected.
    fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>)
    -> impl Future<Output = Result<SavedServer>> + Send;

    /// Writes the next version of `record.server_id` when `expected` holds, and a `conflict` error otherwise, with the
    /// current version in its `data.current`. The same `put_id` again is the same put: it answers the version it made.
    fn put(
        &self,
        cx: &Cx,
        record: &SavedServer,
        expected: Expected,
        put_id: &PutId,
    ) -> impl Future<Output = Result<Version>> + Send;

    /// Every version of a server, oldest first, tombstones among them.
    fn versions(&self, cx: &Cx, id: &ServerId) -> impl Future<Output = Result<Vec<Version>>> + Send;

    /// Writes a tombstone when `expected` holds and answers its version; the versions before it stay.
    fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> impl Future<Output = Result<Version>> + Send;
}

/// One version of a saved server: the fields of the file that users know, and ours.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedServer {
    /// The name that the person gave to this version.
    pub name: String,
    /// The main source file.
    pub code: String,
    /// The language's main name.
    pub language: String,
    /// When it was saved: ISO 8601 in UTC with milliseconds. Text, since a hand edit may hold anything.
    pub saved_at: String,
    /// The id under which the server was first saved.
    pub server_id: String,
    /// The number of this version; 0 until it is put.
    #[serde(default, skip_serializing_if = "Version::is_unset")]
    pub version: Version,
    /// SHA-256 of the stored record, in hex; set by the storage when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Further ids that find this server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<ServerId>,
    /// Packages as they were asked for.
    #[serde(default, skip_serializing_if = "Dependencies::is_empty")]
    pub dependencies: Dependencies,
    /// What the packages were resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Further files: relative path → text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What the server may reach.
    #[serde(default, skip_serializing_if = "Permissions::is_default")]
    pub permissions: Permissions,
    /// How much it may use.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its tools as they were when it was saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDefinition>,
    /// Fields that this version of the SDK does not know; they survive a round trip.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A [`SavedServer`] without `code`, `files` and `lock`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The name of the newest version.
    pub name: String,
    /// The language's main name.
    pub language: String,
    /// When it was saved.
    pub saved_at: String,
    /// The id under which the server was first saved.
    pub server_id: String,
    /// The number of the newest version.
    pub version: Version,
    /// Further ids that find this server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<ServerId>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its tools as they were when it was saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDefinition>,
    /// Why the record cannot be used, when it cannot: it is listed all the same, so that nothing seems lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// The number of a version: 1 is the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

/// What a writer believes of the server that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// It does not exist, or is deleted.
    New,
    /// No matter.
    Any,
    /// Its newest version is this one.
    #[serde(untagged)]
    At(Version),
}

/// Names one put: given again after a failure, it makes the put happen once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PutId(String);

/// Which part of a listing is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// [`Listing::next`] of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most this many items.
    pub limit: usize,
}

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The servers of this page.
    pub items: Vec<Summary>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a storage can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Whether several hosts may write at the same time.
    pub shared: bool,
    /// Whether older versions are kept.
    pub versions: bool,
}

/// [`Storage`] as an object.
pub trait DynStorage: Send + Sync {
    /// See [`Storage::capabilities`].
    fn capabilities(&self) -> Capabilities;
    /// See [`Storage::location`].
    fn location(&self) -> String;
    /// See [`Storage::list`].
    fn list<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>>;
    /// See [`Storage::get`].
    fn get<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, version: Option<Version>) -> BoxFuture<'a, Result<SavedServer>>;
    /// See [`Storage::put`].
    fn put<'a>(
        &'a self,
        cx: &'a Cx,
        record: &'a SavedServer,
        expected: Expected,
        put_id: &'a PutId,
    ) -> BoxFuture<'a, Result<Version>>;
    /// See [`Storage::versions`].
    fn versions<'a>(&'a self, cx: &'a Cx, id: &'a ServerId) -> BoxFuture<'a, Result<Vec<Version>>>;
    /// See [`Storage::delete`].
    fn delete<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, expected: Expected) -> BoxFuture<'a, Result<Version>>;
}

impl SavedServer {
    /// What was asked for when the server was created.
    pub fn spec(&self) -> ServerSpec {
        ServerSpec {
            language: self.language.clone(),
            code: self.code.clone(),
            files: self.files.clone(),
            dependencies: self.dependencies.clone(),
            lock: self.lock.clone(),
            permissions: self.permissions.clone(),
            limits: self.limits.clone(),
        }
    }

    /// The record as a listing shows it.
    pub fn summary(&self) -> Summary {
        Summary {
            name: self.name.clone(),
            language: self.language.clone(),
            saved_at: self.saved_at.clone(),
            server_id: self.server_id.clone(),
            version: self.version,
            aliases: self.aliases.clone(),
            description: self.description.clone(),
            tools: self.tools.clone(),
            damage: None,
        }
    }
}

impl Version {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Whether no number was given yet.
    pub fn is_unset(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PutId {
    /// A new one, for one put and its retries.
    pub fn random() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { cursor: None, limit: 1000 }
    }
}

impl<T: Storage> DynStorage for T {
    fn capabilities(&self) -> Capabilities {
        Storage::capabilities(self)
    }

    fn location(&self) -> String {
        Storage::location(self)
    }

    fn list<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(Storage::list(self, cx, page))
    }

    fn get<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, version: Option<Version>) -> BoxFuture<'a, Result<SavedServer>> {
        Box::pin(Storage::get(self, cx, id, version))
    }

    fn put<'a>(
        &'a self,
        cx: &'a Cx,
        record: &'a SavedServer,
        expected: Expected,
        put_id: &'a PutId,
    ) -> BoxFuture<'a, Result<Version>> {
        Box::pin(Storage::put(self, cx, record, expected, put_id))
    }

    fn versions<'a>(&'a self, cx: &'a Cx, id: &'a ServerId) -> BoxFuture<'a, Result<Vec<Version>>> {
        Box::pin(Storage::versions(self, cx, id))
    }

    fn delete<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, expected: Expected) -> BoxFuture<'a, Result<Version>> {
        Box::pin(Storage::delete(self, cx, id, expected))
    }
}
