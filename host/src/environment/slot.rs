//! The place of one environment on disk: `guard` (the lock; its time is that of the last use), `ready` (which attempt
//! counts, written last), `about.json` (for people) and a folder for each attempt to build it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::SystemTime,
};

use perennial_sdk::{Cx, Result};
use serde::{Deserialize, Serialize};

use super::{disk, lockfile, marker::Marker, quota, steps::Phase, write_text};
use crate::blocking::blocking;

const INSTALLING: f64 = Phase::Installing.span().0;

/// Where an environment is, or will be.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    folder: PathBuf,
}

/// What an environment is for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct About {
    /// The runtime that planned it.
    pub(super) runtime: String,
    /// What was asked for, an entry each.
    pub(super) requirements: Vec<String>,
    /// What it takes of the disk.
    pub(super) bytes: u64,
}

/// Keeps an environment from being removed, by any host, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    root: PathBuf,
    _shared: File,
}

/// An attempt to build an environment. Dropped before it is finished, it is removed.
pub(super) struct Building {
    slot: Slot,
    root: PathBuf,
    exclusive: Option<File>,
    about: About,
    most_bytes: u64,
}

impl Guard {
    /// The environment's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Slot {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The environment, when it has been built.
    pub(super) async fn open(&self, cx: &Cx) -> Result<Option<Guard>> {
        if self.marked().await?.is_none() {
            return Ok(None);
        }
        self.adopt(lockfile::shared(cx, INSTALLING, &self.guard()).await?).await
    }

    /// Begins to build it; none when somebody else has built it meanwhile.
    ///
    /// Every attempt has a folder of its own: what an ended host had started may still be writing for a moment.
    pub(super) async fn build(&self, cx: &Cx) -> Result<Option<Building>> {
        let (guard, ready) = (self.guard(), self.ready());
        let Some(exclusive) = lockfile::exclusive_unless(cx, INSTALLING, &guard, &ready).await? else {
            return Ok(None);
        };
        if self.marked().await?.is_some() {
            return Ok(None);
        }
        let folder = self.folder.clone();
        let root = blocking(move || {
            for entry in std::fs::read_dir(&folder)?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    disk::remove(&entry.path());
                }
            }
            Ok(tempfile::Builder::new().prefix("e").rand_bytes(8).tempdir_in(folder)?.keep())
        })
        .await?;
        let about = About::default();
        Ok(Some(Building { slot: self.clone(), root, exclusive: Some(exclusive), about, most_bytes: u64::MAX }))
    }

    /// Takes over a shared lock on what is ready.
    async fn adopt(&self, shared: File) -> Result<Option<Guard>> {
        let Some(name) = self.marked().await? else { return Ok(None) };
        // a file of another account's can be locked, but not touched
        let _ = shared.set_modified(SystemTime::now());
        Ok(Some(Guard { root: self.folder.join(name), _shared: shared }))
    }

    /// The attempt that counts.
    async fn marked(&self) -> Result<Option<String>> {
        let (ready, guard) = (self.ready(), self.guard());
        blocking(move || Marker::read(&ready, &guard)).await
    }

    pub(super) fn guard(&self) -> PathBuf {
        self.folder.join("guard")
    }

    pub(super) fn ready(&self) -> PathBuf {
        self.folder.join("ready")
    }

    pub(super) fn about(&self) -> PathBuf {
        self.folder.join("about.json")
    }
}

impl Building {
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Says what it is for, and the most that it may take of the disk.
    #[must_use]
    pub(super) fn described(mut self, about: About, most_bytes: u64) -> Self {
        (self.about, self.most_bytes) = (about, most_bytes);
        self
    }

    /// Seals the environment and makes it count; none when it was removed at once, for lack of a lock in between.
    pub(super) async fn finish(mut self) -> Result<Option<Guard>> {
        let root = self.root.clone();
        self.about.bytes = blocking(move || Ok(disk::seal(&root)?)).await?;
        if self.about.bytes > self.most_bytes {
            return Err(quota::too_large(self.most_bytes));
        }
        write_text(&self.slot.about(), &serde_json::to_string(&self.about)?).await?;
        let name = self.root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (marker, ready, guard) = (Marker::new(name), self.slot.ready(), self.slot.guard());
        let first = (marker.clone(), ready.clone());
        blocking(move || first.0.write(&first.1)).await?;
        drop(self.exclusive.take());
        tokio::task::spawn_blocking(move || marker.settle(&ready, &guard));
        self.slot.adopt(lockfile::shared(&Cx::detached(), INSTALLING, &self.slot.guard()).await?).await
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(exclusive) = self.exclusive.take() {
            let root = std::mem::take(&mut self.root);
            let removal = move || {
                disk::remove(&root);
                drop(exclusive);
            };
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(removal)),
                Err(_) => removal(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_finished_counts() {
        let folder = tempfile::tempdir().unwrap();
        let slot = Slot::new(folder.path().join("slot"));
        let cx = Cx::detached();
        assert!(slot.open(&cx).await.unwrap().is_none());

        let abandoned = slot.build(&cx).await.unwrap().unwrap();
        let leftover = abandoned.root().to_path_buf();
        std::fs::write(leftover.join("half"), "").unwrap();
        drop(abandoned);
        assert!(slot.open(&cx).await.unwrap().is_none());

        let building = slot.build(&cx).await.unwrap().unwrap();
        assert!(!leftover.exists());
        std::fs::create_dir(building.root().join("lib")).unwrap();
        std::fs::write(building.root().join("lib/module.py"), "").unwrap();
        let guard = building.finish().await.unwrap().unwrap();
        assert!(guard.root().join("lib/module.py").metadata().unwrap().permissions().readonly());
        assert!(guard.root().metadata().unwrap().permissions().readonly());
        assert_eq!(slot.open(&cx).await.unwrap().unwrap().root(), guard.root());
        assert!(slot.build(&cx).await.unwrap().is_none(), "nobody waits for what is ready and in use");
        disk::remove(guard.root());
        assert!(!guard.root().exists());
    }
}
