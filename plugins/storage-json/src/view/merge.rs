use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use perennial_sdk::{Cx, Error, ErrorCode, Expected, Newest, ObjectLibrary, PutId, Result, ServerId, Version};
use serde_json::value::RawValue;

use super::{
    file::digest,
    known::{Known, KnownEntry, What},
    record::Record,
    scan::{Entry, Scan},
};
use crate::Folder;

/// A record that goes back to an older version within this time of the newer one comes from a program that had read
/// the file before it; later than that, somebody wants the older one back.
const OVERLAP: Duration = Duration::from_secs(10);

/// How many records are compared and written at the same time.
const AT_ONCE: usize = 16;

/// What the file was found to be.
pub(super) struct Merged {
    /// Its entries, each with the version that it now stands for.
    pub(super) entries: Vec<KnownEntry>,
    /// Whether some of them must be written again, be it only for their number.
    pub(super) stale: bool,
    /// Whether versions were added.
    pub(super) imported: bool,
}

/// What to make of one entry.
enum Verdict {
    Stands { version: Version, exact: bool, stale: bool },
    Carried,
}

/// An entry that the library must be asked about.
struct Waiting<'a> {
    place: usize,
    id: ServerId,
    entry: &'a Entry<'a>,
    /// There was one with the same key before it.
    twice: bool,
}

pub(super) struct Merge<'a> {
    pub(super) library: &'a ObjectLibrary<Folder>,
    pub(super) known: &'a Known,
    /// When the file was written.
    pub(super) changed: SystemTime,
    /// Whether a vanished record may mean that somebody deleted it.
    pub(super) deletes: bool,
}

impl Merge<'_> {
    /// Takes what others wrote into the file over into the library, record by record.
    pub(super) async fn run(&self, scan: &Scan<'_>) -> Result<Merged> {
        let cx = Cx::detached();
        let newest = self.library.newest(&cx).await?;
        let newest: HashMap<&str, &Newest> = newest.iter().map(|newest| (newest.id.as_str(), newest)).collect();
        let known = self.known.by_key();
        let mut merged = Merged { entries: Vec::with_capacity(scan.entries.len()), stale: false, imported: false };
        let (mut places, mut strangers) = (HashMap::new(), 0);
        let mut waiting = Vec::new();
        for entry in &scan.entries {
            let sha256 = digest(entry.value.as_bytes());
            let before = known.get(entry.key);
            strangers += usize::from(before.is_none());
            let name = name(entry.key);
            let id = name.parse::<ServerId>().ok();
            let place = *places.entry(name).or_insert(merged.entries.len());
            let twice = place < merged.entries.len();
            let what = match (before, id) {
                (Some(before), _) if before.sha256 == sha256 && !twice => before.what.clone(),
                (_, Some(id)) if entry.value.starts_with('{') => {
                    // The same key twice is two versions, the later one on top: they cannot be taken at once.
                    if twice {
                        self.judge_all(&newest, &known, &mut waiting, &mut merged).await?;
                    }
                    waiting.push(Waiting { place, id, entry, twice });
                    What::Version { version: Version::default(), exact: false }
                }
                _ => carried(entry.value)?,
            };
            let entry = KnownEntry { key: entry.key.into(), sha256, what };
            if twice {
                merged.entries[place] = entry
            } else {
                merged.entries.push(entry)
            }
            merged.stale |= twice;
        }
        self.judge_all(&newest, &known, &mut waiting, &mut merged).await?;
        let vanished: Vec<_> =
            self.known.entries.iter().filter(|known| !places.contains_key(&name(&known.key))).collect();
        let one = self.deletes && vanished.len() == 1 && strangers == 0 && !merged.imported;
        for gone in vanished {
            match &gone.what {
                What::Version { version, .. } if one => self.bury(&gone.key, *version).await?,
                What::Carried(_) if !one => {
                    merged.stale = true;
                    merged.entries.push(gone.clone());
                }
                _ => {}
            }
        }
        Ok(merged)
    }

    async fn judge_all(
        &self,
        newest: &HashMap<&str, &Newest>,
        known: &HashMap<&str, &KnownEntry>,
        waiting: &mut Vec<Waiting<'_>>,
        merged: &mut Merged,
    ) -> Result<()> {
        for chunk in waiting.chunks(AT_ONCE) {
            let verdicts = chunk.iter().map(|waiting| {
                let before = known.get(waiting.entry.key).and_then(|known| known.version());
                self.judge(waiting, newest.get(waiting.id.as_str()).copied(), before)
            });
            let verdicts = futures_util::future::try_join_all(verdicts).await?;
            for (waiting, (verdict, imported)) in chunk.iter().zip(verdicts) {
                merged.imported |= imported;
                merged.entries[waiting.place].what = match verdict {
                    Verdict::Stands { version, exact, stale } => {
                        merged.stale |= stale;
                        What::Version { version, exact }
                    }
                    Verdict::Carried => carried(waiting.entry.value)?,
                };
            }
        }
        waiting.clear();
        Ok(())
    }

    async fn judge(
        &self,
        waiting: &Waiting<'_>,
        newest: Option<&Newest>,
        before: Option<Version>,
    ) -> Result<(Verdict, bool)> {
        let id = &waiting.id;
        let Some(record) = Record::read(id, waiting.entry.value) else { return Ok((Verdict::Carried, false)) };
        if newest.is_none() && !waiting.twice {
            return self.import(id, &record, None).await;
        }
        let stands = |version, stale| Verdict::Stands { version, exact: false, stale };
        let versions = self.library.versions(&Cx::detached(), id).await?;
        let top = versions.last().copied().unwrap_or_default();
        let current = self.stored(id, top).await?;
        if let Some(current) = &current {
            if record.same(current) {
                let numbered = record.version().is_unset() || record.version() == top;
                return Ok((stands(top, !numbered), false));
            }
            if record.is_rest_of(current) {
                return Ok((stands(top, true), false));
            }
        }
        for version in versions.into_iter().rev().filter(|version| *version < top) {
            let told = record.version();
            if !(told.is_unset() || told == version) {
                continue;
            }
            let older = self.stored(id, version).await?;
            if !older.is_some_and(|older| record.same(&older) || record.is_rest_of(&older)) {
                continue;
            }
            let behind = self.known.stamp.is_none() || before.is_some_and(|before| before <= version);
            let overlaps = newest.and_then(|n| n.modified).is_none_or(|newest| self.changed < newest + OVERLAP);
            if behind || overlaps {
                return Ok((stands(version, true), false));
            }
            break;
        }
        self.import(id, &record, current.as_ref()).await
    }

    async fn import(&self, id: &ServerId, record: &Record, current: Option<&Record>) -> Result<(Verdict, bool)> {
        let (cx, put_id) = (Cx::detached(), PutId::random());
        let inherited =
            current.filter(|current| record.bare && !current.bare).and_then(|current| record.inherit(current));
        let stale = inherited.is_some() || !record.version().is_unset();
        let version = match inherited.as_ref().or(record.server.as_ref()) {
            Some(server) => self.library.put(&cx, server, Expected::Any, &put_id).await?,
            None => self.library.put_text(&cx, id, &record.text, Expected::Any, &put_id).await?,
        };
        tracing::info!(%id, %version, "took a record over from the file");
        Ok((Verdict::Stands { version, exact: false, stale }, true))
    }

    /// A version's record; none for a tombstone and for one that is damaged.
    async fn stored(&self, id: &ServerId, version: Version) -> Result<Option<Record>> {
        match self.library.stored(&Cx::detached(), id, Some(version)).await {
            Ok(stored) => Ok(stored.record.and_then(|record| Record::read(id, record.get()))),
            Err(Error { code: ErrorCode::Other(_) | ErrorCode::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn bury(&self, key: &str, version: Version) -> Result<()> {
        let Some(id) = serde_json::from_str::<ServerId>(key).ok() else { return Ok(()) };
        match self.library.delete(&Cx::detached(), &id, Expected::At(version)).await {
            Ok(tombstone) => {
                tracing::info!(%id, %tombstone, "a record was deleted from the file; its versions are kept");
                Ok(())
            }
            // It has changed or is gone since: the library knows better.
            Err(Error { code: ErrorCode::Conflict | ErrorCode::NotFound, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A key without quotes and escapes; one that is no text stays as it stands.
pub(super) fn name(key: &str) -> String {
    serde_json::from_str(key).unwrap_or_else(|_| key.into())
}

fn carried(value: &str) -> Result<What> {
    Ok(What::Carried(RawValue::from_string(value.into())?))
}
