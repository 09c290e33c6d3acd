//! Owns child processes and their deaths; knows no MCP.
//!
//! Between the host and a server stands a [sidecar](run_sidecar), the host's own program started as `perennial __run`. The
//! socket between them is the server's lifeline: when the host ends, in whatever way, the sidecar sees the end of it and
//! kills the server with everything below it. The sidecar is a child subreaper, so that a daemon cannot leave; the host is
//! one too, for the day that somebody kills a sidecar. What even that leaves behind is found by the next start, by the
//! [mark](ProcessSpec::MARK) in its environment.
//!
//! A [`Confinement`] is put in force between fork and exec, by the sidecar's child. Where bubblewrap works it makes
//! namespaces around a [first process](run_init), and that child goes into them before. The sidecar itself stays outside of
//! what it confines.

mod confinement;
mod descriptors;
mod exit;
mod ground;
mod inside;
mod leftovers;
mod lifeline;
mod orphans;
mod process;
mod restart;
mod ring;
mod run;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(not(target_os = "linux"))]
#[path = "sandbox_absent.rs"]
mod sandbox;
mod sidecar;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use perennial_sdk::{Error, ErrorCode, Result};
use tokio::{net::unix::pipe, sync::OnceCell, time::timeout};

pub use confinement::{Caps, Confinement, Egress, Enforced, Gate, Gatekeeper, Measure, Strictness};
pub use exit::{Exit, ExitCause};
pub use process::{Child, Process, ProcessSpec, StopGrace};
pub use restart::{Restart, Verdict};
pub use ring::Ring;
pub use run::Finished;
pub use sandbox::run_init;
pub use sidecar::run_sidecar;

use ground::Ground;
use leftovers::Leftovers;
use process::Shared;

/// Starts processes, and sees to it that none outlives its welcome. One for the whole host.
#[derive(Debug)]
pub struct Supervisor {
    sidecar: PathBuf,
    leftovers: Arc<Leftovers>,
    live: Mutex<Vec<Weak<Shared>>>,
    closing: AtomicBool,
    ground: OnceCell<Ground>,
}

impl Supervisor {
    /// A supervisor that keeps its records of running processes below `state_dir`. Nothing is read or written yet.
    pub fn new(state_dir: PathBuf) -> Arc<Self> {
        Self::with_sidecar(state_dir, "/proc/self/exe".into())
    }

    /// [`Supervisor::new`] for a program that is not Perennial itself, such as a test: `sidecar` is started with `__run`
    /// and must then call [`run_sidecar`].
    pub fn with_sidecar(state_dir: PathBuf, sidecar: PathBuf) -> Arc<Self> {
        orphans::adopt();
        Arc::new(Self {
            sidecar,
            leftovers: Arc::new(Leftovers::new(state_dir)),
            live: Mutex::default(),
            closing: AtomicBool::new(false),
            ground: OnceCell::new(),
        })
    }

    /// Finds out what this machine has to confine processes with, which the first confined start does otherwise. It starts
    /// processes, and takes some ten milliseconds when it is not known from an earlier time.
    pub async fn explore(self: &Arc<Self>) {
        self.ground().await;
    }

    /// Why a process is confined without namespaces, where that is so.
    pub async fn without_namespaces(self: &Arc<Self>) -> Option<String> {
        self.ground().await.without.clone()
    }

    /// Starts a long-running server. Its stderr is read into a ring, at a bounded pace.
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// `not_found`, `denied` or `invalid` when the program cannot be started, `unavailable` when the machine has no more
    /// processes or descriptors or the host is ending. `denied` also when [`Strictness::Require`] asks for more than this
    /// machine can do.
    pub async fn spawn(self: &Arc<Self>, spec: ProcessSpec) -> Result<Child> {
        let label = spec.label.clone();
        let mut started = self.start(spec, lifeline::Stdin::Pipe).await?;
        let stdin = started.stdin.take().ok_or_else(|| Error::internal(format!("`{label}` has no stdin")))?;
        let stderr = pipe::Receiver::from_owned_fd(started.stderr)?;
        let drained = tokio::spawn(run::drain(stderr, started.process.stderr().clone()));
        let stdin = pipe::Sender::from_owned_fd(stdin)?;
        let stdout = pipe::Receiver::from_owned_fd(started.stdout)?;
        started.watch.spawn(Some(drained));
        Ok(Child { stdin, stdout, process: started.process })
    }

    /// Ends every tree at once: SIGTERM, half a second, SIGKILL; 2 s in all. Nothing can be started afterwards.
    pub async fn shutdown(&self) {
        self.closing.store(true, Ordering::SeqCst);
        let grace = StopGrace { eof: Duration::ZERO, ..StopGrace::default() };
        let live: Vec<Process> =
            self.live().drain(..).filter_map(|one| one.upgrade()).map(|shared| Process { shared }).collect();
        let stopped = timeout(Duration::from_secs(2), join_all(live.iter().map(|process| process.stop(grace)))).await;
        if stopped.is_ok() {
            self.leftovers.forget();
        } else {
            tracing::warn!("some processes did not end; the next start will end them");
        }
    }

    /// Kills what hosts left behind that are gone, and forgets them; answers how many processes that were. Hosts that live
    /// are left alone.
    pub async fn sweep(&self) -> usize {
        let leftovers = Arc::clone(&self.leftovers);
        tokio::task::spawn_blocking(move || leftovers.sweep()).await.unwrap_or(0)
    }

    async fn start(self: &Arc<Self>, spec: ProcessSpec, stdin: lifeline::Stdin) -> Result<lifeline::Started> {
        let ground = if spec.confinement.is_some() { self.ground().await.clone() } else { Ground::default() };
        let namespaces = ground.bubblewrap.is_some();
        let started = self.start_on(spec, stdin, ground).await;
        if namespaces && started.as_ref().is_err_and(|error| error.code == ErrorCode::Unavailable) {
            // Should bubblewrap have stopped working, the next host finds out.
            let _ = std::fs::remove_file(self.memo());
        }
        started
    }

    async fn ground(self: &Arc<Self>) -> &Ground {
        // Boxed: exploring starts processes itself.
        self.ground.get_or_init(|| Box::pin(Ground::explore(self))).await
    }

    /// Where what was found out of this machine is kept.
    fn memo(&self) -> PathBuf {
        self.leftovers.beside("sandbox.json")
    }

    async fn start_on(
        self: &Arc<Self>,
        spec: ProcessSpec,
        stdin: lifeline::Stdin,
        ground: Ground,
    ) -> Result<lifeline::Started> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Error::new(
                ErrorCode::Unavailable,
                format!("`{}` is not started: the host is ending", spec.label),
            ));
        }
        let started = lifeline::start(self.sidecar.clone(), Arc::clone(&self.leftovers), spec, stdin, ground).await?;
        let mut live = self.live();
        live.retain(|one| one.strong_count() > 0);
        live.push(Arc::downgrade(&started.process.shared));
        if self.closing.load(Ordering::SeqCst) {
            started.process.kill();
        }
        Ok(started)
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Shared>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
