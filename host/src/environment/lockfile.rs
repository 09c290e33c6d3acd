//! Locks between processes that are waited for without a thread, and given up when nobody waits any more.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use perennial_sdk::{Cx, Error, ErrorCode, Result};

use super::steps::Phase;
use crate::blocking::blocking;

/// The system tells nobody that a lock is free, so it is asked again at this interval.
const INTERVAL: Duration = Duration::from_millis(25);

/// Waits until nobody else has the lock. It is released when the file is dropped.
pub(super) async fn exclusive(cx: &Cx, progress: f64, path: &Path) -> Result<File> {
    wait(cx, progress, path, None, File::try_lock).await?.ok_or_else(unreached)
}

/// [`exclusive`], until the file `done` is there: none then. Whoever wrote it may go on sharing the lock for days.
pub(super) async fn exclusive_unless(cx: &Cx, progress: f64, path: &Path, done: &Path) -> Result<Option<File>> {
    wait(cx, progress, path, Some(done), File::try_lock).await
}

/// Waits until nobody else has the lock for themselves.
pub(super) async fn shared(cx: &Cx, progress: f64, path: &Path) -> Result<File> {
    wait(cx, progress, path, None, File::try_lock_shared).await?.ok_or_else(unreached)
}

/// The lock, when nobody has it in any way. Without the file it is made with `create`, and else there is none.
pub(super) fn free(path: &Path, create: bool) -> Option<File> {
    let file = OpenOptions::new().create(create).truncate(false).read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    Some(file).filter(|file| still_there(file, path))
}

/// A share of the lock, when the file is there and nobody has it for themselves.
pub(super) fn joined(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock_shared().ok()?;
    Some(file).filter(|file| still_there(file, path))
}

fn unreached() -> Error {
    Error::internal("a lock that nothing makes needless was not waited for")
}

async fn wait(
    cx: &Cx,
    progress: f64,
    path: &Path,
    done: Option<&Path>,
    lock: fn(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>> {
    let mut told = false;
    loop {
        let (path, done) = (path.to_path_buf(), done.map(Path::to_path_buf));
        let attempt = blocking(move || match done.is_some_and(|done| done.exists()) {
            true => Ok(Err(())),
            false => attempt(&path, lock).map(Ok),
        });
        match attempt.await? {
            Err(()) => return Ok(None),
            Ok(Some(file)) => return Ok(Some(file)),
            Ok(None) => {}
        }
        if !std::mem::replace(&mut told, true) {
            cx.progress(progress, Some(Phase::ALL), "waiting for another installation of the same");
        }
        let over = async {
            match cx.remaining() {
                Some(remaining) => tokio::time::sleep(remaining).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = cx.cancelled() => return Err(Error::new(ErrorCode::Cancelled, "the wait for another installation was cancelled")),
            () = over => return Err(Error::new(ErrorCode::Timeout, "another installation of the same takes too long")),
        }
    }
}

fn attempt(path: &PathBuf, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<File>> {
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let file = match OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path) {
        // its folder was removed just now
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match lock(&file) {
        Ok(()) => Ok(Some(file).filter(|file| still_there(file, path))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(Error::from(error).context(format!("failed to lock `{}`", path.display())))
        }
    }
}

/// Whoever removes the folder of a lock holds it; a lock that was waited for meanwhile is on a file that is gone.
#[cfg(unix)]
fn still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().ok().map(inode) == path.metadata().ok().map(inode)
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
fn still_there(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn a_wait_can_be_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        let held = exclusive(&Cx::detached(), 0.0, &path).await.unwrap();
        let (cancel, cancelled) = watch::channel(false);
        let cx = Cx::detached().with_cancel(cancelled);
        let (error, ()) = tokio::join!(shared(&cx, 0.0, &path), async { cancel.send(true).unwrap() });
        assert_eq!(error.unwrap_err().code, ErrorCode::Cancelled);
        let cx = Cx::detached().with_timeout(Duration::from_millis(1));
        assert_eq!(shared(&cx, 0.0, &path).await.unwrap_err().code, ErrorCode::Timeout);
        drop(held);
        assert!(shared(&cx.with_timeout(Duration::from_secs(5)), 0.0, &path).await.is_ok());
    }

    #[tokio::test]
    async fn several_share() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        let one = shared(&Cx::detached(), 0.0, &path).await.unwrap();
        let two = shared(&Cx::detached(), 0.0, &path).await.unwrap();
        drop((one, two));
        exclusive(&Cx::detached(), 0.0, &path).await.unwrap();
    }
}
