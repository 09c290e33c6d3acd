//! The files of running servers: a folder for each start, gone with it, or swept when the host was killed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use perennial_sdk::{Error, Result};

/// Hands out folders for source code below one that belongs to this host.
///
/// As long as the host lives it holds a lock on a file in its folder; a folder whose lock can be had is nobody's.
#[derive(Debug)]
pub struct Sources {
    dir: PathBuf,
    own: Mutex<Option<(PathBuf, File)>>,
}

/// The files of one start of a server; an update is built beside the instance that still serves. Dropped, it is removed.
#[derive(Debug)]
pub struct SourceFolder(PathBuf);

const LOCK: &str = "lock";

impl Sources {
    /// Keeps all below `dir`. Nothing is written yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, own: Mutex::default() }
    }

    /// A new folder's path; whoever fills it creates it.
    ///
    /// # Errors
    /// When this host's own folder cannot be made.
    pub fn folder(&self) -> Result<SourceFolder> {
        let mut own = self.own.lock().expect("no holder panics");
        let (dir, _) = match own.take() {
            Some(claimed) => own.insert(claimed),
            None => own.insert(self.claim().map_err(|error| {
                Error::from(error).context(format!("the folder `{}` cannot be made", self.dir.display()))
            })?),
        };
        Ok(SourceFolder(dir.join(random_name())))
    }

    /// Removes what hosts left behind that are gone. It blocks.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for dir in entries.flatten().map(|entry| entry.path()) {
            // a host that is just making its folder has not locked it yet
            if dir.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let Ok(lock) = File::open(dir.join(LOCK)) else { continue };
            if lock.try_lock().is_ok() {
                let _ = fs::remove_dir_all(dir);
            }
        }
    }

    fn claim(&self) -> io::Result<(PathBuf, File)> {
        let dir = self.dir.join(random_name());
        // under another name first: a sweep of another host must not find a folder that is not locked yet
        let new = self.dir.join(format!(".{}", random_name()));
        fs::create_dir_all(&new)?;
        let lock = File::create(new.join(LOCK))?;
        lock.lock()?;
        fs::rename(&new, &dir)?;
        Ok((dir, lock))
    }
}

impl SourceFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Calls the files in it by their names alone: where they are says nothing to whoever wrote them.
    pub fn shorten(&self, text: &str) -> String {
        let folder = format!("{}/", self.0.display());
        text.replace(&format!("file://{folder}"), "").replace(&folder, "")
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        if let Ok(Some((dir, _lock))) = self.own.get_mut() {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

impl Drop for SourceFolder {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.0);
        let remove = move || drop(fs::remove_dir_all(folder));
        // a server may have filled it: removing must not hold up the thread that all calls share
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

fn random_name() -> String {
    let uuid = uuid::Uuid::new_v4().simple().to_string();
    uuid[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_the_folders_of_dead_hosts_only() {
        let dir = tempfile::tempdir().unwrap();
        let (alive, dead) = (Sources::new(dir.path().into()), Sources::new(dir.path().into()));
        let (kept, left) = (alive.folder().unwrap(), dead.folder().unwrap());
        fs::create_dir(kept.path()).unwrap();
        fs::create_dir(left.path()).unwrap();
        let (path, _) = dead.own.lock().unwrap().take().unwrap();
        std::mem::forget(left);
        Sources::new(dir.path().into()).sweep();
        assert!(kept.path().exists());
        assert!(!path.exists());
    }
}
