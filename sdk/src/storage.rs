use std::{collections::BTreeMap, fmt, future::Future};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    BoxFuture, Checked, Collected, Cx, Dependencies, Error, ErrorCode, Finding, FindingKind, Limits, Permissions,
    Plugin, Result, Retention, ServerId, ServerSpec, ToolDefinition,
};

/// Keeps saved servers and their versions: records and compare-and-swap, not files.
///
/// An acknowledged `put` is durable: not lost and not torn, whatever happens to the process next. Versions are numbered
/// from 1 and ordered by number, never by clock. The testkit checks all of it.
pub trait Storage: Plugin {
    /// What this storage can do.
    fn capabilities(&self) -> Capabilities;

    /// Where the records are, for people: a path or a URL without credentials.
    fn location(&self) -> String;

    /// The newest version of every server that is not deleted, ordered by id; a [`fresh`](Page::fresh) listing shows what
    /// any host has saved before.
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

    /// The deleted servers, ordered by id: each as its newest version that is no tombstone shows it, with that version's
    /// number. A server of which nothing but its tombstone is kept is not among them.
    fn deleted(&self, cx: &Cx, page: &Page) -> impl Future<Output = Result<Listing>> + Send {
        let _ = (cx, page);
        async { Err(Error::unsupported("this storage cannot list what was deleted")) }
    }

    /// Reads everything and tells what is not as it should be. With `repair` it mends what can be mended without removing
    /// anything that may hold a save.
    ///
    /// This one reads every version of what is listed, and repairs nothing.
    fn check(&self, cx: &Cx, repair: bool) -> impl Future<Output = Result<Checked>> + Send {
        let _ = repair;
        check_by_reading(self, cx)
    }

    /// Removes what nobody uses any more and `retention` does not keep, but never the newest version of a server.
    ///
    /// This one is `unsupported`.
    fn collect(&self, cx: &Cx, retention: &Retention) -> impl Future<Output = Result<Collected>> + Send {
        let _ = (cx, retention);
        let error = Error::unsupported(format!("the storage at `{}` removes nothing by itself", self.location()));
        async { Err(error) }
    }
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
    /// Who saved it, as the writer said; one that cannot be read counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "signature")]
    pub saved_by: Option<SavedBy>,
    /// Fields that this version of the SDK does not know; they survive a round trip.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Who saved a version. It is what the writer said of itself: a help for people, no proof.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedBy {
    /// The installation that wrote it.
    pub host: HostIdentity,
    /// The program that asked for it, when it gave a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientIdentity>,
}

/// An installation of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostIdentity {
    /// Random, made once for each installation.
    pub id: String,
    /// The machine's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The name of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A program that works through a host, such as a chat client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientIdentity {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
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
    /// What the server may reach.
    #[serde(default, skip_serializing_if = "Permissions::is_default")]
    pub permissions: Permissions,
    /// Who saved it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "signature")]
    pub saved_by: Option<SavedBy>,
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
    /// Looks at the medium in any case: a storage that asks it only now and then may lack what others saved just now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
}

/// A part of a listing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The servers of this page.
    pub items: Vec<Summary>,
    /// Where the next page starts; none after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether it was answered from memory; a [`fresh`](Page::fresh) one may hold more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remembered: bool,
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
    /// See [`Storage::deleted`].
    fn deleted<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>>;
    /// See [`Storage::check`].
    fn check<'a>(&'a self, cx: &'a Cx, repair: bool) -> BoxFuture<'a, Result<Checked>>;
    /// See [`Storage::collect`].
    fn collect<'a>(&'a self, cx: &'a Cx, retention: &'a Retention) -> BoxFuture<'a, Result<Collected>>;
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
            permissions: self.permissions.clone(),
            saved_by: self.saved_by.clone(),
            damage: None,
        }
    }
}

impl ClientIdentity {
    /// A client by what it says of itself, on one line and cut to a length that fits beside other facts.
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: cut(name), version: cut(version) }
    }
}

/// `ada on lovelace with claude-ai 0.1`, as far as it is known.
impl fmt::Display for SavedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host.user, &self.host.name) {
            (Some(user), Some(name)) => write!(f, "{user} on {name}")?,
            (Some(one), None) | (None, Some(one)) => f.write_str(one)?,
            (None, None) => write!(f, "installation {}", self.host.id)?,
        }
        let Some(ClientIdentity { name, version }) = &self.client else { return Ok(()) };
        write!(f, " with {}", format!("{name} {version}").trim_end())
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

    /// The id of a put that another process may have begun, or may repeat: the same parts give the same id.
    pub fn derived(parts: &[&str]) -> Self {
        let hash = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part).chain_update([0xff]));
        let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
        Self(hash.finalize().iter().take(16).fold(String::new(), hex))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A signature that has not the form of one counts as absent: it must not take the rest of a record with it.
fn signature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SavedBy>, D::Error> {
    let signature = serde_json::from_value::<SavedBy>(Value::deserialize(deserializer)?).ok();
    Ok(signature.map(|SavedBy { host, client }| SavedBy {
        host: HostIdentity {
            id: cut(&host.id),
            name: host.name.as_deref().map(cut),
            user: host.user.as_deref().map(cut),
        },
        client: client.map(|client| ClientIdentity::new(&client.name, &client.version)),
    }))
}

/// A name on one line, of a length that fits beside other facts.
fn cut(name: &str) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    name.trim().chars().take(80).map(visible).collect()
}

impl Default for Page {
    fn default() -> Self {
        Self { cursor: None, limit: 1000, fresh: false }
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

    fn deleted<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(Storage::deleted(self, cx, page))
    }

    fn check<'a>(&'a self, cx: &'a Cx, repair: bool) -> BoxFuture<'a, Result<Checked>> {
        Box::pin(Storage::check(self, cx, repair))
    }

    fn collect<'a>(&'a self, cx: &'a Cx, retention: &'a Retention) -> BoxFuture<'a, Result<Collected>> {
        Box::pin(Storage::collect(self, cx, retention))
    }
}

/// What [`Storage::check`] does unless a storage knows better.
///
/// # Errors
/// Those of the storage, but for versions that cannot be read: they are what it looks for.
pub async fn check_by_reading(storage: &dyn DynStorage, cx: &Cx) -> Result<Checked> {
    let (mut checked, mut page) = (Checked::default(), Page::default());
    loop {
        let listing = storage.list(cx, &page).await?;
        for summary in listing.items {
            checked.servers += 1;
            let Ok(id) = summary.server_id.parse::<ServerId>() else { continue };
            for version in storage.versions(cx, &id).await? {
                checked.versions += 1;
                match storage.get(cx, &id, Some(version)).await {
                    Ok(_) => {}
                    // A tombstone, or collected meanwhile.
                    Err(error) if error.code == ErrorCode::NotFound => {}
                    Err(error) => {
                        let kind = if error.retryable { FindingKind::Unreadable } else { FindingKind::DamagedVersion };
                        let finding = Finding::new(kind, storage.location(), error.message).of(&id, version);
                        checked.findings.push(Finding { hint: error.hint, ..finding });
                    }
                }
            }
        }
        match listing.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(checked),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signature_that_cannot_be_read_takes_nothing_with_it() {
        let mut record = json!({"name": "a", "code": "", "language": "python", "savedAt": "", "serverId": "b"});
        for odd in [json!("ada"), json!(null), json!({"host": 5}), json!([1])] {
            record["savedBy"] = odd;
            let server: SavedServer = serde_json::from_value(record.clone()).unwrap();
            assert_eq!((server.name.as_str(), server.saved_by, server.extra.len()), ("a", None, 0));
        }
        record["savedBy"] = json!({"host": {"name": "a\nb".repeat(1000)}, "client": {"name": "c".repeat(1_000_000)}});
        let by = serde_json::from_value::<SavedServer>(record).unwrap().saved_by.unwrap().to_string();
        assert!(by.len() < 300 && !by.contains('\n') && by.contains(" with ccc"), "{by}");
    }

    #[test]
    fn a_signature_names_what_is_known() {
        let mut by = SavedBy { host: HostIdentity { id: "h".into(), ..HostIdentity::default() }, client: None };
        assert_eq!(by.to_string(), "installation h");
        by.host.name = Some("lovelace".into());
        by.client = Some(ClientIdentity::new(" chat ", ""));
        assert_eq!(by.to_string(), "lovelace with chat");
        by.host.user = Some("ada".into());
        by.client = Some(ClientIdentity::new("chat", &"1".repeat(500)));
        assert!(by.to_string().starts_with("ada on lovelace with chat 11") && by.to_string().len() < 120);
    }

    #[test]
    fn derived_ids_are_the_same_for_the_same_parts_alone() {
        let id = PutId::derived(&["copy", "a", "1"]);
        assert_eq!((&id, id.as_str().len()), (&PutId::derived(&["copy", "a", "1"]), 32));
        assert_ne!(id, PutId::derived(&["copy", "a1", ""]));
        assert_ne!(id, PutId::derived(&["copy", "a", "1", ""]));
    }
}
