use std::{
    fs::{self, ReadDir},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use rustix::param::page_size;

use super::places;
use crate::supervisor::tree::{self, Roots};

/// Entries of folders that are looked at before a walk lets others go on.
const STRIDE: usize = 2000;

/// What a tree uses at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) pids: Vec<i32>,
    /// Processes and threads.
    pub(super) threads: u64,
    /// Bytes, those that several share counted for each.
    pub(super) resident: u64,
    /// Clock ticks on the processor so far.
    pub(super) ticks: u64,
}

impl Usage {
    /// Of everything at `roots`, or of a part of it that has more than `enough` processes.
    pub(super) fn of(roots: Roots, enough: Option<u64>) -> Self {
        let enough = enough.and_then(|enough| usize::try_from(enough).ok()).unwrap_or(usize::MAX);
        let pids = roots.some_descendants(enough);
        let mut usage = Self::default();
        for stat in pids.iter().filter_map(|pid| tree::stat(*pid)) {
            usage.threads += stat.threads.max(1);
            usage.resident += stat.pages * page_size() as u64;
            usage.ticks += stat.ticks;
        }
        Self { pids, ..usage }
    }

    /// Bytes, shared ones by halves, thirds and so on; costs milliseconds for large processes. What cannot be read is
    /// counted as if it shared nothing.
    pub(super) fn proportional(&self) -> u64 {
        self.pids.iter().map(|pid| share(*pid).unwrap_or_else(|| resident(*pid))).sum()
    }

    /// Bytes in folders that lie in memory and belong to the processes at `roots`, when those run inside namespaces.
    pub(super) fn scratch(roots: Roots) -> u64 {
        let Roots::Inside { main, .. } = roots else { return 0 };
        let used = |folder: &str| {
            let seen = rustix::fs::statvfs(format!("/proc/{main}/root{folder}")).ok()?;
            Some(seen.f_blocks.checked_sub(seen.f_bfree)? * seen.f_frsize)
        };
        places::SCRATCH.into_iter().filter_map(used).sum()
    }
}

fn share(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn resident(pid: i32) -> u64 {
    tree::stat(pid).map_or(0, |stat| stat.pages * page_size() as u64)
}

/// Adds up what files occupy, a stretch at a time; links are not followed, and a file with several names counts for each.
#[derive(Debug, Default)]
pub(super) struct Disk {
    next: Vec<PathBuf>,
    open: Option<ReadDir>,
    bytes: u64,
}

impl Disk {
    pub(super) fn of(folders: &[PathBuf]) -> Self {
        Self { next: folders.to_vec(), ..Self::default() }
    }

    /// Goes on for a stretch; the sum when all was seen.
    pub(super) fn walk(&mut self) -> Option<u64> {
        for _ in 0..STRIDE {
            let Some(entry) = self.open.as_mut().and_then(Iterator::next) else {
                let Some(folder) = self.next.pop() else { return Some(self.bytes) };
                self.open = fs::read_dir(folder).ok();
                continue;
            };
            let Some((entry, metadata)) = entry.ok().and_then(|entry| Some((entry.path(), entry.metadata().ok()?)))
            else {
                continue;
            };
            self.bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                self.next.push(entry);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_added_up_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("big"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/usr", inner.join("link")).unwrap();
        let mut disk = Disk::of(&[folder.path().to_owned(), "/nonexistent".into()]);
        let bytes = std::iter::repeat_with(|| disk.walk()).flatten().next().unwrap();
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_long_walk_pauses() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..STRIDE + 1 {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let mut disk = Disk::of(&[folder.path().to_owned()]);
        assert_eq!(disk.walk(), None);
        assert!(disk.walk().is_some());
    }
}
