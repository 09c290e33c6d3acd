use std::{
    io::{self, Read, stdin},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper, setsid, wait},
};
use signal_hook::{consts::signal, low_level::pipe};

use super::{
    Confinement, ExitCause,
    descriptors::{close_strangers_on_exec, let_go_of_output},
    inside,
    sandbox::{Births, Cgroup, Watchdog, hurry, stay_awake},
    start::{self, Down, Inner, errno},
    status::{Circumstances, cause, explain, oom_kills},
    tree::{self, Roots},
    wire::{Order, Received, Report, TERMINATE, send, tell},
};

/// How long the sidecar goes on killing what cannot be killed (a disk or an NFS server that hangs).
const PATIENCE: Duration = Duration::from_secs(10);

/// Handled by doing nothing: no terminal and no service manager ends the sidecar before its tree. A handler rather than
/// "ignore", since exec resets a handled signal and passes an ignored one on to the server.
const SHRUGGED_OFF: [i32; 12] = [
    signal::SIGINT,
    signal::SIGTERM,
    signal::SIGHUP,
    signal::SIGQUIT,
    signal::SIGALRM,
    signal::SIGUSR1,
    signal::SIGUSR2,
    signal::SIGTSTP,
    signal::SIGTTIN,
    signal::SIGTTOU,
    signal::SIGXCPU,
    signal::SIGXFSZ,
];

/// The process between the host and a server (`perennial __run`): starts the server, and lets nothing of it survive the
/// server's main process, the host, or the host's wish.
///
/// Descriptor 0 is the lifeline to the host, 1 and 2 are the server's stdout and stderr. To be called first thing, in a
/// process with one thread.
pub fn run_sidecar() -> ExitCode {
    match Sidecar::start() {
        Ok(Some(sidecar)) => sidecar.run(),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = format!("the sidecar failed: {error}");
            tell(stdin(), &Report::NotStarted { errno: errno(&error), reason });
            ExitCode::FAILURE
        }
    }
}

struct Sidecar {
    /// None when nothing runs and only what may be left is to be ended.
    main: Option<Pid>,
    confinement: Option<Confinement>,
    inner: Option<Inner>,
    cgroup: Option<Cgroup>,
    births: Option<Births>,
    watchdog: Option<Watchdog>,
    deaths: UnixStream,
    /// What the kernel had killed for want of memory when the program started.
    oom_kills: Option<u64>,
    ended: Option<ExitCause>,
}

impl Sidecar {
    /// None when the host is gone before it said what to start.
    fn start() -> io::Result<Option<Self>> {
        let _ = setsid();
        set_child_subreaper(Some(getpid()))?;
        close_strangers_on_exec();
        let (deaths, wake) = UnixStream::pair()?;
        deaths.set_nonblocking(true)?;
        pipe::register(signal::SIGCHLD, wake)?;
        let ignored = Arc::new(AtomicBool::new(false));
        for signal in SHRUGGED_OFF {
            signal_hook::flag::register(signal, Arc::clone(&ignored))?;
        }
        let mut received = Received::default();
        let Some(mut order) = received.wait::<Order>(stdin())? else { return Ok(None) };
        let program_stdin = received.descriptors.pop();
        let confinement = order.confinement.clone();
        let caps = confinement.as_ref().map(|confinement| confinement.caps);
        let cgroup = order.ground.cgroup.as_ref().zip(caps).and_then(|(base, caps)| Cgroup::create(base, &caps));
        let oom_kills = confinement.as_ref().and_then(|_| oom_kills());
        let up = match order.ground.bubblewrap.clone().filter(|_| confinement.is_some()) {
            Some(bubblewrap) => inside::start(&bubblewrap, order, program_stdin, cgroup.as_ref()),
            None => start::plain(&mut order, program_stdin, cgroup.as_ref()),
        };
        let mut sidecar = Self {
            main: None,
            confinement,
            inner: None,
            cgroup,
            births: None,
            watchdog: None,
            deaths,
            oom_kills,
            ended: None,
        };
        match up {
            Ok(up) => {
                let report = Report::Started { pid: up.main.as_raw_pid(), enforced: up.enforced };
                // A host that is gone shows in its lifeline.
                let _ = send(stdin(), &report, up.gate.as_ref().map(AsFd::as_fd).as_slice());
                let_go_of_output()?;
                sidecar.main = Some(up.main);
                sidecar.inner = up.inner;
                sidecar.births = up.births.and_then(|listener| sidecar.count_births(listener));
                sidecar.watchdog = sidecar.watch_over();
                if sidecar.watchdog.is_some() {
                    stay_awake();
                }
            }
            Err(Down::Told(report)) => tell(stdin(), &report),
            Err(Down::Unwanted) => {}
        }
        Ok(Some(sidecar))
    }

    fn count_births(&self, listener: OwnedFd) -> Option<Births> {
        Some(Births::new(listener, self.roots()?, self.confinement.as_ref()?.caps.pids?))
    }

    fn watch_over(&self) -> Option<Watchdog> {
        let confinement = self.confinement.as_ref()?;
        let mut capped = self.cgroup.as_ref().map(|cgroup| cgroup.capped).unwrap_or_default();
        capped.pids |= self.births.is_some();
        Watchdog::new(self.roots()?, confinement, capped)
    }

    /// Where the server's processes are; none when their namespaces are gone with all of them.
    fn roots(&self) -> Option<Roots> {
        let main = self.main?.as_raw_pid();
        match &self.inner {
            Some(inner) => Some(Roots::Inside { main, first: inner.first()? }),
            None => Some(Roots::Below(getpid().as_raw_pid())),
        }
    }

    fn run(mut self) -> ExitCode {
        while self.main.is_some() && self.ended.is_none() && self.host_wants_more() {
            self.births.as_mut().map(Births::answer);
            self.reap();
            if let Some(breach) = self.watchdog.as_mut().and_then(Watchdog::look)
                && self.ended.is_none()
            {
                self.end(breach);
            }
        }
        let began = Instant::now();
        if self.confinement.is_some() {
            hurry();
        }
        loop {
            self.kill(began.elapsed());
            if self.reap() == Children::None {
                return ExitCode::SUCCESS;
            }
            if began.elapsed() > PATIENCE {
                return ExitCode::FAILURE;
            }
            self.wait_for_deaths(if began.elapsed() < Duration::from_secs(1) { 1 } else { 50 });
        }
    }

    /// Everything, `since` the first time. Of namespaces and of a cgroup the kernel kills all at once, and a walk would only
    /// keep the dying from the processor; what it leaves is found by its parents.
    fn kill(&self, since: Duration) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        if let Some(first) = self.inner.as_ref().and_then(Inner::first) {
            tree::signal(first, Signal::KILL);
            if since < Duration::from_millis(500) {
                return;
            }
        }
        tree::kill_below(getpid().as_raw_pid());
    }

    /// Waits until something happens; false at the end of the lifeline.
    fn host_wants_more(&mut self) -> bool {
        let lifeline = stdin();
        let rest = self.births.as_ref().and_then(Births::rest);
        let timeout = self.watchdog.as_ref().map(Watchdog::wait).into_iter().chain(rest).min();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let readable = {
            let mut events = vec![PollFd::new(&lifeline, PollFlags::IN), PollFd::new(&self.deaths, PollFlags::IN)];
            let births = self.births.as_ref().and_then(Births::asks);
            if let Some(births) = &births {
                events.push(PollFd::new(births, PollFlags::IN));
            }
            // EINTR comes with every death: the pipe tells the same.
            match poll(&mut events, timeout.as_ref()) {
                Ok(1..) => !events[0].revents().is_empty(),
                _ => false,
            }
        };
        self.drain_deaths();
        if !readable {
            return true;
        }
        let mut commands = [0; 16];
        match rustix::io::read(&lifeline, &mut commands) {
            Ok(0) => false,
            Ok(read) => {
                if commands[..read].contains(&TERMINATE) {
                    let theirs = self.roots().map(Roots::descendants).into_iter().flatten();
                    theirs.for_each(|pid| tree::signal(pid, Signal::TERM));
                }
                true
            }
            Err(error) => error == rustix::io::Errno::INTR,
        }
    }

    fn wait_for_deaths(&mut self, millis: i64) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: millis * 1_000_000 };
        let _ = poll(&mut [PollFd::new(&self.deaths, PollFlags::IN)], Some(&timeout));
        self.drain_deaths();
    }

    fn drain_deaths(&mut self) {
        let mut bytes = [0; 64];
        while matches!((&self.deaths).read(&mut bytes), Ok(1..)) {}
    }

    /// Takes every status there is; the main process' one is told to the host at once.
    fn reap(&mut self) -> Children {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main => self.end(cause(status)),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Children::Some,
                Err(_) => return Children::None,
            }
        }
    }

    /// The first cause counts.
    fn end(&mut self, cause: ExitCause) {
        if self.ended.is_some() {
            return;
        }
        let cgroup = self.cgroup.as_ref();
        let seen = Circumstances {
            out_of_memory: cgroup.is_some_and(Cgroup::ran_out_of_memory)
                || self.oom_kills.is_some_and(|before| oom_kills().is_some_and(|now| now > before)),
            out_of_processes: cgroup.is_some_and(Cgroup::ran_out_of_processes)
                || self.births.as_ref().is_some_and(Births::refused),
        };
        let cause = explain(cause, self.confinement.as_ref(), seen);
        self.ended = Some(cause);
        tell(stdin(), &Report::Ended(cause));
    }
}

/// Whether anything is left: what a subreaper has below it are its children, sooner or later.
#[derive(PartialEq)]
enum Children {
    None,
    Some,
}
