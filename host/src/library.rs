//! The saved servers of one storage.

use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{
    Checked, Collected, Cx, DynStorage, Error, ErrorCode, Expected, Page, PutId, Result, Retention, SavedServer,
    ServerId, ServerSpec, Summary, ToolDefinition, Version,
};

/// The library of saved servers.
pub struct Library {
    storage: Arc<dyn DynStorage>,
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
}

impl Library {
    /// A library in this storage.
    pub fn new(storage: Arc<dyn DynStorage>) -> Self {
        Self { storage }
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
        let mut all = Vec::new();
        let mut page = Page::default();
        loop {
            let mut listing = self.storage.list(cx, &page).await?;
            all.append(&mut listing.items);
            match listing.next {
                Some(next) => page.cursor = Some(next),
                None => return Ok(all),
            }
        }
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
        match self.named(cx, reference).await?.as_slice() {
            [] => Err(unknown(reference)),
            [one] => one.server_id.parse(),
            several => {
                let ids: Vec<_> = several.iter().map(|summary| format!("`{}`", summary.server_id)).collect();
                let message = format!("{} saved servers are called `{reference}`", several.len());
                Err(Error::new(ErrorCode::Conflict, message).hint(format!("name one by its id: {}", ids.join(", "))))
            }
        }
    }

    /// The saved servers of this name.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn named(&self, cx: &Cx, name: &str) -> Result<Vec<Summary>> {
        let mut all = self.list(cx).await?;
        all.retain(|summary| summary.name == name);
        Ok(all)
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
    /// `conflict` when somebody else saved a version meanwhile, with it in `data.current`.
    pub async fn save(&self, cx: &Cx, manuscript: &Manuscript<'_>, name: &str) -> Result<Shelf> {
        let here = match manuscript.shelf {
            Some(shelf) if shelf.settled || self.has_name(cx, shelf, name).await? => Some(shelf),
            _ => None,
        };
        let key = here.map_or(manuscript.id, |shelf| &shelf.id);
        let known = match here {
            Some(shelf) => self.storage.get(cx, key, None).await.map(|known| (known, Expected::At(shelf.version))),
            None => Err(Error::not_found("")),
        };
        let (earlier, expected) = match known {
            Ok((earlier, expected)) => (Some(earlier), expected),
            // deleted meanwhile: saving brings it back
            Err(error) if error.code == ErrorCode::NotFound => (None, Expected::New),
            // saving is the way out of a damaged version
            Err(error) if is_damaged(&error) => (None, here.map_or(Expected::Any, |shelf| Expected::At(shelf.version))),
            Err(error) => return Err(error),
        };
        let mut record = SavedServer {
            name: name.to_owned(),
            code: manuscript.spec.code.clone(),
            language: manuscript.spec.language.clone(),
            saved_at: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            server_id: key.to_string(),
            aliases: earlier.as_ref().map(|earlier| earlier.aliases.clone()).unwrap_or_default(),
            dependencies: manuscript.spec.dependencies.clone(),
            lock: manuscript.spec.lock.clone(),
            files: manuscript.spec.files.clone(),
            permissions: manuscript.spec.permissions.clone(),
            limits: manuscript.spec.limits.clone(),
            description: earlier.as_ref().and_then(|earlier| earlier.description.clone()),
            tools: manuscript.tools.to_vec(),
            extra: earlier.map(|earlier| earlier.extra).unwrap_or_default(),
            ..SavedServer::default()
        };
        if key != manuscript.id && !record.aliases.contains(manuscript.id) {
            record.aliases.push(manuscript.id.clone());
        }
        let version = self.storage.put(cx, &record, expected, &PutId::random()).await?;
        Ok(Shelf { id: key.clone(), version, name: name.to_owned(), settled: true })
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

fn is_damaged(error: &Error) -> bool {
    error.code == ErrorCode::Other("damaged".into())
}

fn unknown(reference: &str) -> Error {
    let shown: String = reference.chars().take(80).collect();
    Error::not_found(format!("no saved server `{shown}`")).hint("`list-saved-servers` shows what there is")
}
