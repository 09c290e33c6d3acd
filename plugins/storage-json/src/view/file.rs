use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{
        self,
        ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy},
        Read, Seek, Write,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use perennial_sdk::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{durable, folder::failed};

/// How long to wait for another host that is writing the file.
const PATIENCE: Duration = Duration::from_secs(2);

/// The file that users know, wherever its path leads.
#[derive(Debug)]
pub(super) struct ViewFile {
    path: PathBuf,
}

/// Tells without reading whether the file may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    /// When it was last written, renamed or given to somebody: unlike the time of modification nobody can set it.
    pub(super) changed: SystemTime,
}

/// The file as it was read, still open: somebody else may be writing it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) stamp: Stamp,
    file: File,
}

impl ViewFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn stamp(&self) -> Result<Option<Stamp>> {
        present(fs::metadata(&self.path).and_then(|meta| Stamp::of(&meta)))
            .map_err(|e| failed("look at", &self.path, e))
    }

    pub(super) fn read(&self) -> Result<Option<Content>> {
        present(File::open(&self.path).and_then(Content::read)).map_err(|error| failed("read", &self.path, error))
    }

    /// Keeps other hosts from writing until it is dropped, which the end of the process does too. None where nobody can
    /// write for want of permission.
    pub(super) fn lock(&self) -> Result<Option<File>> {
        let path = beside(&self.resolve(), ".lock");
        let open = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::options().read(true).write(true).create(true).truncate(false).open(&path)
        };
        let file = match open() {
            Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => match File::open(&path) {
                Ok(file) => file,
                Err(_) => return Ok(None),
            },
            file => file.map_err(|error| failed("open", &path, error))?,
        };
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(3));
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!("`{}` is locked by another process", path.display());
                    return Err(Error::unavailable(message));
                }
                // Not every network file system has locks; the truth needs none.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(Some(file)),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path, error)),
            }
        }
    }

    /// Replaces the file, or overwrites it where it is a mount of its own. The caller holds the lock.
    pub(super) fn write(&self, text: &[u8]) -> Result<Stamp> {
        let target = self.resolve();
        replace(&target, text, |from, to| fs::rename(from, to)).map_err(|error| failed("write", &target, error))
    }

    /// Copies what cannot be used to a file beside it, named by date and hash; once, however often it is seen.
    pub(super) fn set_aside(&self, bytes: &[u8]) -> Result<PathBuf> {
        let target = self.resolve();
        let hash = &digest(bytes)[..12];
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = target.parent().unwrap_or(Path::new("."));
        let same = |path: &PathBuf| {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            file.starts_with(&format!("{name}.corrupt-")) && file.ends_with(hash)
        };
        if let Some(path) = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).find(same) {
            return Ok(path);
        }
        let date = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
        let path = beside(&target, &format!(".corrupt-{date}-{hash}"));
        let write = || {
            let mut copy = durable::temporary(folder)?;
            copy.write_all(bytes)?;
            copy.as_file().sync_all()?;
            copy.persist_noclobber(&path).map_err(|error| error.error)?;
            durable::sync_folder(folder)
        };
        write().map_err(|error| failed("write", &path, error))?;
        Ok(path)
    }

    /// Where symbolic links lead, even when there is no file yet.
    fn resolve(&self) -> PathBuf {
        let mut path = self.path.clone();
        for _ in 0..32 {
            match fs::read_link(&path) {
                Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
                Err(_) => break,
            }
        }
        path
    }
}

impl Content {
    fn read(mut file: File) -> io::Result<Self> {
        loop {
            let before = Stamp::of(&file.metadata()?)?;
            let mut bytes = Vec::with_capacity(before.size as usize + 1);
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            let stamp = Stamp::of(&file.metadata()?)?;
            if stamp == before && bytes.len() as u64 == stamp.size {
                return Ok(Self { bytes, stamp, file });
            }
        }
    }

    /// What somebody wrote into the old file while it was being replaced.
    pub(super) fn late(self) -> Option<Self> {
        let stamp = Stamp::of(&self.file.metadata().ok()?).ok()?;
        let late = (stamp != self.stamp).then(|| Self::read(self.file).ok())??;
        (late.bytes != self.bytes).then_some(late)
    }
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let since = Duration::new(meta.ctime().try_into().unwrap_or(0), meta.ctime_nsec() as u32);
            let changed = SystemTime::UNIX_EPOCH + since;
            Ok(Self { device: meta.dev(), inode: meta.ino(), size: meta.len(), changed })
        }
        #[cfg(not(unix))]
        Ok(Self { device: 0, inode: 0, size: meta.len(), changed: meta.modified()? })
    }

    /// Whether a further change must show in the stamp: clocks of files tick in milliseconds.
    pub(super) fn is_settled(&self) -> bool {
        SystemTime::now().duration_since(self.changed).is_ok_and(|age| age > Duration::from_secs(1))
    }
}

/// SHA-256 in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn replace(target: &Path, text: &[u8], rename: impl Fn(&Path, &Path) -> io::Result<()>) -> io::Result<Stamp> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // One name for ever: what a killed process leaves behind is overwritten by the next.
    let unfinished = folder.join(format!(".{name}.unfinished"));
    let old = present(fs::metadata(target))?;
    let write = || {
        let _ = fs::remove_file(&unfinished);
        let mut file = File::options().write(true).create_new(true).open(&unfinished)?;
        old.as_ref().map_or(Ok(()), |old| durable::dress_as(&file, old))?;
        file.write_all(text)?;
        file.sync_all()?;
        rename(&unfinished, target)?;
        let stamp = Stamp::of(&file.metadata()?)?;
        durable::sync_folder(folder)?;
        Ok(stamp)
    };
    write().or_else(|error: io::Error| {
        let _ = fs::remove_file(&unfinished);
        let kind = error.kind();
        match old {
            Some(_) if matches!(kind, ResourceBusy | CrossesDevices | PermissionDenied) => overwrite(target, text),
            _ => Err(error),
        }
    })
}

/// Empties the file first: whoever finds it unfinished must see that it is, rather than a mixture.
fn overwrite(target: &Path, text: &[u8]) -> io::Result<Stamp> {
    let mut file = File::options().write(true).truncate(true).open(target)?;
    file.write_all(text)?;
    file.sync_all()?;
    Stamp::of(&file.metadata()?)
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_renamed_over_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("saved_servers.json");
        fs::write(&target, "old and longer").unwrap();
        let before = Stamp::of(&fs::metadata(&target).unwrap()).unwrap();
        let busy = |_: &Path, _: &Path| Err(io::ErrorKind::ResourceBusy.into());
        let after = replace(&target, b"new", busy).unwrap();
        assert_eq!((fs::read(&target).unwrap().as_slice(), after.inode), (b"new".as_slice(), before.inode));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("saved_servers.json");
        fs::write(&target, "old").unwrap();
        let full = |_: &Path, _: &Path| Err(io::ErrorKind::StorageFull.into());
        assert_eq!(replace(&target, b"new", full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_late_write_to_the_replaced_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let view = ViewFile::new(folder.path().join("saved_servers.json"));
        fs::write(&view.path, "{}").unwrap();
        let mut slow = File::options().write(true).open(&view.path).unwrap();
        let content = view.read().unwrap().unwrap();
        view.write(b"{\n}").unwrap();
        slow.write_all(b"{\"late\": {}}").unwrap();
        assert_eq!(content.late().unwrap().bytes, b"{\"late\": {}}");
        assert!(view.read().unwrap().unwrap().late().is_none());
    }
}
