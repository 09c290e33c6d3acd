//! How a sidecar starts its program: forked at once, or by an entry inside bubblewrap's namespaces.

use std::{
    fs::File,
    io::{self, Read, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, getpid},
};

use super::{
    Enforced,
    sandbox::{Bubblewrap, Cgroup, Entry, Site, open_gate, shows},
    tree,
    wire::{Order, Received, Report, Word, passage, send},
};

/// How long an entry may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that runs.
pub(super) struct Up {
    pub(super) main: Pid,
    pub(super) enforced: Enforced,
    pub(super) gate: Option<OwnedFd>,
    /// Where the kernel asks before the program starts a process.
    pub(super) births: Option<OwnedFd>,
    pub(super) inner: Option<Inner>,
}

/// Namespaces that a program runs in.
pub(super) struct Inner {
    /// bubblewrap itself, a child of the sidecar.
    pub(super) outer: Pid,
    /// Their first process, the parent of the program, and when it was started: its pid may be another's later.
    first: (i32, u64),
    pub(super) passage: UnixStream,
    pub(super) received: Received,
}

/// Why no program runs.
pub(super) enum Down {
    /// To be told to the host.
    Told(Report),
    /// The host is gone, or wants no more.
    Unwanted,
}

impl Inner {
    pub(super) fn new(outer: Pid, first: i32, passage: UnixStream) -> Self {
        let started = tree::stat(first).map_or(0, |stat| stat.started);
        Self { outer, first: (first, started), passage, received: Received::default() }
    }

    /// The first process, while it is there.
    pub(super) fn first(&self) -> Option<i32> {
        let (pid, started) = self.first;
        tree::stat(pid).filter(|stat| stat.started == started).map(|_| pid)
    }
}

/// Where a program's stdin, stdout and stderr lead.
pub(super) struct Channels {
    pub(super) stdin: Stdio,
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
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
    let site = Site { parent: getpid(), inside: false, capped, gate: gate.as_ref() };
    let (near, far) = ends.take().unzip();
    let entry = Entry::new(order, &site, far)?;
    let channels = Channels {
        stdin: stdin.map_or_else(Stdio::null, Stdio::from),
        stdout: Stdio::inherit(),
        stderr: Stdio::inherit(),
    };
    let spawned = spawn(order, channels, entry, joining(cgroup));
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

/// Has bubblewrap start an entry, which forks the program.
pub(super) fn inside(
    bubblewrap: &Bubblewrap,
    order: &mut Order,
    program_stdin: Option<OwnedFd>,
    cgroup: Option<&Cgroup>,
) -> Result<Up, Down> {
    let (near, far) = passage()?;
    let (complaints, far_complaints) = io::pipe()?;
    order.ground.capped = cgroup.map(|cgroup| cgroup.capped).unwrap_or_default();
    let confinement = order.confinement.clone().unwrap_or_default();
    let far = Stdio::from(OwnedFd::from(far));
    let child =
        bubblewrap.start(order, &confinement, far, far_complaints.into(), joining(cgroup)).map_err(|error| {
            let reason = format!("`{}`: {}", bubblewrap.program.display(), io_reason(&error));
            Down::Told(Report::NotStarted { errno: errno(&error), reason })
        })?;
    let outer = Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without an id"))?;
    let program_stdin = program_stdin.map_or_else(|| File::open("/dev/null").map(OwnedFd::from), Ok)?;
    near.set_write_timeout(Some(PATIENCE))?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    if send(&near, order, &[program_stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]).is_err() {
        return Err(complained(bubblewrap, complaints.into()));
    }
    drop(program_stdin);
    await_entry(near, outer, || complained(bubblewrap, complaints.into()))
}

fn await_entry(passage: UnixStream, outer: Pid, complained: impl FnOnce() -> Down) -> Result<Up, Down> {
    let deadline = Instant::now() + PATIENCE;
    let (mut received, mut entered) = (Received::default(), None);
    loop {
        match received.take().transpose()? {
            Some(Word::Entered(enforced)) => {
                let main = received.sender.and_then(Pid::from_raw);
                entered = main.map(|main| (main, enforced, received.descriptors.pop()));
                continue;
            }
            Some(Word::Started) => {
                let Some((main, enforced, births)) = entered else { return Err(complained()) };
                let first = tree::stat(main.as_raw_pid()).map_or(0, |stat| stat.parent);
                let gate = received.descriptors.pop();
                let inner = Some(Inner { received, ..Inner::new(outer, first, passage) });
                return Ok(Up { main, enforced, gate, births, inner });
            }
            Some(Word::Refused(enforced)) => return Err(Down::Told(Report::Refused(enforced))),
            Some(Word::NotStarted { errno, reason }) => {
                return Err(Down::Told(Report::NotStarted { errno, reason }));
            }
            Some(Word::Ended(_)) => return Err(complained()),
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let lifeline = stdin();
        let mut events = [PollFd::new(&passage, PollFlags::IN), PollFd::new(&lifeline, PollFlags::IN)];
        let _ = poll(&mut events, Timespec::try_from(left).ok().as_ref());
        if !events[1].revents().is_empty() {
            return Err(Down::Unwanted);
        }
        let ready = !events[0].revents().is_empty();
        if left.is_zero() || (ready && !received.read(&passage)?) {
            return Err(complained());
        }
    }
}

/// bubblewrap ended, or hangs, before its entry said anything.
fn complained(bubblewrap: &Bubblewrap, complaints: OwnedFd) -> Down {
    let mut text = [0; 2048];
    let _ = rustix::io::ioctl_fionbio(&complaints, true);
    let read = File::from(complaints).read(&mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..read]);
    let line = text.lines().next().unwrap_or("it said nothing");
    let reason = format!("`{}` failed: {line}", bubblewrap.program.display());
    Down::Told(Report::NotStarted { errno: Errno::AGAIN.raw_os_error(), reason })
}

fn joining(cgroup: Option<&Cgroup>) -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    let door = cgroup.map(Cgroup::door);
    move || door.as_ref().map_or(Ok(()), |door| std::fs::write(door, "0"))
}

/// Forks, runs `before` and the entry in the child, and has it become the program.
pub(super) fn spawn(
    order: &Order,
    channels: Channels,
    entry: Entry,
    mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Pid> {
    #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
    let mut command = Command::new(&order.program);
    command
        .args(&order.args)
        .env_clear()
        .envs(&order.env)
        .current_dir(&order.cwd)
        .stdin(channels.stdin)
        .stdout(channels.stdout)
        .stderr(channels.stderr);
    #[expect(unsafe_code, reason = "std has no other way to run code between fork and exec")]
    // SAFETY: the caller has one thread, so that between fork and exec no lock is held by anybody.
    unsafe {
        command.pre_exec(move || {
            before()?;
            entry.enter()
        })
    };
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without an id"))
}

/// What the host inherited from its own client (and did not open itself) must not reach a server.
pub(super) fn close_strangers_on_exec() {
    #[expect(unsafe_code, reason = "no crate wraps close_range")]
    // SAFETY: sets a flag on descriptors and closes none. A kernel before 5.11 refuses.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
}

/// Nobody would see the end of the program's output while its parent holds it, too.
pub(super) fn let_go_of_output() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
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

fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}
