use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Listing, ObjectMeta, Page, ServerId, Summary, Version};

/// What is known of every server's newest version, in memory.
#[derive(Default)]
pub(super) struct Index {
    heads: BTreeMap<ServerId, Head>,
    /// Of live servers. Of deleted ones, which only ever become more, a put that is tried again reads them.
    put_ids: HashMap<ServerId, HashMap<Version, String>>,
    /// Counts what was noted, so that a listing that started before a save cannot hide it.
    clock: u64,
    pub(super) complete: bool,
    /// When the last listing of the whole medium began.
    listed: Option<Instant>,
}

/// A server's newest version.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) state: HeadState,
    /// As the listing showed the object; none until it did.
    stamp: Option<Stamp>,
    noted: u64,
}

/// What the newest version is.
#[derive(Debug, Clone)]
pub(super) enum HeadState {
    Live(Arc<Summary>),
    Deleted,
    Damaged(Arc<str>),
}

/// Tells whether an object is still the one that was read: objects never change, but people can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

/// The index as it is kept between two lives of a host.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept(Vec<(ServerId, Version, Stamp, Option<Arc<Summary>>)>);

impl Index {
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    /// Whether the medium was listed so recently.
    pub(super) fn is_younger_than(&self, interval: Duration) -> bool {
        self.listed.is_some_and(|listed| listed.elapsed() < interval)
    }

    /// Whether the object behind `meta` was already read.
    pub(super) fn knows(&self, id: &ServerId, version: Version, meta: &ObjectMeta) -> bool {
        self.heads.get(id).is_some_and(|head| {
            head.version == version && head.stamp == Some(meta.into()) && !matches!(head.state, HeadState::Damaged(_))
        })
    }

    pub(super) fn head(&self, id: &ServerId, version: Version) -> Option<&Head> {
        self.heads.get(id).filter(|head| head.version == version)
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = (&ServerId, &Head)> {
        self.heads.iter()
    }

    /// Notes what was just written, or read by its number.
    pub(super) fn note(&mut self, id: &ServerId, version: Version, state: HeadState) {
        self.clock += 1;
        if matches!(state, HeadState::Deleted) {
            self.put_ids.remove(id);
        }
        if self.heads.get(id).is_none_or(|old| old.version < version) {
            self.heads.insert(id.clone(), Head { version, state, stamp: None, noted: self.clock });
        }
    }

    /// Notes what a listing that began at `clock` found to be the newest version.
    pub(super) fn note_listed(
        &mut self,
        id: &ServerId,
        version: Version,
        state: HeadState,
        meta: &ObjectMeta,
        clock: u64,
    ) {
        if self.heads.get(id).is_none_or(|old| old.version <= version || old.noted <= clock) {
            let head = Head { version, state, stamp: Some(meta.into()), noted: clock };
            self.heads.insert(id.clone(), head);
        }
    }

    /// Forgets what is not in `listed`, except what was noted since the listing began at `clock`.
    pub(super) fn retain(&mut self, listed: &BTreeMap<ServerId, (Version, ObjectMeta)>, clock: u64, began: Instant) {
        self.heads.retain(|id, head| head.noted > clock || listed.contains_key(id));
        (self.complete, self.listed) = (true, Some(began));
    }

    pub(super) fn note_put(&mut self, id: &ServerId, version: Version, put_id: String) {
        self.put_ids.entry(id.clone()).or_default().insert(version, put_id);
    }

    pub(super) fn put_id(&self, id: &ServerId, version: Version) -> Option<&str> {
        self.put_ids.get(id)?.get(&version).map(String::as_str)
    }

    pub(super) fn made_by(&self, id: &ServerId, put_id: &str) -> Option<Version> {
        self.put_ids.get(id)?.iter().find(|(_, known)| *known == put_id).map(|(version, _)| *version)
    }

    /// The live server that answers to `alias`; the first by id, should there be several.
    pub(super) fn owner(&self, alias: &ServerId) -> Option<&ServerId> {
        self.heads.iter().find_map(|(id, head)| match &head.state {
            HeadState::Live(summary) if summary.aliases.contains(alias) => Some(id),
            _ => None,
        })
    }

    pub(super) fn page(&self, page: &Page) -> Listing {
        let after = page.cursor.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.heads.range::<str, _>((after, Bound::Unbounded)).filter_map(|(id, head)| head.summary(id));
        let items: Vec<_> = rest.by_ref().take(page.limit.max(1)).collect();
        let next = rest.next().and(items.last()).map(|last| last.server_id.clone());
        Listing { items, next, remembered: false }
    }

    pub(super) fn keep(&self) -> Kept {
        let kept = self.heads.iter().filter_map(|(id, head)| {
            let summary = match &head.state {
                HeadState::Live(summary) => Some(summary.clone()),
                HeadState::Deleted => None,
                HeadState::Damaged(_) => return None,
            };
            Some((id.clone(), head.version, head.stamp?, summary))
        });
        Kept(kept.collect())
    }

    /// Takes what an earlier life knew; the listing decides what of it still holds.
    pub(super) fn recall(&mut self, Kept(kept): Kept) {
        for (id, version, stamp, summary) in kept {
            let state = summary.map_or(HeadState::Deleted, HeadState::Live);
            self.heads.entry(id).or_insert(Head { version, state, stamp: Some(stamp), noted: 0 });
        }
    }
}

impl Kept {
    /// What it says that is not so, and would be believed: an object that is no longer the same is read again anyway.
    pub(super) fn contradiction(&self, heads: &BTreeMap<ServerId, (Version, ObjectMeta, HeadState)>) -> Option<String> {
        self.0.iter().find_map(|(id, version, stamp, summary)| {
            let (newest, meta, state) = heads.get(id)?;
            let believed = newest == version && *stamp == meta.into();
            let right = match (state, summary) {
                (HeadState::Live(is), Some(says)) => is == says,
                (HeadState::Deleted, None) => true,
                _ => false,
            };
            (believed && !right).then(|| format!("it says something else of `{id}` than version {version} does"))
        })
    }
}

impl Head {
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.stamp?.modified
    }

    fn summary(&self, id: &ServerId) -> Option<Summary> {
        match &self.state {
            HeadState::Live(summary) => Some(Summary::clone(summary)),
            HeadState::Deleted => None,
            HeadState::Damaged(damage) => Some(Summary {
                server_id: id.to_string(),
                version: self.version,
                damage: Some(damage.to_string()),
                ..Summary::default()
            }),
        }
    }
}

impl From<&ObjectMeta> for Stamp {
    fn from(meta: &ObjectMeta) -> Self {
        Self { size: meta.size, modified: meta.modified }
    }
}
