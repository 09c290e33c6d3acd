use std::{collections::BTreeMap, time::Instant};

use futures_util::{StreamExt, stream};

use super::{
    Newest, ObjectLibrary, Stored, damaged, envelope,
    index::{Head, HeadState, Kept},
    key, unknown, wanted,
};
use crate::{Cx, Error, ErrorCode, Listing, ObjectMeta, Objects, Page, Result, SavedServer, ServerId, Version};

/// How many objects are read at the same time.
pub(super) const READS: usize = 16;

/// The kept index is written again after a listing that had to read more objects than this: each of them costs the start of
/// every further host some 40 µs.
const WORTH_KEEPING: usize = 16;

/// The newest number of every server, as a listing found it.
type Listed = BTreeMap<ServerId, (Version, ObjectMeta)>;

impl<O: Objects> ObjectLibrary<O> {
    /// See [`Storage::list`](crate::Storage::list). The first page looks at the medium, but for
    /// [what may be remembered](Self::with_refresh_interval); the others look at what that saw.
    pub async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        wanted(cx)?;
        let first = page.cursor.is_none();
        let remembered = first && !page.fresh && self.index().is_younger_than(self.refresh_interval);
        if first && !remembered || !self.index().complete {
            self.refresh().await?;
        }
        Ok(Listing { remembered, ..self.index().page(page) })
    }

    /// See [`Storage::get`](crate::Storage::get).
    pub async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        wanted(cx)?;
        if let Some(version) = version.filter(|version| !version.is_unset() && *version <= key::LAST) {
            match self.get_exactly(id, version).await {
                Err(error) if error.code == ErrorCode::NotFound => {}
                got => return got,
            }
        }
        let (id, version) = self.locate(id, version).await?;
        self.get_exactly(&id, version).await
    }

    /// A version of exactly `id`, whole.
    pub(super) async fn get_exactly(&self, id: &ServerId, version: Version) -> Result<SavedServer> {
        let bytes = self.read(id, version).await?;
        let opened = envelope::open(&bytes)
            .and_then(|envelope| Ok(envelope.server(id, version)?.map(|server| (server, envelope.refs()))));
        let (mut server, refs) = match opened {
            Ok(Some((server, refs))) => (server, refs.map_err(|damage| damaged(id, version, &damage))?),
            Ok(None) => {
                let before = self.numbers(id).await?.range(..version).next_back().map(|(before, _)| *before);
                return Err(tombstone(id, before));
            }
            Err(damage) => return Err(damaged(id, version, &damage)),
        };
        self.attach(&mut server, &refs).await?.map_err(|damage| damaged(id, version, &damage))?;
        Ok(server)
    }

    /// See [`Storage::versions`](crate::Storage::versions).
    pub async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        wanted(cx)?;
        let numbers = self.numbers(id).await?;
        if !numbers.is_empty() {
            return Ok(numbers.into_keys().collect());
        }
        let owner = self.owner(id).await?.ok_or_else(|| unknown(id))?;
        Ok(self.numbers(&owner).await?.into_keys().collect())
    }

    /// The newest version of every server, the deleted ones among them, ordered by id.
    pub async fn newest(&self, cx: &Cx) -> Result<Vec<Newest>> {
        wanted(cx)?;
        self.refresh().await?;
        let newest = |(id, head): (&ServerId, &Head)| Newest {
            id: id.clone(),
            version: head.version,
            deleted: matches!(head.state, HeadState::Deleted),
            damage: match &head.state {
                HeadState::Damaged(damage) => Some(damage.to_string()),
                _ => None,
            },
            modified: head.modified(),
        };
        Ok(self.index().heads().map(newest).collect())
    }

    /// One version of exactly `id` (no alias) with its record as text, which need not be one that can be read as a
    /// [`SavedServer`], and without what is kept [apart](Self::with_blobs). The newest one when none is named, be it a
    /// tombstone.
    pub async fn stored(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<Stored> {
        wanted(cx)?;
        let version = match version {
            Some(version) => version,
            None => *self.numbers(id).await?.last_key_value().ok_or_else(|| unknown(id))?.0,
        };
        let bytes = self.read(id, version).await?;
        let envelope = envelope::open(&bytes).map_err(|damage| damaged(id, version, &damage))?;
        Ok(Stored { version, record: envelope.record().map(ToOwned::to_owned) })
    }

    /// Every version of exactly `id`, oldest first, as the medium lists them.
    pub(super) async fn numbers(&self, id: &ServerId) -> Result<BTreeMap<Version, ObjectMeta>> {
        let mut numbers = BTreeMap::new();
        self.walk(&key::folder(id), |_, version, meta| {
            numbers.insert(version, meta);
        })
        .await?;
        Ok(numbers)
    }

    /// The live server that has `alias` among its aliases.
    pub(super) async fn owner(&self, alias: &ServerId) -> Result<Option<ServerId>> {
        self.refresh().await?;
        Ok(self.index().owner(alias).cloned())
    }

    /// What the newest version is; `damaged` and deleted ones are answers, not errors.
    pub(super) async fn state(&self, id: &ServerId, version: Version) -> Result<HeadState> {
        // What could not be read a moment ago may be well now.
        let known = self.index().head(id, version).map(|head| head.state.clone());
        if let Some(state) = known.filter(|state| !matches!(state, HeadState::Damaged(_))) {
            return Ok(state);
        }
        let bytes = self.read(id, version).await?;
        let state = self.examine(id, version, &bytes);
        self.index().note(id, version, state.clone());
        Ok(state)
    }

    async fn locate(&self, id: &ServerId, version: Option<Version>) -> Result<(ServerId, Version)> {
        let numbers = self.numbers(id).await?;
        let newest = numbers.last_key_value().map(|(version, _)| *version);
        match (version, newest) {
            (Some(version), Some(_)) if numbers.contains_key(&version) => return Ok((id.clone(), version)),
            (Some(version), Some(newest)) => {
                let message = format!("`{id}` has no version {version}");
                return Err(Error::not_found(message).hint(format!("its newest version is {newest}")));
            }
            (None, Some(newest)) if !matches!(self.state(id, newest).await?, HeadState::Deleted) => {
                return Ok((id.clone(), newest));
            }
            _ => {}
        }
        let Some(owner) = self.owner(id).await? else {
            let before = numbers.keys().rev().nth(1).copied();
            return Err(newest.map_or_else(|| unknown(id), |_| tombstone(id, before)));
        };
        let numbers = self.numbers(&owner).await?;
        let newest = *numbers.last_key_value().ok_or_else(|| unknown(id))?.0;
        match version {
            Some(version) if !numbers.contains_key(&version) => {
                let message = format!("`{owner}` has no version {version}");
                Err(Error::not_found(message).hint(format!("its newest version is {newest}")))
            }
            version => Ok((owner, version.unwrap_or(newest))),
        }
    }

    pub(super) async fn read(&self, id: &ServerId, version: Version) -> Result<Vec<u8>> {
        self.objects.read(&key::object(id, version)).await.map_err(|error| {
            let error = error.context(format!("version {version} of `{id}` cannot be read"));
            if error.code == ErrorCode::NotFound { error.hint("it may just have been collected") } else { error }
        })
    }

    /// Looks at the medium, and reads the newest version of every server that has a new one.
    pub(super) async fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.refreshing.lock().await;
        if !self.index().complete {
            self.recall().await;
        }
        let (clock, began) = (self.index().clock(), Instant::now());
        let mut listed = Listed::new();
        self.walk(key::ROOT, |id, version, meta| {
            listed.insert(id, (version, meta));
        })
        .await?;
        let unread: Vec<(ServerId, Version)> = {
            let index = self.index();
            let unread = listed.iter().filter(|(id, (version, meta))| !index.knows(id, *version, meta));
            unread.map(|(id, (version, _))| (id.clone(), *version)).collect()
        };
        let count = unread.len();
        let mut reads = stream::iter(unread)
            .map(|(id, version)| async move {
                let read = self.read(&id, version).await;
                (id, version, read)
            })
            .buffer_unordered(READS);
        while let Some((id, version, read)) = reads.next().await {
            let state = match read {
                Ok(bytes) => self.examine(&id, version, &bytes),
                Err(error) if error.code == ErrorCode::NotFound => continue,
                // A store that is away says nothing about its objects, and would be believed until they change.
                Err(error) if error.retryable => return Err(error),
                // One object that the medium cannot give must not hide the others.
                Err(error) => HeadState::Damaged(error.to_string().into()),
            };
            if let Some((_, meta)) = listed.get(&id) {
                self.index().note_listed(&id, version, state, meta, clock);
            }
        }
        self.index().retain(&listed, clock, began);
        if count > WORTH_KEEPING {
            self.keep().await;
        }
        Ok(())
    }

    pub(super) fn examine(&self, id: &ServerId, version: Version, bytes: &[u8]) -> HeadState {
        let envelope = match envelope::open(bytes) {
            Ok(envelope) => envelope,
            Err(damage) => return HeadState::Damaged(damage.into()),
        };
        let state = match envelope.server(id, version) {
            Ok(Some(server)) => HeadState::Live(server.summary().into()),
            Ok(None) => return HeadState::Deleted,
            Err(damage) => HeadState::Damaged(damage.into()),
        };
        self.index().note_put(id, version, envelope.put_id.into_owned());
        state
    }

    pub(super) async fn walk(&self, prefix: &str, mut each: impl FnMut(ServerId, Version, ObjectMeta)) -> Result<()> {
        let each = |meta: ObjectMeta| {
            if let Some((id, version)) = key::parse(&meta.key) {
                each(id, version, meta);
            }
        };
        self.walk_all(prefix, each).await
    }

    /// Every object below a prefix, in the order of their keys.
    pub(super) async fn walk_all(&self, prefix: &str, mut each: impl FnMut(ObjectMeta)) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.objects.list(prefix, after.as_deref(), key::MANY).await?;
            after = page.last().map(|meta| meta.key.clone());
            let last = page.len() < key::MANY;
            page.into_iter().for_each(&mut each);
            if last {
                return Ok(());
            }
        }
    }

    async fn recall(&self) {
        let Some(key) = &self.index_key else { return };
        match self.objects.read(key).await.and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?)) {
            Ok(kept) => self.index().recall(kept),
            Err(error) => tracing::debug!(%error, "no kept index"),
        }
    }

    pub(super) async fn keep(&self) {
        let Some(key) = &self.index_key else { return };
        let kept = serde_json::to_vec(&self.index().keep());
        let Ok(kept) = kept else { return };
        if let Err(error) = self.objects.cache(key, &kept).await {
            tracing::debug!(%error, "the index was not kept");
        }
    }
}

/// A deleted server, and its newest version before that.
fn tombstone(id: &ServerId, before: Option<Version>) -> Error {
    let error = Error::not_found(format!("saved server `{id}` was deleted"));
    match before {
        Some(before) => error.hint(format!("its version {before} can still be loaded")),
        None => error,
    }
}
