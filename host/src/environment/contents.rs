//! What is in the cache: environments, builds and what package managers downloaded.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::{
    disk, lockfile,
    slot::{About, Slot},
};

/// The cache of all hosts of this account, to be looked at. Everything here waits for the disk.
#[derive(Debug, Clone)]
pub struct Contents {
    pub(super) dir: PathBuf,
}

/// One thing that can be removed from the cache, and made again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its name in its folder.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The runtime that it belongs to.
    pub runtime: String,
    /// What was asked for: requirements in canonical form.
    #[serde(rename = "for")]
    pub requirements: Vec<String>,
    /// What it takes of the disk.
    pub bytes: u64,
    /// When a server or an installation began to use it last.
    #[serde(serialize_with = "iso")]
    pub used_at: SystemTime,
    /// Whether a running server, or a build, holds it right now.
    pub in_use: bool,
    /// Where it is.
    pub path: PathBuf,
    #[serde(skip)]
    pub(crate) guard: PathBuf,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Installed dependencies.
    Environment,
    /// Built binaries.
    Build,
    /// What package managers downloaded: removing it costs the next installation time.
    Downloads,
    /// What an installation left behind that did not finish.
    Leftover,
}

/// Where the downloads of a runtime are, and the lock that its installations share.
pub(super) struct Packages {
    pub(super) folder: PathBuf,
    pub(super) guard: PathBuf,
}

/// The folders of slots.
const SLOTS: &[(&str, Kind)] = &[("environments", Kind::Environment), ("builds", Kind::Build)];

const PACKAGES: &str = "packages";

impl Contents {
    /// The cache below this folder, which need not be there.
    pub fn of(cache_dir: &Path) -> Self {
        Self { dir: cache_dir.to_path_buf() }
    }

    /// Everything that can be removed, what was used last first.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.slots().collect();
        entries.extend(self.folders(PACKAGES).filter_map(|path| downloads(&self.dir, path)));
        entries.sort_by(|a, b| b.used_at.cmp(&a.used_at).then_with(|| a.path.cmp(&b.path)));
        entries
    }

    /// Environments and builds, finished or not.
    pub(super) fn slots(&self) -> impl Iterator<Item = Entry> {
        SLOTS.iter().flat_map(|(name, kind)| self.folders(name).filter_map(|path| slot(path, *kind)))
    }

    /// The folders in one below the cache.
    pub(super) fn folders(&self, name: &str) -> impl Iterator<Item = PathBuf> + use<> {
        let entries = fs::read_dir(self.dir.join(name)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir())
    }
}

/// See [`Packages`].
pub(super) fn packages(cache_dir: &Path, runtime_id: &str) -> Packages {
    let folder = cache_dir.join(PACKAGES);
    Packages { guard: folder.join(format!("{runtime_id}.guard")), folder: folder.join(runtime_id) }
}

/// When a file was written or touched last.
pub(super) fn touched(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn slot(path: PathBuf, kind: Kind) -> Option<Entry> {
    let slot = Slot::new(path.clone());
    let about = fs::read(slot.about()).ok().and_then(|bytes| serde_json::from_slice::<About>(&bytes).ok());
    let ready = slot.ready().exists();
    let about = about.filter(|_| ready).unwrap_or_else(|| About { bytes: disk::measure(&path), ..About::default() });
    let guard = slot.guard();
    let in_use = is_held(&guard);
    Some(Entry {
        id: path.file_name()?.to_string_lossy().into_owned(),
        kind: if ready || in_use { kind } else { Kind::Leftover },
        runtime: about.runtime,
        requirements: about.requirements,
        bytes: about.bytes,
        used_at: touched(&guard).or_else(|| touched(&path))?,
        in_use,
        path,
        guard,
    })
}

fn downloads(cache_dir: &Path, path: PathBuf) -> Option<Entry> {
    let id = path.file_name()?.to_string_lossy().into_owned();
    let guard = packages(cache_dir, &id).guard;
    Some(Entry {
        kind: Kind::Downloads,
        runtime: id.clone(),
        id,
        requirements: Vec::new(),
        bytes: disk::measure(&path),
        used_at: touched(&guard).or_else(|| touched(&path))?,
        in_use: is_held(&guard),
        path,
        guard,
    })
}

fn is_held(guard: &Path) -> bool {
    guard.exists() && lockfile::free(guard, false).is_none()
}

fn iso<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&DateTime::<Utc>::from(*time).to_rfc3339_opts(SecondsFormat::Secs, true))
}
