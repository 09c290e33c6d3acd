//! The most that one environment may take of the disk, watched while it grows.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use perennial_sdk::{Cx, Error, ErrorCode, Result};
use tokio::sync::watch;

use super::disk;
use crate::blocking::blocking;

/// How often the size is looked at, at most: looking may take a twentieth of the time.
const INTERVAL: Duration = Duration::from_millis(500);

/// Does `work` with a context that is cancelled when `folder` outgrows `most` bytes.
///
/// # Errors
/// Those of `work`; `too_large` when it was cancelled for its size.
pub(super) async fn within<T>(
    cx: &Cx,
    folder: &Path,
    most: u64,
    work: impl AsyncFnOnce(&Cx) -> Result<T>,
) -> Result<T> {
    let (give_up, given_up) = watch::channel(false);
    let limited = cx.clone().with_cancel(given_up);
    let work = work(&limited);
    tokio::pin!(work);
    let outgrown = tokio::select! {
        done = &mut work => return done,
        () = cx.cancelled() => false,
        () = outgrown(folder.to_path_buf(), most) => true,
    };
    // not dropped: what it started must have ended before its folder is removed
    give_up.send_replace(true);
    let done = work.await;
    if outgrown { Err(too_large(most)) } else { done }
}

/// Why an environment was given up.
pub(super) fn too_large(most: u64) -> Error {
    let gigabytes = most as f64 / 1e9;
    let message = format!("the packages take more than {gigabytes} GB of the disk, the most that one server's may");
    Error::new(ErrorCode::Other("too_large".into()), message)
        .hint("depend on fewer or smaller packages, or raise `cache.max_environment_gb` in the configuration")
}

async fn outgrown(folder: PathBuf, most: u64) {
    let mut interval = INTERVAL;
    loop {
        tokio::time::sleep(interval).await;
        let begun = Instant::now();
        let folder = folder.clone();
        if blocking(move || Ok(disk::measure(&folder))).await.is_ok_and(|bytes| bytes > most) {
            return;
        }
        interval = INTERVAL.max(begun.elapsed() * 20);
    }
}
