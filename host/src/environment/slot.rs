//! The place of one environment on disk: `guard` (the lock), `ready` (which attempt counts, written last) and a folder
//! for each attempt to build it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use perennial_sdk::{Cx, Result};

use super::{INSTALLING, lockfile, read_text, write_text};
use crate::blocking::blocking;

/// Where an environment is, or will be.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    folder: PathBuf,
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
        if read_text(&self.ready()).await?.is_none() {
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
        if read_text(&ready).await?.is_some() {
            return Ok(None);
        }
        let folder = self.folder.clone();
        let root = blocking(move || {
            for entry in std::fs::read_dir(&folder)?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path());
                }
            }
            Ok(tempfile::Builder::new().prefix("e").rand_bytes(8).tempdir_in(folder)?.keep())
        })
        .await?;
        Ok(Some(Building { slot: self.clone(), root, exclusive: Some(exclusive) }))
    }

    /// Takes over a shared lock on what is ready.
    async fn adopt(&self, shared: File) -> Result<Option<Guard>> {
        let Some(name) = read_text(&self.ready()).await? else { return Ok(None) };
        let root = self.folder.join(name.trim());
        Ok(Some(Guard { root, _shared: shared }))
    }

    fn guard(&self) -> PathBuf {
        self.folder.join("guard")
    }

    fn ready(&self) -> PathBuf {
        self.folder.join("ready")
    }
}

impl Building {
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Seals the environment and makes it count; none when it was removed at once, for lack of a lock in between.
    pub(super) async fn finish(mut self) -> Result<Option<Guard>> {
        let root = self.root.clone();
        blocking(move || Ok(seal(&root)?)).await?;
        let name = self.root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        write_text(&self.slot.ready(), name).await?;
        drop(self.exclusive.take());
        self.slot.adopt(lockfile::shared(&Cx::detached(), INSTALLING, &self.slot.guard()).await?).await
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(exclusive) = self.exclusive.take() {
            let root = std::mem::take(&mut self.root);
            let removal = move || {
                remove(&root);
                drop(exclusive);
            };
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(removal)),
                Err(_) => removal(),
            }
        }
    }
}

/// Takes the right to write from everybody, so that no server changes what others run.
fn seal(folder: &Path) -> std::io::Result<()> {
    each(folder, &mut |path| {
        let mut permissions = path.metadata()?.permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(path, permissions)
    })
}

/// Removes a folder as far as possible; what stays counts for nothing.
fn remove(folder: &Path) {
    let writable = each(folder, &mut |path| {
        #[cfg(unix)]
        if path.is_dir() {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        #[cfg(not(unix))]
        {
            let mut permissions = path.metadata()?.permissions();
            #[expect(clippy::permissions_set_readonly_false, reason = "a read-only file cannot be removed there")]
            permissions.set_readonly(false);
            std::fs::set_permissions(path, permissions)?;
        }
        Ok(())
    });
    if let Err(error) = writable.and_then(|()| std::fs::remove_dir_all(folder)) {
        tracing::warn!(folder = %folder.display(), %error, "an unfinished environment was not removed");
    }
}

/// Every file and folder below, the folder itself last; links are left alone, since they lead elsewhere.
fn each(folder: &Path, act: &mut impl FnMut(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each(&entry.path(), act)?;
        } else if kind.is_file() {
            act(&entry.path())?;
        }
    }
    act(folder)
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
        remove(guard.root());
        assert!(!guard.root().exists());
    }
}
