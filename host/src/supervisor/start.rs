//! How a sidecar starts its program: forked at once, or [inside](super::inside) bubblewrap's namespaces.

use std::{
    io::{self, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, Stdio},
};

use rustix::{
    io::Errno,
    process::{Pid, chdir, getpid},
};

use super::{
    Enforced,
    sandbox::{Cgroup, Entry, Site, is_machine_root, open_gate, shows},
    tree,
    wire::{Order, Received, Report, Word, passage},
};

/// A program that runs.
pub(super) struct Up {
    pub(super) main: Pid,
    pub(super) enforced: Enforced,
    pub(super) gate: Option<OwnedFd>,
    /// Where the kernel asks before the program starts a process.
    pub(super) births: Option<OwnedFd>,
    pub(super) inner: Option<Inner>,
}

/// Namespaces that a program runs in, by their first process, and when that was started: its pid may be another's later.
pub(super) struct Inner {
    first: (i32, u64),
    /// What the first process ends with.
    _lifeline: OwnedFd,
}

impl Inner {
    pub(super) fn new(first: i32, lifeline: OwnedFd) -> Self {
        Self { first: (first, tree::stat(first).map_or(0, |stat| stat.started)), _lifeline: lifeline }
    }

    /// The first process, while it is there.
    pub(super) fn first(&self) -> Option<i32> {
        let (pid, started) = self.first;
        tree::stat(pid).filter(|stat| stat.started == started).map(|_| pid)
    }
}

/// Why no program runs.
pub(super) enum Down {
    /// To be told to the host.
    Told(Report),
    /// The host is gone, or wants no more.
    Unwanted,
}

impl From<io::Error> for Down {
    fn from(error: io::Error) -> Self {
        Self::Told(Report::NotStarted { errno: errno(&error), reason: format!("the sidecar failed: {error}") })
    }
}

/// Forks the program, with the sidecar's own stdout and stderr.
pub(super) fn plain(order: &mut Order, stdin: Option<OwnedFd>, cgroup: Option<&Cgroup>) -> Result<Up, Down> {
    if let Some(Word::NotStarted { errno, reason }) = hidden(order, false) {
        return Err(Down::Told(Report::NotStarted { errno, reason }));
    }
    let mut ends = order.confinement.is_some().then(passage).transpose()?;
    let egress = order.confinement.as_ref().map(|confinement| &confinement.egress);
    let gate = egress.map(|egress| open_gate(egress, &mut order.env)).transpose()?.flatten();
    let capped = cgroup.map(|cgroup| cgroup.capped).unwrap_or_default();
    let site = Site { parent: Some(getpid()), inside: false, root: is_machine_root(), capped };
    let (near, far) = ends.take().unzip();
    let mut entry = Entry::new(order, site, far)?;
    gate.iter().try_for_each(|gate| entry.open(gate))?;
    let spawned = spawn(order, stdin, entry, joining(cgroup)?);
    let mut received = Received::default();
    let word = near.map(|near| received.wait(near)).transpose()?.flatten();
    match (spawned, word) {
        (Err(_), Some(Word::Refused(enforced))) => Err(Down::Told(Report::Refused(enforced))),
        (Err(error), _) => Err(Down::Told(Report::NotStarted { errno: errno(&error), reason: why(order, &error) })),
        (Ok(main), word) => {
            let enforced = if let Some(Word::Entered(enforced)) = word { enforced } else { Enforced::default() };
            Ok(Up { main, enforced, gate: gate.map(OwnedFd::from), births: received.descriptors.pop(), inner: None })
        }
    }
}

/// Has whoever calls what comes back get into `cgroup`.
pub(super) fn joining(cgroup: Option<&Cgroup>) -> io::Result<impl FnMut() -> io::Result<()> + Send + Sync + 'static> {
    // Opened here: from inside namespaces it cannot be seen.
    let mut door = cgroup.map(Cgroup::door).transpose()?;
    Ok(move || door.as_mut().map_or(Ok(()), |door| door.write_all(b"0")))
}

/// Forks, runs `before` and the entry in the child, and has it become the program, with the stdout and stderr of the caller.
pub(super) fn spawn(
    order: &Order,
    stdin: Option<OwnedFd>,
    mut entry: Entry,
    mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Pid> {
    // Not std's way: before what is done here the folder may be another.
    let cwd = order.cwd.clone();
    #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
    let mut command = Command::new(&order.program);
    command.args(&order.args).env_clear().envs(&order.env).stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    #[expect(unsafe_code, reason = "std has no other way to run code between fork and exec")]
    // SAFETY: the caller has one thread, so that between fork and exec no lock is held by anybody.
    unsafe {
        command.pre_exec(move || {
            entry.prepare()?;
            before()?;
            chdir(&cwd)?;
            entry.enter()
        })
    };
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without an id"))
}

pub(super) fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// `exec` says "no such file" of three different files.
pub(super) fn why(order: &Order, error: &io::Error) -> String {
    let (program, cwd) = (order.program.display(), order.cwd.display());
    if !order.cwd.is_dir() {
        format!("its working folder `{cwd}` does not exist")
    } else if error.kind() == io::ErrorKind::NotFound && order.program.exists() {
        format!("`{program}` needs an interpreter or a loader that does not exist")
    } else {
        format!("`{program}`: {}", io_reason(error))
    }
}

/// What a confined program needs for its start and may not have. `inside` as everywhere.
pub(super) fn hidden(order: &Order, inside: bool) -> Option<Word> {
    let confinement = order.confinement.as_ref()?;
    let (program, cwd) = (&order.program, &order.cwd);
    let reason = if program.is_absolute() && !shows(confinement, program, inside) {
        format!("`{}` is not below what it may read and execute", program.display())
    } else if !shows(confinement, cwd, inside) {
        format!("its working folder `{}` is not below what it may read or write", cwd.display())
    } else {
        return None;
    };
    Some(Word::NotStarted { errno: Errno::ACCESS.raw_os_error(), reason })
}

pub(super) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}
