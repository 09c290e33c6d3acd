//! How a sidecar starts its program inside bubblewrap's namespaces: bubblewrap makes them, and a fork of the sidecar goes
//! into them. A program of our own that did it from inside would have to be loaded there first, which takes longer than all
//! the rest.

use std::{
    fs::File,
    io::{self, Read, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, WaitOptions, waitpid},
};

use super::{
    Egress,
    sandbox::{Bubblewrap, Cgroup, Entry, Namespaces, Site, is_machine_root, open_gate, settle},
    start::{Down, Up, errno, hidden, io_reason, joining, spawn, why},
    tree,
    wire::{Order, Received, Report, Word, passage, send, tell},
};

/// How long bubblewrap, and then the program's start, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Namespaces that a program runs in, by their first process, and when that was started: its pid may be another's later.
pub(super) struct Inner {
    first: (i32, u64),
}

impl Inner {
    fn of(first: i32) -> Self {
        Self { first: (first, tree::stat(first).map_or(0, |stat| stat.started)) }
    }

    /// The first process, while it is there.
    pub(super) fn first(&self) -> Option<i32> {
        let (pid, started) = self.first;
        tree::stat(pid).filter(|stat| stat.started == started).map(|_| pid)
    }
}

/// Starts the program, with the sidecar's own stdout and stderr, and as a child of the sidecar. What can be done while
/// bubblewrap is at work is done then.
pub(super) fn start(
    bubblewrap: &Bubblewrap,
    order: Order,
    stdin: Option<OwnedFd>,
    cgroup: Option<&Cgroup>,
) -> Result<Up, Down> {
    let deadline = Instant::now() + PATIENCE;
    let (complaints, far_complaints) = io::pipe()?;
    let complained = || complained(bubblewrap, complaints.into());
    let making = bubblewrap.start(&order, far_complaints.into(), joining(cgroup)?).map_err(|error| {
        let reason = format!("`{}`: {}", bubblewrap.program.display(), io_reason(&error));
        Down::Told(Report::NotStarted { errno: errno(&error), reason })
    })?;
    let (near, passage) = passage()?;
    let capped = cgroup.map(|cgroup| cgroup.capped).unwrap_or_default();
    let site = Site { parent: None, inside: true, root: is_machine_root(), capped };
    let entry = Entry::new(&order, site, Some(passage.try_clone()?))?;
    let before = joining(cgroup)?;
    if !has_come(&making.made, deadline)? {
        return Err(complained());
    }
    let egress = order.confinement.as_ref().map_or(Egress::default(), |confinement| confinement.egress.clone());
    let namespaces = Namespaces::below(bubblewrap, making.outer, &egress)?;
    let Some(namespaces) = namespaces else { return Err(complained()) };
    let inner = Inner::of(namespaces.first);
    let visit = Visit { order, stdin, entry, namespaces, mounted: making.mounted, passage };
    let visitor = fork(|| visit.make(before))?;
    let up = follow(&near, deadline, inner)?.ok_or_else(complained)?;
    // Its child becomes ours with its end.
    let _ = waitpid(Some(visitor), WaitOptions::empty());
    Ok(up)
}

/// What a fork of the sidecar takes along into the namespaces.
struct Visit {
    order: Order,
    stdin: Option<OwnedFd>,
    entry: Entry,
    namespaces: Namespaces,
    mounted: UnixStream,
    passage: UnixStream,
}

impl Visit {
    /// `before` is run by the process that becomes the program.
    fn make(self, before: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
        let Ok(passage) = self.passage.try_clone() else { return };
        match self.start(before) {
            // bubblewrap failed, and says why itself.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                let reason = format!("its start inside namespaces failed: {error}");
                tell(passage, &Word::NotStarted { errno: errno(&error), reason });
            }
            Ok(()) => {}
        }
    }

    fn start(self, mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
        let Self { mut order, stdin, mut entry, namespaces, mounted, passage } = self;
        let confinement = order.confinement.take().unwrap_or_default();
        settle(&confinement.caps);
        namespaces.join()?;
        if matches!(confinement.egress, Egress::Gate(_)) {
            // Until then the network has no address.
            wait_for_mounts(&mounted)?;
        }
        let gate = open_gate(&confinement.egress, &mut order.env)?;
        gate.iter().try_for_each(|gate| entry.open(gate))?;
        order.confinement = Some(confinement);
        let namespaces = Arc::new(namespaces);
        let inside = Arc::clone(&namespaces);
        let before = move || {
            before()?;
            inside.join_cgroups()?;
            wait_for_mounts(&mounted)?;
            inside.join_files()
        };
        match spawn(&order, stdin, entry, before) {
            Ok(_) => send(passage, &Word::Started, gate.as_ref().map(AsFd::as_fd).as_slice())?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(error),
            Err(error) => {
                namespaces.join_files()?;
                let reason = || Word::NotStarted { errno: errno(&error), reason: why(&order, &error) };
                tell(passage, &hidden(&order, true).unwrap_or_else(reason));
            }
        }
        Ok(())
    }
}

/// None when the visit ended without a word.
fn follow(passage: &UnixStream, deadline: Instant, inner: Inner) -> Result<Option<Up>, Down> {
    let (mut received, mut entered) = (Received::default(), None);
    loop {
        match received.take().transpose()? {
            Some(Word::Entered(enforced)) => {
                let main = received.sender.and_then(Pid::from_raw);
                entered = main.map(|main| (main, enforced, received.descriptors.pop()));
            }
            Some(Word::Started) => {
                let gate = received.descriptors.pop();
                return Ok(entered.map(|(main, enforced, births)| Up {
                    main,
                    enforced,
                    gate,
                    births,
                    inner: Some(inner),
                }));
            }
            Some(Word::Refused(enforced)) => return Err(Down::Told(Report::Refused(enforced))),
            Some(Word::NotStarted { errno, reason }) => return Err(Down::Told(Report::NotStarted { errno, reason })),
            None if has_come(passage, deadline)? && received.read(passage)? => {}
            None => return Ok(None),
        }
    }
}

/// Whether something has come, or the end, before `deadline`.
fn has_come(socket: &UnixStream, deadline: Instant) -> Result<bool, Down> {
    let left = deadline.saturating_duration_since(Instant::now());
    let lifeline = stdin();
    let mut events = [PollFd::new(socket, PollFlags::IN), PollFd::new(&lifeline, PollFlags::IN)];
    let _ = poll(&mut events, Timespec::try_from(left).ok().as_ref());
    match events.map(|event| !event.revents().is_empty()) {
        [_, true] => Err(Down::Unwanted),
        [come, false] => Ok(come),
    }
}

/// Waits until everything is mounted. [`io::ErrorKind::ConnectionReset`] when it never will be.
fn wait_for_mounts(mut mounted: &UnixStream) -> io::Result<()> {
    // Nothing is ever written to it.
    mounted
        .read_exact(&mut [0])
        .map_or_else(|error| if error.kind() == io::ErrorKind::UnexpectedEof { Ok(()) } else { Err(error) }, Ok)
}

/// bubblewrap ended, or hangs, or what was inside said nothing.
fn complained(bubblewrap: &Bubblewrap, complaints: OwnedFd) -> Down {
    let mut text = [0; 2048];
    let _ = rustix::io::ioctl_fionbio(&complaints, true);
    let read = File::from(complaints).read(&mut text).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..read]);
    let line = text.lines().next().unwrap_or("it said nothing");
    let reason = format!("`{}` failed: {line}", bubblewrap.program.display());
    Down::Told(Report::NotStarted { errno: Errno::AGAIN.raw_os_error(), reason })
}

/// Forks; the child does `what`, and ends.
fn fork(what: impl FnOnce()) -> io::Result<Pid> {
    #[expect(unsafe_code, reason = "no crate wraps fork")]
    // SAFETY: the sidecar has one thread, so that the child is a whole copy of it, in which no lock is held by anybody. It
    // ends without coming back, and without what the sidecar would do at its end.
    unsafe {
        match libc::fork() {
            0 => {
                let _ = catch_unwind(AssertUnwindSafe(what));
                libc::_exit(0)
            }
            child => Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error),
        }
    }
}
