//! The saved servers of one storage.

mod changes;
mod contested;
mod diff;
mod history;
mod listing;
mod pending;

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{
    Checked, Collected, Cx, DynStorage, Error, ErrorCode, Expected, Page, Permissions, PutId, Result, Retention,
    SavedServer, ServerId, ServerSpec, Summary, ToolDefinition, Version,
};

pub use changes::{Changes, Lines, Names, shortened};
pub use diff::unified;
pub use history::{History, HistoryEntry, VersionState};
use listing::every;
pub use listing::{deleted, listed};

use crate::{
    identity::{Client, Identity},
    trust::{How, Trust},
};

/// The library of saved servers.
pub struct Library {
    storage: Arc<dyn DynStorage>,
    identity: Identity,
    trust: Trust,
    known: history::Known,
}

/// Where a running server stands in the library.
#[derive(Debug, Clone, PartialEq)]
pub struct Shelf {
    /// The saved server.
    pub id: ServerId,
    /// The version that the running server was loaded from or saved as.
    pub version: Version,
    /// The name of that version.
    pub name: String,
    /// Whether the running server was saved here already; one that was only loaded may still go elsewhere.
    pub settled: bool,
    /// The name of a save that somebody else came before: tried again it goes on top, and under a new name apart.
    pub contested: Option<String>,
}

/// What is saved of a running server.
pub struct Manuscript<'a> {
    /// The running server.
    pub id: &'a ServerId,
    /// What it is made of.
    pub spec: &'a ServerSpec,
    /// Its tools.
    pub tools: &'a [ToolDefinition],
    /// Where it stands already.
    pub shelf: Option<&'a Shelf>,
    /// What it asks for and was not given: the record goes on to ask for it.
    pub withheld: Option<&'a Permissions>,
    /// Who asks for it.
    pub client: &'a Client,
}

/// A save that is on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Where the server now stands.
    pub shelf: Shelf,
    /// Somebody had deleted it, and this brought it back.
    pub revived: bool,
    /// Why its permissions will have to be approved, though it had them here.
    pub unapproved: Option<Error>,
    /// What was written.
    pub record: SavedServer,
}

impl Library {
    /// A library in this storage, whose versions are signed with `identity`, and used as `trust` has it.
    pub fn new(storage: Arc<dyn DynStorage>, identity: Identity, trust: Trust) -> Self {
        Self { storage, identity, trust, known: history::Known::default() }
    }

    /// The storage itself.
    pub fn storage(&self) -> &Arc<dyn DynStorage> {
        &self.storage
    }

    /// Which versions may use what they ask for.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Where the records are, for people.
    pub fn location(&self) -> String {
        self.storage.location()
    }

    /// Every saved server, ordered by id.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn list(&self, cx: &Cx) -> Result<Vec<Summary>> {
        listed(&*self.storage, cx).await
    }

    /// Every saved server, those that were saved last first.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn newest_first(&self, cx: &Cx) -> Result<Vec<Summary>> {
        let mut saved = self.list(cx).await?;
        saved.sort_by(|one, other| other.saved_at.cmp(&one.saved_at));
        Ok(saved)
    }

    /// Every deleted server as it was, ordered by id.
    ///
    /// # Errors
    /// Those of the storage; `unsupported` when it cannot tell.
    pub async fn deleted(&self, cx: &Cx) -> Result<Vec<Summary>> {
        deleted(&*self.storage, cx).await
    }

    /// The saved server that an id, an alias or a unique name means.
    ///
    /// # Errors
    /// `not_found`; `conflict` when several have the name, with each of them in the message.
    pub async fn find(&self, cx: &Cx, reference: &str) -> Result<ServerId> {
        if let Ok(id) = reference.parse::<ServerId>() {
            match self.storage.get(cx, &id, None).await {
                Ok(saved) => return saved.server_id.parse(),
                Err(error) if error.code == ErrorCode::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let named = self.named(cx, reference).await?;
        let deletion = if named.is_empty() { self.deletion(cx, reference).await } else { None };
        deletion.map_or_else(|| one_of(named, reference), Err)
    }

    /// What to say of an id whose server was deleted, and how to bring it back; none for any other.
    pub async fn deletion(&self, cx: &Cx, reference: &str) -> Option<Error> {
        let id = reference.parse::<ServerId>().ok()?;
        let versions = self.storage.versions(cx, &id).await.ok()?;
        let (tombstone, kept) = versions.split_last()?;
        let error = Error::not_found(format!("saved server `{id}` was deleted, as of version {tombstone}"));
        Some(match kept.last() {
            Some(last) => error.hint(way_back(&id, *last)),
            None => error,
        })
    }

    /// As [`find`](Self::find), among the deleted ones too when no other is meant.
    ///
    /// # Errors
    /// Those of [`find`](Self::find).
    pub async fn find_deleted_too(&self, cx: &Cx, reference: &str) -> Result<ServerId> {
        let unknown = match self.find(cx, reference).await {
            // of a server whose newest version is damaged the others can be had all the same
            Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::Other(_)) => error,
            found => return found,
        };
        if let Ok(id) = reference.parse::<ServerId>() {
            match self.storage.versions(cx, &id).await {
                Ok(versions) if !versions.is_empty() => return Ok(id),
                Err(error) if error.code != ErrorCode::NotFound => return Err(error),
                _ => {}
            }
        }
        let mut deleted = match self.deleted(cx).await {
            Err(error) if error.code == ErrorCode::Unsupported => return Err(unknown),
            deleted => deleted?,
        };
        deleted.retain(|summary| summary.name == reference);
        if deleted.is_empty() { Err(unknown) } else { one_of(deleted, reference) }
    }

    /// The saved servers of this name.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn named(&self, cx: &Cx, name: &str) -> Result<Vec<Summary>> {
        let (mut found, remembered) = every(&*self.storage, cx, Page::default()).await?;
        found.retain(|summary| summary.name == name);
        if found.is_empty() && remembered {
            // somebody else may just have saved it
            (found, _) = every(&*self.storage, cx, Page { fresh: true, ..Page::default() }).await?;
            found.retain(|summary| summary.name == name);
        }
        Ok(found)
    }

    /// A version of a saved server; the newest when none is named.
    ///
    /// # Errors
    /// `not_found`, and those of the storage.
    pub async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        self.storage.get(cx, id, version).await.map_err(|error| match (error.code == ErrorCode::NotFound, version) {
            (true, None) => unknown(id.as_str()),
            (true, Some(version)) => Error::not_found(format!("`{id}` has no version {version}")),
            _ => error,
        })
    }

    /// The versions of a saved server, oldest first.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        self.storage.versions(cx, id).await
    }

    /// Saves a running server under a name, durably, and tells where it now stands.
    ///
    /// A server that was saved before gets a further version. One that was loaded adds a version to the server that it
    /// came from when the name is that server's, and becomes a saved server of its own otherwise.
    ///
    /// # Errors
    /// `conflict` when somebody else saved a version meanwhile, with it in `data.current` and what is known of it.
    pub async fn save(&self, cx: &Cx, manuscript: &Manuscript<'_>, name: &str) -> Result<Saved> {
        let here = match manuscript.shelf {
            Some(shelf) if shelf.keeps(name) || self.has_name(cx, shelf, name).await? => Some(shelf),
            _ => None,
        };
        let fresh;
        let key = match (here, manuscript.shelf) {
            (Some(shelf), _) => &shelf.id,
            // its own id finds the server from which it parts
            (None, Some(shelf)) if shelf.settled || shelf.id == *manuscript.id => {
                fresh = ServerId::random();
                &fresh
            }
            (None, _) => manuscript.id,
        };
        let known = match here {
            Some(shelf) => self.storage.get(cx, key, None).await.map(|known| (known, Expected::At(shelf.version))),
            None => Err(Error::not_found("")),
        };
        let mut revived = false;
        let (earlier, expected) = match known {
            Ok((earlier, expected)) => (Some(earlier), expected),
            Err(error) if error.code == ErrorCode::NotFound => {
                revived = here.is_some();
                (if revived { self.last_record(cx, key).await } else { None }, Expected::New)
            }
            // saving is the way out of a damaged version
            Err(error) if is_damaged(&error) => {
                let expected = here.map_or(Expected::Any, |shelf| Expected::At(shelf.version));
                (self.last_record(cx, key).await, expected)
            }
            Err(error) => return Err(error),
        };
        let mut record = SavedServer {
            name: name.to_owned(),
            code: manuscript.spec.code.clone(),
            language: manuscript.spec.language.clone(),
            saved_at: now(),
            server_id: key.to_string(),
            aliases: earlier.as_ref().map(|earlier| earlier.aliases.clone()).unwrap_or_default(),
            dependencies: manuscript.spec.dependencies.clone(),
            lock: manuscript.spec.lock.clone(),
            files: manuscript.spec.files.clone(),
            permissions: manuscript.withheld.unwrap_or(&manuscript.spec.permissions).clone(),
            limits: manuscript.spec.limits.clone(),
            description: earlier.as_ref().and_then(|earlier| earlier.description.clone()),
            tools: manuscript.tools.to_vec(),
            saved_by: Some(self.identity.sign(manuscript.client)),
            extra: earlier.map(|earlier| earlier.extra).unwrap_or_default(),
            ..SavedServer::default()
        };
        if here.is_some() && key != manuscript.id && !record.aliases.contains(manuscript.id) {
            record.aliases.push(manuscript.id.clone());
        }
        // before the put: what was acknowledged comes back with what it had here
        let unapproved = match manuscript.withheld {
            None => self.trust.approve(&record, How::Saved).await.err(),
            Some(_) => None,
        };
        let version = match self.storage.put(cx, &record, expected, &PutId::random()).await {
            Err(error) if error.code == ErrorCode::Conflict => return Err(self.contested(cx, error, key, here).await),
            version => version?,
        };
        Ok(Saved {
            shelf: Shelf { id: key.clone(), version, name: name.to_owned(), settled: true, contested: None },
            revived,
            unapproved,
            record: SavedServer { version, ..record },
        })
    }

    /// Makes an earlier version the newest, as a version of its own; a deleted server is there again by it.
    ///
    /// Answers the new version and the name that it has. When `version` is the newest already nothing is written.
    ///
    /// # Errors
    /// `not_found` for a version that is not there or is a tombstone; `conflict` when somebody saves meanwhile.
    pub async fn restore(
        &self,
        cx: &Cx,
        id: &ServerId,
        version: Version,
        client: &Client,
    ) -> Result<(Version, String)> {
        let newest = self.versions(cx, id).await?.last().copied().unwrap_or_default();
        let old = self.get(cx, id, Some(version)).await?;
        if version == newest {
            return Ok((newest, old.name));
        }
        let mut record = SavedServer { saved_at: now(), saved_by: Some(self.identity.sign(client)), ..old };
        for alias in self.last_record(cx, id).await.map(|last| last.aliases).unwrap_or_default() {
            if !record.aliases.contains(&alias) {
                record.aliases.push(alias);
            }
        }
        let version = self.storage.put(cx, &record, Expected::At(newest), &PutId::random()).await?;
        Ok((version, record.name))
    }

    /// Deletes a saved server; its versions stay until they are collected.
    ///
    /// # Errors
    /// `not_found`, and those of the storage.
    pub async fn delete(&self, cx: &Cx, id: &ServerId) -> Result<Version> {
        self.storage.delete(cx, id, Expected::Any).await.map_err(|error| match error.code {
            ErrorCode::NotFound => unknown(id.as_str()),
            _ => error,
        })
    }

    /// The newest version that can be read: what is kept beside the source must not be lost with a tombstone above it.
    async fn last_record(&self, cx: &Cx, id: &ServerId) -> Option<SavedServer> {
        for version in self.versions(cx, id).await.ok()?.into_iter().rev() {
            if let Ok(record) = self.storage.get(cx, id, Some(version)).await {
                return Some(record);
            }
        }
        None
    }

    /// Reads everything that is saved and tells what is wrong with it; repairs it, when that is asked for.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn check(&self, cx: &Cx, repair: bool) -> Result<Checked> {
        self.storage.check(cx, repair).await
    }

    /// Removes what `retention` does not keep.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn collect(&self, cx: &Cx, retention: &Retention) -> Result<Collected> {
        self.storage.collect(cx, retention).await
    }

    async fn has_name(&self, cx: &Cx, shelf: &Shelf, name: &str) -> Result<bool> {
        if shelf.name == name {
            return Ok(true);
        }
        match self.storage.get(cx, &shelf.id, None).await {
            Ok(newest) => Ok(newest.name == name),
            Err(error) if error.code == ErrorCode::NotFound || is_damaged(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Shelf {
    /// Whether a save under `name` belongs here, whatever the saved server is called.
    fn keeps(&self, name: &str) -> bool {
        self.contested.as_ref().map_or(self.settled, |contested| contested == name)
    }
}

/// How to undo the deletion of a server whose last version was `last`.
pub fn way_back(id: &ServerId, last: Version) -> String {
    format!(
        "its versions are kept for some time: `load-saved-server` with {{\"savedServerId\": \"{id}\", \"version\": {last}}} \
         and then `save-server` under the same name undo the deletion, or `perennial history {id} --restore {last}` on the \
         command line"
    )
}

fn one_of(named: Vec<Summary>, reference: &str) -> Result<ServerId> {
    match named.as_slice() {
        [] => Err(unknown(reference)),
        [one] => one.server_id.parse(),
        several => {
            let ids: Vec<_> = several.iter().map(|summary| format!("`{}`", summary.server_id)).collect();
            let message = format!("{} saved servers are called `{reference}`", several.len());
            Err(Error::new(ErrorCode::Conflict, message).hint(format!("name one by its id: {}", ids.join(", "))))
        }
    }
}

/// As the guide's file writes it.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn is_damaged(error: &Error) -> bool {
    error.code == ErrorCode::Other("damaged".into())
}

fn unknown(reference: &str) -> Error {
    let shown: String = reference.chars().take(80).collect();
    Error::not_found(format!("no saved server `{shown}`")).hint("`list-saved-servers` shows what there is")
}
