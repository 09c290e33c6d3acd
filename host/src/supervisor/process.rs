use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{net::unix::pipe, sync::watch, time::timeout};

use super::{Confinement, Enforced, Exit, ExitCause, Ring};

/// What to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProcessSpec {
    /// What people and errors call it: `server-…`, `pip install`. Also shown by `ps`.
    pub label: String,
    /// An absolute path; a bare name is looked up in the `PATH` of `env`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// The whole environment: nothing is inherited. [`ProcessSpec::MARK`] is added.
    pub env: BTreeMap<String, String>,
    /// The working folder; it must exist.
    pub cwd: PathBuf,
    /// What it may reach and use; without one it has the rights of the user.
    pub confinement: Option<Confinement>,
}

impl ProcessSpec {
    /// The environment variable by which a later start recognises what a host left behind.
    pub const MARK: &str = "PERENNIAL_HOST";
}

/// A long-running process and the descriptors that talk to it; its stderr goes into [`Process::stderr`].
#[derive(Debug)]
pub struct Child {
    /// Its stdin. Dropping it is the first step of a polite end: see [`Process::stop`].
    pub stdin: pipe::Sender,
    /// Its stdout; the end comes when the tree is gone, or earlier when it closed it.
    pub stdout: pipe::Receiver,
    /// Its life.
    pub process: Process,
}

/// A running or ended process tree. When the last clone is dropped the tree is killed.
#[derive(Debug, Clone)]
pub struct Process {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pid: i32,
    pub(super) started_at: Instant,
    pub(super) wish: watch::Sender<Wish>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    pub(super) stderr: Ring,
    pub(super) enforced: Enforced,
}

/// What the host wants of a tree; it only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Run,
    /// It was told to end in some other way, such as the end of its stdin.
    End,
    Terminate,
    Kill,
}

/// How long [`Process::stop`] waits at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopGrace {
    /// After the end of its stdin, before SIGTERM.
    pub eof: Duration,
    /// After SIGTERM, before SIGKILL.
    pub term: Duration,
}

impl StopGrace {
    /// The most that both steps may take together.
    pub const MOST: Duration = Duration::from_secs(5);

    /// The usual SIGTERM half a second after the end of stdin, and `grace` until SIGKILL; 5 s in all at most.
    pub fn lasting(grace: Duration) -> Self {
        let grace = grace.min(Self::MOST);
        let eof = Self::default().eof.min(grace);
        Self { eof, term: grace - eof }
    }
}

/// Half a second each.
impl Default for StopGrace {
    fn default() -> Self {
        let half = Duration::from_millis(500);
        Self { eof: half, term: half }
    }
}

impl Process {
    /// The main process.
    pub fn pid(&self) -> i32 {
        self.shared.pid
    }

    /// What holds for it.
    pub fn enforced(&self) -> &Enforced {
        &self.shared.enforced
    }

    /// When it was started.
    pub fn started_at(&self) -> Instant {
        self.shared.started_at
    }

    /// How it ended, when it has: its whole tree is gone and its last stderr line is in the ring.
    pub fn exit(&self) -> Option<Exit> {
        self.shared.exit.borrow().clone()
    }

    /// Waits until it has ended, as [`Process::exit`] understands it. Every waiter is told.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.shared.exit.clone();
        let gone = Exit { cause: ExitCause::Stopped, after: self.shared.started_at.elapsed() };
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()).unwrap_or(gone)
    }

    /// Ends the tree: a while for the end of stdin, which the caller has closed by dropping [`Child::stdin`], then
    /// SIGTERM to all of it, then SIGKILL. What was asked for is no death: the cause is [`ExitCause::Stopped`].
    pub async fn stop(&self, grace: StopGrace) -> Exit {
        for (wish, wait) in [(Wish::End, grace.eof), (Wish::Terminate, grace.term)] {
            self.want(wish);
            if let Ok(exit) = timeout(wait.min(StopGrace::MOST), self.exited()).await {
                return exit;
            }
        }
        self.kill();
        self.exited().await
    }

    /// SIGKILL for the whole tree, now; [`Process::exited`] tells when nothing is left.
    pub fn kill(&self) {
        self.want(Wish::Kill);
    }

    /// What it wrote to stderr lately.
    pub fn stderr(&self) -> &Ring {
        &self.shared.stderr
    }

    /// The last `lines` lines of its stderr.
    pub fn stderr_tail(&self, lines: usize) -> String {
        self.shared.stderr.tail(lines)
    }

    fn want(&self, wish: Wish) {
        self.shared.wish.send_if_modified(|now| {
            let more = wish > *now;
            *now = wish.max(*now);
            more
        });
    }
}
