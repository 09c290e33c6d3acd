//! The host's own children: its sidecars, and what comes to it when somebody kills one.

use std::{
    collections::BTreeMap,
    io,
    process::{Child, Command},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::time::sleep;

use super::tree;

/// How long the host goes on killing orphans.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every sidecar that was not reaped yet, in the whole process; one that nobody follows any more is kept here until it can
/// be reaped. Held while one is started, so that none is ever taken for an orphan.
static SIDECARS: Mutex<BTreeMap<u32, Option<Child>>> = Mutex::new(BTreeMap::new());

/// A sidecar as its parent sees it. Dropped before it has ended, it is reaped later.
pub(super) struct Sidecar {
    child: Option<Child>,
    pid: u32,
}

/// Makes the host the parent of what killed sidecars leave behind. A kernel that cannot do it has no orphans to end.
pub(super) fn adopt() {
    let _ = set_child_subreaper(Some(getpid()));
}

impl Sidecar {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let mut sidecars = sidecars();
        sidecars.retain(|_, unfollowed| unfollowed.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(None))));
        let child = command.spawn()?;
        let pid = child.id();
        sidecars.insert(pid, None);
        Ok(Self { child: Some(child), pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended, and kills it at `deadline`; true when it ended by itself and nothing is left below it.
    pub(super) async fn gone(&mut self, deadline: Instant) -> bool {
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) => {
                    let _ = child.kill();
                }
                ended => {
                    sidecars().remove(&self.pid);
                    self.child = None;
                    return ended.is_ok_and(|status| status.is_some_and(|status| status.success()));
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
        false
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            sidecars().insert(self.pid, Some(child));
        }
    }
}

/// Every sidecar that this process has, ended ones that were not reaped yet among them.
pub(super) fn live_sidecars() -> Vec<i32> {
    sidecars().keys().map(|pid| pid.cast_signed()).collect()
}

/// Kills and reaps every orphan and all below it.
pub(super) async fn end() {
    let _ = tokio::task::spawn_blocking(|| {
        let patience = Instant::now() + PATIENCE;
        while kill_orphans() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    })
    .await;
}

/// False when there was none.
///
/// An orphan is a child that is no sidecar and not of the host's session: a sidecar leaves it, and nothing below can come
/// back. What a plugin starts inside the host stays in the session and is none of our business.
fn kill_orphans() -> bool {
    let sidecars = sidecars();
    let host = getpid().as_raw_pid();
    let session = tree::stat(host).map(|stat| stat.session);
    let orphans = || -> Vec<i32> {
        tree::children(host)
            .into_iter()
            .filter(|pid| !sidecars.contains_key(&pid.cast_unsigned()))
            .filter(|pid| tree::stat(*pid).is_some_and(|stat| Some(stat.session) != session))
            .collect()
    };
    let found = orphans();
    if !found.is_empty() {
        // All of them together: what one of them starts while another is killed would come here, too.
        tree::kill_all(None, orphans);
    }
    for orphan in &found {
        let _ = waitpid(Pid::from_raw(*orphan), WaitOptions::NOHANG);
    }
    !found.is_empty()
}

fn sidecars() -> MutexGuard<'static, BTreeMap<u32, Option<Child>>> {
    SIDECARS.lock().unwrap_or_else(PoisonError::into_inner)
}
