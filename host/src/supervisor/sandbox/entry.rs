use std::{
    error::Error,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::process::{Pid, Signal, getppid, setsid};

use super::{
    births,
    calls::{self, Filters},
    files::{self, Rules},
    limits::{self, Counted},
    measures::{Capped, Force, measures},
    privileges,
};
use crate::supervisor::{
    Confinement, Strictness,
    wire::{Order, Word, send, tell},
};

/// What a forked child puts in force before it becomes the program. Made before the fork, so that the child only makes
/// system calls.
pub(in crate::supervisor) struct Entry {
    parent: Option<Pid>,
    confined: Option<Confined>,
}

struct Confined {
    confinement: Confinement,
    /// Where the child says what holds.
    passage: UnixStream,
    force: Force,
    counted_for: Counted,
    /// Where nothing else counts processes: what has the kernel ask before one is started.
    births: Option<Vec<libc::sock_filter>>,
    asked: Option<OwnedFd>,
    filters: Filters,
    /// Whether Landlock is to be used.
    landlock: bool,
    /// Taken by the child, which has a copy of its own.
    rules: Option<Rules>,
}

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct Site {
    /// The process that forks, when its death has to be the program's: none within namespaces, whose end is.
    pub(in crate::supervisor) parent: Option<Pid>,
    /// Whether bubblewrap's namespaces are around.
    pub(in crate::supervisor) inside: bool,
    /// Whether the account is root of the whole machine, which only shows outside of namespaces.
    pub(in crate::supervisor) root: bool,
    pub(in crate::supervisor) capped: Capped,
}

impl Entry {
    /// # Errors
    /// When the rules cannot be made, which nothing of this machine explains.
    pub(in crate::supervisor) fn new(order: &Order, site: Site, passage: Option<UnixStream>) -> io::Result<Self> {
        let Site { parent, inside, root, capped } = site;
        let (Some(confinement), Some(passage)) = (order.confinement.clone(), passage) else {
            return Ok(Self { parent, confined: None });
        };
        let landlock = order.ground.landlock != Some(0);
        let rules = Rules::new(&confinement, order.ground.landlock, inside).map_err(io::Error::other)?;
        let counted = capped.memory || confinement.caps.memory_bytes.is_none();
        let filters = calls::filters(&confinement.egress, inside, counted).map_err(broken)?;
        let users = inside && order.ground.bubblewrap.as_ref().is_some_and(|bubblewrap| bubblewrap.users);
        let counted_for = match users {
            _ if root => Counted::Nobody,
            // Before 5.14 those of all namespaces were counted together.
            true if kernel() >= (5, 14) => Counted::Own,
            _ => Counted::User,
        };
        let counts = capped.pids || counted_for == Counted::Own;
        let births = (!counts && confinement.caps.pids.is_some()).then(births::filter);
        let force = Force { namespaces: inside, cgroup: capped, ..Force::default() };
        let confined =
            Confined { confinement, passage, force, counted_for, births, asked: None, filters, landlock, rules };
        Ok(Self { parent, confined: Some(confined) })
    }

    /// Lets the program through to its gate.
    pub(in crate::supervisor) fn open(&mut self, gate: &TcpListener) -> io::Result<()> {
        let port = gate.local_addr()?.port();
        if let Some(Confined { rules, .. }) = &mut self.confined {
            *rules = rules.take().map(|rules| rules.gate(port)).transpose().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// What does not have to wait for namespaces. Runs in the forked child, as [`Entry::enter`] does.
    pub(in crate::supervisor) fn prepare(&mut self) -> io::Result<()> {
        setsid()?;
        if self.parent.is_some() {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != self.parent {
                return Err(rustix::io::Errno::SRCH.into());
            }
        }
        if let Some(confined) = &mut self.confined {
            confined.prepare();
        }
        Ok(())
    }

    /// The last code of ours before the program's. Signal mask and SIGPIPE are reset by std, all other handlers by exec.
    pub(in crate::supervisor) fn enter(&mut self) -> io::Result<()> {
        self.confined.as_mut().map_or(Ok(()), Confined::enter)
    }
}

impl Confined {
    fn prepare(&mut self) {
        if !self.force.namespaces {
            limits::settle();
        }
        limits::weigh_session();
        self.force.counted = limits::confine(&self.confinement.caps, self.counted_for);
        self.force.seccomp = seccompiler::apply_filter(&self.filters.by_arguments).is_ok();
        self.asked = self.births.as_deref().and_then(births::ask);
        self.force.asked = self.asked.is_some();
    }

    fn enter(&mut self) -> io::Result<()> {
        let Self { force, filters, .. } = self;
        let mut rules = self.rules.take();
        if force.namespaces {
            rules = rules.map(Rules::inside).transpose().map_err(io::Error::other)?;
        }
        force.bare = privileges::drop_all();
        force.landlock = rules.map_or(0, Rules::enforce);
        if force.namespaces && self.landlock && force.landlock == 0 && files::exist() {
            // All of `/etc` is there because of it.
            return Err(io::Error::other("landlock cannot be put in force"));
        }
        force.seccomp &= seccompiler::apply_filter(&filters.by_number).is_ok();
        limits::limit_files(&self.confinement.caps);
        let enforced = measures(&self.confinement, *force);
        if self.confinement.strictness == Strictness::Require && enforced.broken().next().is_some() {
            tell(&self.passage, &Word::Refused(enforced));
            return Err(rustix::io::Errno::PERM.into());
        }
        // Without a sidecar there is nobody to look after the program.
        send(&self.passage, &Word::Entered(enforced), self.asked.take().as_ref().map(AsFd::as_fd).as_slice())
    }
}

/// Whether the account is root of the whole machine, and not of a user namespace alone.
pub(in crate::supervisor) fn is_machine_root() -> bool {
    let mapped = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    let line = mapped.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let (inner, outer, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        (uid.checked_sub(inner)? < count).then(|| outer + (uid - inner))
    });
    line.is_none_or(|outer| outer == 0)
}

/// Of which version it is; the oldest where it does not say.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (next(), next())
}

fn broken(error: Box<dyn Error>) -> io::Error {
    io::Error::other(error.to_string())
}
