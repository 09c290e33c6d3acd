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
    io::{DupFlags, Errno, dup3},
    process::{Pid, Signal, WaitOptions, getpid, getppid, set_parent_process_death_signal, waitpid},
    stdio::dup2_stdin,
};

use super::{
    Egress,
    sandbox::{Bubblewrap, Cgroup, Entry, Namespaces, Site, is_machine_root, open_gate, settle},
    start::{Down, Inner, Up, errno, hidden, io_reason, joining, spawn, why},
    wire::{Order, Received, Report, Word, passage, send, tell},
};

/// How long bubblewrap, and then the program's start, may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut near = OwnedFd::from(near);
    let capped = cgroup.map(|cgroup| cgroup.capped).unwrap_or_default();
    let site = Site { parent: None, inside: true, root: is_machine_root(), capped };
    let entry = Entry::new(&order, site, Some(passage.try_clone()?))?;
    let before = joining(cgroup)?;
    if !has_come(&making.made, deadline)? {
        return Err(complained());
    }
    let egress = order.confinement.as_ref().map_or(&Egress::None, |confinement| &confinement.egress);
    let namespaces = match Namespaces::below(bubblewrap, making.outer, egress) {
        Ok(Some(namespaces)) => namespaces,
        Ok(None) => return Err(complained()),
        // Its child has ended.
        Err(error)
            if [Errno::NOENT, Errno::SRCH].map(|gone| Some(gone.raw_os_error())).contains(&error.raw_os_error()) =>
        {
            return Err(complained());
        }
        Err(error) => {
            return Err(Down::Told(Report::NotStarted {
                errno: Errno::AGAIN.raw_os_error(),
                reason: shut_out(&error),
            }));
        }
    };
    let inner = Inner::new(namespaces.first, making.lifeline);
    let visit = Visit { order, stdin, entry, namespaces, mounted: making.mounted.into(), passage };
    let sidecar = getpid();
    let visitor = fork(|| visit.make(sidecar, &mut near, before))?;
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
    mounted: Arc<UnixStream>,
    passage: UnixStream,
}

impl Visit {
    /// `before` is run by the process that becomes the program.
    fn make(self, sidecar: Pid, near: &mut OwnedFd, before: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
        let Ok(passage) = self.passage.try_clone() else { return };
        match leave_alone(sidecar, near).and_then(|()| self.start(before)) {
            // bubblewrap failed, and says why itself.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => {
                let reason = shut_out(&error);
                tell(passage, &Word::NotStarted { errno: Errno::AGAIN.raw_os_error(), reason });
            }
            Ok(()) => {}
        }
    }

    fn start(self, mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
        let Self { mut order, stdin, mut entry, namespaces, mounted, passage } = self;
        let confinement = order.confinement.take().unwrap_or_default();
        settle();
        namespaces.join()?;
        if matches!(confinement.egress, Egress::Gate(_)) {
            // Until then the network has no address.
            wait_for_mounts(&mounted)?;
        }
        let gate = open_gate(&confinement.egress, &mut order.env)?;
        gate.iter().try_for_each(|gate| entry.open(gate))?;
        order.confinement = Some(confinement);
        if let Some(word) = hidden(&order, true) {
            tell(passage, &word);
            return Ok(());
        }
        let namespaces = Arc::new(namespaces);
        let (inside, all) = (Arc::clone(&namespaces), Arc::clone(&mounted));
        let before = move || {
            before()?;
            inside.join_cgroups()?;
            wait_for_mounts(&all)?;
            inside.join_files()
        };
        match spawn(&order, stdin, entry, before) {
            Ok(_) => send(passage, &Word::Started, gate.as_ref().map(AsFd::as_fd).as_slice())?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(error),
            Err(error) => {
                // Nobody starts anything in what bubblewrap has left: that may be the error.
                wait_for_mounts(&mounted)?;
                namespaces.join_files()?;
                let reason = || Word::NotStarted { errno: errno(&error), reason: why(&order, &error) };
                // Once more: what there is outside may be hidden here.
                tell(passage, &hidden(&order, true).unwrap_or_else(reason));
            }
        }
        Ok(())
    }
}

/// Has a fork hold nothing of its sidecar by which others see the sidecar's end, and end with it.
fn leave_alone(sidecar: Pid, near: &mut OwnedFd) -> io::Result<()> {
    let null = File::open("/dev/null")?;
    dup2_stdin(&null)?;
    dup3(&null, near, DupFlags::CLOEXEC)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(sidecar) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// Namespaces are there and cannot be used, for now or for ever.
fn shut_out(error: &io::Error) -> String {
    format!("its start inside namespaces failed: {error}")
}

/// None when the visit ended without a word.
fn follow(passage: &OwnedFd, deadline: Instant, inner: Inner) -> Result<Option<Up>, Down> {
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
fn has_come(socket: impl AsFd, deadline: Instant) -> Result<bool, Down> {
    let lifeline = stdin();
    let mut events = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&lifeline, PollFlags::IN)];
    // A signal that the sidecar shrugs off is no end.
    while poll(&mut events, Timespec::try_from(deadline.saturating_duration_since(Instant::now())).ok().as_ref())
        == Err(Errno::INTR)
    {}
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
