use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use perennial_sdk::{Created, Error, ErrorCode, Result};

use crate::durable;

/// An unfinished file that is older than this belongs to a process that is gone.
pub(super) const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Unfinished files; hidden, so that no listing shows it.
const UNFINISHED: &str = ".unfinished";

/// Files below one folder, written so that they are there whole or not at all.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) root: PathBuf,
    /// Folders whose own entry in their parent this process knows to be durable.
    anchored: Mutex<HashSet<PathBuf>>,
}

/// An error of the file system, with the path and what to do about it.
pub(crate) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let kind = error.kind();
    let error = Error::from(error).context(format!("cannot {doing} `{}`", path.display()));
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error { code: ErrorCode::Unavailable, ..error }
                .hint("free some space on the disk and try again; what was saved before is unharmed")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => error.hint(
            "let this user write the folder, or set `path` in the plugin's `config` to a file in one that it can \
             write; what was saved before is unharmed",
        ),
        _ => error,
    }
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, anchored: Mutex::default() }
    }

    pub(super) fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        let path = self.path(key)?;
        self.place(&path, body).map_err(|error| failed("write", &path, error))
    }

    pub(super) fn replace(&self, key: &str, body: &[u8]) -> Result<()> {
        let path = self.path(key)?;
        let write = || {
            fs::create_dir_all(self.parent(&path))?;
            let unfinished = self.unfinished(body)?;
            unfinished.persist(&path).map_err(|error| error.error).map(drop)
        };
        write().map_err(|error| failed("write", &path, error))
    }

    pub(super) fn remove(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.map_err(|error| failed("remove", &path, error))?,
        }
        // Versions are removed from the oldest on: after a power cut too there must be no gap.
        durable::sync_folder(self.parent(&path)).map_err(|error| failed("remove", &path, error))
    }

    /// Where the object of a key is.
    pub(super) fn path(&self, key: &str) -> Result<PathBuf> {
        let plain = |part: &str| {
            !part.starts_with('.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if key.is_empty() || !key.split('/').all(|part| !part.is_empty() && plain(part)) {
            return Err(Error::invalid(format!("`{}` is no key of an object", key.escape_debug())));
        }
        Ok(self.root.join(key))
    }

    /// Files that were never finished, and never will be.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp"));
        let files = |folder: &Path| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter(is_abandoned).map(|entry| entry.path()).filter(|path| path.is_file())
        };
        let mut all: Vec<_> = files(&self.root.join(UNFINISHED)).chain(files(&self.root).filter(hidden)).collect();
        all.sort_unstable();
        all
    }

    fn place(&self, path: &Path, body: &[u8]) -> io::Result<Created> {
        let folder = self.parent(path);
        self.anchor(folder)?;
        if path.try_exists()? {
            durable::sync_folder(folder)?;
            return Ok(Created::Exists);
        }
        let unfinished = self.unfinished(body)?;
        unfinished.as_file().sync_all()?;
        match unfinished.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                durable::sync_folder(folder)?;
                return Ok(Created::Exists);
            }
            Err(error) => return Err(error.error),
        }
        durable::sync_folder(folder).inspect_err(|_| {
            // After a failed fsync a second one may succeed without having written anything.
            let _ = fs::remove_file(path);
        })?;
        Ok(Created::New)
    }

    /// Makes a folder and those above it, durably.
    fn anchor(&self, folder: &Path) -> io::Result<()> {
        if self.anchored().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        match folder.parent() {
            Some(parent) if folder.starts_with(&self.root) => {
                self.anchor(parent)?;
                match fs::create_dir(folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => durable::sync_folder(parent)?,
                }
            }
            _ if folder.is_dir() => {}
            above => {
                fs::create_dir_all(folder)?;
                // Not ours, and perhaps not readable.
                let _ = above.map(durable::sync_folder);
            }
        }
        self.anchored().insert(folder.to_owned());
        Ok(())
    }

    fn anchored(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.anchored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfinished(&self, body: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let folder = self.root.join(UNFINISHED);
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
        }
        if self.anchored().insert(folder.clone()) {
            sweep(&folder);
        }
        let mut file = durable::temporary(&folder)?;
        io::Write::write_all(&mut file, body)?;
        Ok(file)
    }

    fn parent<'a>(&'a self, path: &'a Path) -> &'a Path {
        path.parent().unwrap_or(&self.root)
    }
}

fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if is_abandoned(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_abandoned(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|meta| meta.modified());
    let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_some_and(|age| age > ABANDONED)
}
