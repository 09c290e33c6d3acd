//! A [`Storage`](crate::Storage) on any [`Objects`]: numbered, immutable version objects.
//!
//! `s/<id>/<seq:010>.json` is created exclusively, which is the compare-and-swap, and never changed; the highest number
//! is the current version, a delete is one more version without a record. Order is by number, never by clock.
//!
//! A version is `{sha256, putId, record}`, with `blobs` where large texts of the record are apart in `blob/<sha256>`, which
//! versions may share. `gc/` names what collectors are about to remove.

mod blobs;
mod check;
mod collect;
mod deleted;
mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod index;
mod key;
mod read;
mod write;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::value::RawValue;

use self::index::Index;
use crate::{Cx, Error, ErrorCode, Objects, Result, ServerId, Version};

/// A library of saved servers on any medium, with the methods of [`Storage`](crate::Storage): a storage plugin holds
/// one and hands each call on, which [`ObjectStorage`](crate::ObjectStorage) does for it.
///
/// What it promises, whatever fails and whoever else writes: an acknowledged version is there, whole, once. Nothing is
/// read when it is made; the first listing fills an index in memory, and every listing after it reads only what is new.
pub struct ObjectLibrary<O: Objects> {
    objects: O,
    index: Mutex<Index>,
    refreshing: tokio::sync::Mutex<()>,
    index_key: Option<String>,
    threshold: usize,
    refresh_interval: Duration,
    place: String,
}

/// The newest version of a server, as [`ObjectLibrary::newest`] lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Newest {
    /// The id under which the server was first saved.
    pub id: ServerId,
    /// Its highest number.
    pub version: Version,
    /// Whether that is a tombstone.
    pub deleted: bool,
    /// Why it cannot be used, when it cannot.
    pub damage: Option<String>,
    /// When it was written, by the medium's own clock, where it says.
    pub modified: Option<SystemTime>,
}

/// One version as it is stored, for those that must carry a record which they cannot read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Which version this is.
    pub version: Version,
    /// The record's text, byte for byte; none in a tombstone.
    pub record: Option<Box<RawValue>>,
}

impl<O: Objects> ObjectLibrary<O> {
    /// A library on `objects`; nothing is read yet.
    pub fn new(objects: O) -> Self {
        let (index, refreshing) = (Mutex::default(), tokio::sync::Mutex::default());
        let (threshold, refresh_interval, place) = (usize::MAX, Duration::ZERO, "somewhere".into());
        Self { objects, index, refreshing, index_key: None, threshold, refresh_interval, place }
    }

    /// Says where it is, for people: a path or a URL without credentials.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = place.into();
        self
    }

    /// Keeps the index in the cache object `key`, so that the first listing of a new process need not read every
    /// server's newest version. It may be lost or stale: the medium's listing decides.
    #[must_use]
    pub fn with_index(mut self, key: impl Into<String>) -> Self {
        self.index_key = Some(key.into());
        self
    }

    /// Keeps code, locks and files of more than `threshold` bytes in objects of their own, which versions share. They are
    /// read however this is set.
    #[must_use]
    pub fn with_blobs(mut self, threshold: usize) -> Self {
        self.threshold = threshold;
        self
    }

    /// Answers listings from memory until the medium was last listed so long ago. What is saved and deleted here shows at
    /// once, what others save after that time, unless a [fresh](crate::Page::fresh) listing is asked for.
    #[must_use]
    pub fn with_refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Where it is, as [`ObjectLibrary::at`] was told.
    pub fn location(&self) -> &str {
        &self.place
    }

    /// The medium.
    pub fn objects(&self) -> &O {
        &self.objects
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(cx: &Cx) -> Result<()> {
    if cx.is_cancelled() {
        return Err(Error::new(ErrorCode::Cancelled, "the call was cancelled"));
    }
    if cx.remaining().is_some_and(|left| left.is_zero()) {
        return Err(Error::new(ErrorCode::Timeout, "the time for the call ran out"));
    }
    Ok(())
}

fn unknown(id: &ServerId) -> Error {
    Error::not_found(format!("there is no saved server `{id}`")).hint("list the saved servers to see their ids")
}

fn damaged(id: &ServerId, version: Version, damage: &str) -> Error {
    let hint = "load an older version, or save the server again; nothing is overwritten by it";
    Error::new(ErrorCode::Other("damaged".into()), format!("version {version} of `{id}` is damaged: {damage}"))
        .hint(hint)
}
