//! Removes from the cache what is not in use. Whatever is removed can be made again.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{Contents, Entry, Kind, contents::touched, disk, lockfile, server};

/// What to remove, beside what interrupted installations left behind.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Above this size what was not used for longest is removed.
    pub most_bytes: u64,
    /// What was not used for so long is removed, and resolutions that old are forgotten.
    pub older_than: Option<Duration>,
    /// Only tells what would be removed.
    pub dry_run: bool,
}

/// What a [`Prune`] did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pruned {
    /// What is gone.
    pub removed: Vec<Entry>,
    /// Bytes of it.
    pub freed_bytes: u64,
    /// Bytes that are left.
    pub left_bytes: u64,
    /// Memos of resolutions that were forgotten: the same requirements may become newer versions next time.
    pub forgotten: usize,
}

/// Where things wait for their removal.
const TRASH: &str = "trash";

/// The lock of whoever removes: two of them would only be in each other's way.
const ALONE: &str = "prune.guard";

/// Nothing but leftovers.
impl Default for Prune {
    fn default() -> Self {
        Self { most_bytes: u64::MAX, older_than: None, dry_run: false }
    }
}

impl Contents {
    /// Removes what `wish` says, except what is in use.
    pub fn prune(&self, wish: &Prune) -> Pruned {
        let _alone = fs::File::create(self.dir.join(ALONE)).and_then(|file| file.lock().map(|()| file));
        self.pruned(wish)
    }

    /// [`Contents::prune`], unless somebody is doing so just now.
    pub fn trim(&self, most_bytes: u64) {
        if let Some(_alone) = lockfile::free(&self.dir.join(ALONE), true) {
            let pruned = self.pruned(&Prune { most_bytes, ..Prune::default() });
            if !pruned.removed.is_empty() {
                tracing::info!(removed = pruned.removed.len(), bytes = pruned.freed_bytes, "the cache was trimmed");
            }
        }
    }

    /// Removes what interrupted installations left behind, with hardly a look at the rest.
    pub fn sweep(&self) {
        if let Some(_alone) = lockfile::free(&self.dir.join(ALONE), true) {
            for entry in self.slots().filter(|entry| entry.kind == Kind::Leftover) {
                self.discard(&entry);
            }
        }
    }

    fn pruned(&self, wish: &Prune) -> Pruned {
        let entries = self.list();
        let chosen = chosen(&entries, wish);
        let mut pruned = Pruned { left_bytes: entries.iter().map(|entry| entry.bytes).sum(), ..Pruned::default() };
        for entry in chosen {
            if wish.dry_run || self.discard(entry) {
                pruned.freed_bytes += entry.bytes;
                pruned.left_bytes -= entry.bytes;
                pruned.removed.push(entry.clone());
            }
        }
        pruned.forgotten = wish.older_than.map_or(0, |age| self.forget(age, wish.dry_run));
        if !wish.dry_run {
            self.folders(TRASH).for_each(|folder| disk::remove(&folder));
            server::sweep(&self.dir.join("work"));
        }
        pruned
    }

    /// Takes an entry out of its place at once and then removes it: nobody ever sees half of it.
    fn discard(&self, entry: &Entry) -> bool {
        let Some(exclusive) = unused(entry) else { return false };
        let trash = self.dir.join(TRASH);
        let away = trash.join(uuid::Uuid::new_v4().simple().to_string());
        let moved = fs::create_dir_all(&trash).and_then(|()| fs::rename(&entry.path, &away));
        // who waits for its place need not wait for its removal
        drop(exclusive);
        match moved {
            Ok(()) => disk::remove(&away),
            Err(ref error) => tracing::warn!(path = %entry.path.display(), %error, "not removed from the cache"),
        }
        moved.is_ok()
    }

    fn forget(&self, age: Duration, dry_run: bool) -> usize {
        let memos = fs::read_dir(self.dir.join("locks")).into_iter().flatten().flatten().map(|entry| entry.path());
        let old = memos.filter(|path| path.extension().is_some_and(|end| end == "lock") && older(path, age));
        old.filter(|path| dry_run || fs::remove_file(path).is_ok()).count()
    }
}

/// The lock of an entry that nobody has begun to use since it was listed.
fn unused(entry: &Entry) -> Option<fs::File> {
    let used_since = touched(&entry.guard).is_some_and(|now| now > entry.used_at);
    lockfile::free(&entry.guard, true).filter(|_| !used_since)
}

/// What is to be removed, the least regrettable first.
fn chosen<'a>(entries: &'a [Entry], wish: &Prune) -> Vec<&'a Entry> {
    let now = SystemTime::now();
    let old =
        |entry: &Entry| wish.older_than.is_some_and(|age| now.duration_since(entry.used_at).unwrap_or_default() >= age);
    let free = || entries.iter().rev().filter(|entry| !entry.in_use);
    let mut chosen: Vec<&Entry> = free().filter(|entry| entry.kind == Kind::Leftover || old(entry)).collect();
    let mut left: u64 = entries.iter().map(|entry| entry.bytes).sum();
    left -= chosen.iter().map(|entry| entry.bytes).sum::<u64>();
    let downloads = |entry: &&Entry| entry.kind == Kind::Downloads;
    let downloaded: u64 = entries.iter().filter(downloads).map(|entry| entry.bytes).sum();
    // downloads make an installation faster, environments spare it: they go first when they are most of it
    let (first, last): (Vec<_>, Vec<_>) =
        free().partition(|entry| downloads(entry) == (downloaded > wish.most_bytes / 2));
    for entry in first.into_iter().chain(last) {
        if left > wish.most_bytes && !chosen.iter().any(|already| already.path == entry.path) {
            left -= entry.bytes;
            chosen.push(entry);
        }
    }
    chosen
}

fn older(path: &Path, age: Duration) -> bool {
    touched(path).is_some_and(|then| SystemTime::now().duration_since(then).unwrap_or_default() >= age)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn entry(id: &str, kind: Kind, bytes: u64, days: u64, in_use: bool) -> Entry {
        Entry {
            id: id.into(),
            kind,
            runtime: "python".into(),
            requirements: Vec::new(),
            bytes,
            used_at: SystemTime::now() - Duration::from_secs(days * 86_400),
            in_use,
            path: PathBuf::from(id),
            guard: PathBuf::from(id),
        }
    }

    fn ids(entries: &[Entry], wish: &Prune) -> Vec<String> {
        chosen(entries, wish).iter().map(|entry| entry.id.clone()).collect()
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_nothing_in_use() {
        let entries = [
            entry("new", Kind::Environment, 10, 1, false),
            entry("downloads", Kind::Downloads, 10, 1, false),
            entry("half", Kind::Leftover, 1, 2, false),
            entry("middle", Kind::Environment, 10, 5, false),
            entry("held", Kind::Environment, 10, 30, true),
            entry("old", Kind::Build, 10, 40, false),
        ];
        let up_to = |most_bytes| Prune { most_bytes, ..Prune::default() };
        assert_eq!(ids(&entries, &up_to(100)), ["half"]);
        assert_eq!(ids(&entries, &up_to(45)), ["half", "old"]);
        assert_eq!(ids(&entries, &up_to(20)), ["half", "old", "middle", "new"]);
        assert_eq!(ids(&entries, &up_to(15)), ["half", "downloads", "old", "middle", "new"]);
        let aged = Prune { older_than: Some(Duration::from_secs(4 * 86_400)), ..Prune::default() };
        assert_eq!(ids(&entries, &aged), ["old", "middle", "half"]);
        let all = Prune { older_than: Some(Duration::ZERO), ..Prune::default() };
        assert_eq!(ids(&entries, &all).len(), 5);
    }
}
