//! Where the system is not Linux nothing confines a process yet, and everything says so.

use std::{
    fs::File,
    io,
    net::TcpListener,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use rustix::process::{Pid, getppid, setsid};
use serde::{Deserialize, Serialize};

use super::{
    Caps, Confinement, Egress, Enforced, ExitCause, Measure, Strictness,
    tree::Roots,
    wire::{Order, Word, tell},
};

/// Never there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bubblewrap {
    pub(super) program: PathBuf,
    pub(super) users: bool,
    pub(super) sized: bool,
}

impl Bubblewrap {
    pub(super) fn arguments(&self, _: &Confinement, _: bool) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    pub(super) fn start(
        &self,
        _: &Order,
        _: Stdio,
        _: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Making> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Never there.
#[derive(Debug)]
pub(super) struct Namespaces {
    pub(super) first: i32,
}

impl Namespaces {
    pub(super) fn below(_: &Bubblewrap, _: Pid, _: &Egress) -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn join(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn join_cgroups(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn join_files(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Never there.
pub(super) struct Making {
    pub(super) outer: Pid,
    pub(super) made: UnixStream,
    pub(super) mounted: UnixStream,
    pub(super) lifeline: OwnedFd,
}

/// Nothing, ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Capped {
    pub(super) pids: bool,
}

/// Never there.
#[derive(Debug)]
pub(super) struct Cgroup {
    pub(super) capped: Capped,
}

impl Cgroup {
    pub(super) fn create(_: &Path, _: &Caps) -> Option<Self> {
        None
    }

    pub(super) fn door(&self) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn ran_out_of_memory(&self) -> bool {
        false
    }

    pub(super) fn ran_out_of_processes(&self) -> bool {
        false
    }

    pub(super) fn kill(&self) {}
}

/// Never asked.
#[derive(Debug)]
pub(super) struct Births {}

impl Births {
    pub(super) fn new(_: OwnedFd, _: Roots, _: u64) -> Self {
        Self {}
    }

    pub(super) fn refused(&self) -> bool {
        false
    }

    pub(super) fn asks(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    pub(super) fn rest(&self) -> Option<Duration> {
        None
    }

    pub(super) fn answer(&mut self) {}
}

pub(super) fn hurry() {}

pub(super) fn settle() {}

pub(super) fn is_machine_root() -> bool {
    false
}

pub(super) fn stay_awake() {}

pub(super) fn delegated() -> Option<PathBuf> {
    None
}

pub(super) fn open_gate<T>(_: &Egress, _: T) -> io::Result<Option<TcpListener>> {
    Ok(None)
}

pub(super) fn shows(_: &Confinement, _: &Path, _: bool) -> bool {
    true
}

/// Never started.
#[derive(Debug)]
pub(super) struct Watchdog {}

impl Watchdog {
    pub(super) fn new(_: Roots, _: &Confinement, _: Capped) -> Option<Self> {
        None
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::MAX
    }

    pub(super) fn look(&mut self) -> Option<ExitCause> {
        None
    }
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub(super) parent: Option<Pid>,
    pub(super) inside: bool,
    pub(super) root: bool,
    pub(super) capped: Capped,
}

/// Starts the program as it is, or refuses to.
pub(super) struct Entry {
    parent: Option<Pid>,
    strict: bool,
    passage: Option<UnixStream>,
}

impl Entry {
    pub(super) fn new(order: &Order, site: Site, passage: Option<UnixStream>) -> io::Result<Self> {
        let strict = order.confinement.as_ref().is_some_and(|asked| asked.strictness == Strictness::Require);
        Ok(Self { parent: site.parent, strict, passage })
    }

    pub(super) fn open(&mut self, _: &TcpListener) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn prepare(&mut self) -> io::Result<()> {
        setsid()?;
        if getppid() != self.parent {
            return Err(rustix::io::Errno::SRCH.into());
        }
        Ok(())
    }

    pub(super) fn enter(&mut self) -> io::Result<()> {
        let Some(passage) = &self.passage else { return Ok(()) };
        let nothing = |what: &str| Measure {
            what: what.into(),
            by: None,
            short_of: Some("only Linux is supported".into()),
            kept: false,
        };
        let enforced = Enforced { measures: ["files", "network", "processes"].map(nothing).into() };
        if self.strict {
            tell(passage, &Word::Refused(enforced));
            return Err(rustix::io::Errno::PERM.into());
        }
        tell(passage, &Word::Entered(enforced));
        Ok(())
    }
}

/// There is nothing to be the first process of.
pub fn run_init() -> ExitCode {
    ExitCode::FAILURE
}
