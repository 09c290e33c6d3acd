use std::{
    error::Error,
    io,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Mutex,
};

use rustix::process::{Pid, Signal, getppid, setsid};
use seccompiler::BpfProgram;

use super::{
    births, calls,
    files::Rules,
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
    parent: Pid,
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
    /// Taken by the child, which has a copy of its own.
    once: Mutex<Option<(Option<Rules>, Vec<BpfProgram>)>>,
}

/// Where an entry is.
pub(in crate::supervisor) struct Site<'a> {
    /// The process that forks.
    pub(in crate::supervisor) parent: Pid,
    /// Whether bubblewrap's namespaces are around.
    pub(in crate::supervisor) inside: bool,
    pub(in crate::supervisor) capped: Capped,
    pub(in crate::supervisor) gate: Option<&'a TcpListener>,
}

impl Entry {
    /// # Errors
    /// When the rules cannot be made, which nothing of this machine explains.
    pub(in crate::supervisor) fn new(order: &Order, site: &Site<'_>, passage: Option<UnixStream>) -> io::Result<Self> {
        let Site { parent, inside, capped, gate } = *site;
        let (Some(confinement), Some(passage)) = (order.confinement.clone(), passage) else {
            return Ok(Self { parent, confined: None });
        };
        let port = gate.map(TcpListener::local_addr).transpose()?.map(|address| address.port());
        let rules = Rules::new(&confinement, order.ground.landlock, inside, port).map_err(io::Error::other)?;
        let counted = capped.memory || confinement.caps.memory_bytes.is_none();
        let filters = calls::filters(&confinement.egress, inside, counted).map_err(broken)?;
        let users = inside && order.ground.bubblewrap.as_ref().is_some_and(|bubblewrap| bubblewrap.users);
        let counted_for = match users {
            _ if is_machine_root() => Counted::Nobody,
            // Before 5.14 those of all namespaces were counted together.
            true if kernel() >= (5, 14) => Counted::Own,
            _ => Counted::User,
        };
        let counts = capped.pids || counted_for == Counted::Own;
        let births = (!counts && confinement.caps.pids.is_some()).then(births::filter);
        let force = Force { namespaces: inside, cgroup: capped, ..Force::default() };
        let once = Mutex::new(Some((rules, filters)));
        Ok(Self { parent, confined: Some(Confined { confinement, passage, force, counted_for, births, once }) })
    }

    /// The last code of ours before the program's: runs in the forked child. Signal mask and SIGPIPE are reset by std, all
    /// other handlers by exec.
    pub(in crate::supervisor) fn enter(&self) -> io::Result<()> {
        setsid()?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(self.parent) {
            return Err(rustix::io::Errno::SRCH.into());
        }
        self.confined.as_ref().map_or(Ok(()), Confined::enter)
    }
}

impl Confined {
    fn enter(&self) -> io::Result<()> {
        let mut force = self.force;
        let taken = self.once.lock().ok().and_then(|mut once| once.take());
        let Some((rules, filters)) = taken else { return Err(io::ErrorKind::Other.into()) };
        if !force.namespaces {
            limits::settle(&self.confinement.caps);
        }
        limits::weigh_session();
        force.counted = limits::confine(&self.confinement.caps, self.counted_for);
        force.bare = privileges::drop_all();
        force.landlock = rules.map_or(0, Rules::enforce);
        force.seccomp = filters.iter().all(|filter| seccompiler::apply_filter(filter).is_ok());
        let asked = self.births.as_deref().and_then(births::ask);
        force.asked = asked.is_some();
        let enforced = measures(&self.confinement, force);
        if self.confinement.strictness == Strictness::Require && enforced.broken().next().is_some() {
            tell(&self.passage, &Word::Refused(enforced));
            return Err(rustix::io::Errno::PERM.into());
        }
        // A sidecar that is gone shows in the parent's death.
        let _ = send(&self.passage, &Word::Entered(enforced), asked.as_ref().map(AsFd::as_fd).as_slice());
        Ok(())
    }
}

/// Whether the account is root of the whole machine, and not of a user namespace.
fn is_machine_root() -> bool {
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
