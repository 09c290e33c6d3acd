use std::{
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, ExitCode, Stdio},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, set_child_subreaper, setsid, wait},
};
use signal_hook::{consts::signal, low_level::pipe};

use super::{
    ExitCause, tree,
    wire::{Order, Report, TERMINATE, receive_order, send_report},
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
            send_report(io::stdin(), &Report::NotStarted { errno: error.raw_os_error().unwrap_or(0), reason });
            ExitCode::FAILURE
        }
    }
}

struct Sidecar {
    main: Pid,
    deaths: UnixStream,
    ended: Option<ExitCause>,
}

impl Sidecar {
    /// None when there is nothing to run: the host is gone, or the program cannot be started (and the host knows).
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
        let Some((order, stdin)) = receive_order(io::stdin())? else { return Ok(None) };
        match spawn(&order, stdin) {
            Ok(main) => {
                send_report(io::stdin(), &Report::Started { pid: main.as_raw_pid() });
                let_go_of_output()?;
                Ok(Some(Self { main, deaths, ended: None }))
            }
            Err(error) => {
                let report =
                    Report::NotStarted { errno: error.raw_os_error().unwrap_or(0), reason: why(&order, &error) };
                send_report(io::stdin(), &report);
                Ok(None)
            }
        }
    }

    fn run(mut self) -> ExitCode {
        while self.ended.is_none() && self.host_wants_more() {
            self.reap();
        }
        let began = Instant::now();
        loop {
            tree::kill_below(getpid().as_raw_pid());
            if self.reap() == Children::None {
                return ExitCode::SUCCESS;
            }
            if began.elapsed() > PATIENCE {
                return ExitCode::FAILURE;
            }
            self.wait_for_deaths(if began.elapsed() < Duration::from_secs(1) { 1 } else { 50 });
        }
    }

    /// Waits until something happens; false at the end of the lifeline.
    fn host_wants_more(&mut self) -> bool {
        let lifeline = io::stdin();
        let readable = {
            let mut events = [PollFd::new(&lifeline, PollFlags::IN), PollFd::new(&self.deaths, PollFlags::IN)];
            // EINTR comes with every death: the pipe tells the same.
            let _ = poll(&mut events, None);
            !events[0].revents().is_empty()
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
                    let below = tree::descendants(getpid().as_raw_pid());
                    below.into_iter().for_each(|pid| tree::signal(pid, Signal::TERM));
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
                Ok(Some((pid, status))) if pid == self.main && self.ended.is_none() => {
                    let cause = cause(status);
                    self.ended = Some(cause);
                    send_report(io::stdin(), &Report::Ended(cause));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Children::Some,
                Err(_) => return Children::None,
            }
        }
    }
}

/// Whether anything is left: what a subreaper has below it are its children, sooner or later.
#[derive(PartialEq)]
enum Children {
    None,
    Some,
}

fn spawn(order: &Order, stdin: Option<OwnedFd>) -> io::Result<Pid> {
    let sidecar = getpid();
    #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
    let mut command = Command::new(&order.program);
    command
        .args(&order.args)
        .env_clear()
        .envs(&order.env)
        .current_dir(&order.cwd)
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from));
    #[expect(unsafe_code, reason = "std has no other way to run code between fork and exec")]
    // SAFETY: the sidecar has one thread, so that between fork and exec no lock is held by anybody; `enter` makes system
    // calls only.
    unsafe {
        command.pre_exec(move || enter(sidecar))
    };
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process without an id"))
}

/// The last code of ours before the server's: runs in the forked child. Signal mask and SIGPIPE are reset by std, all other
/// handlers by exec.
fn enter(sidecar: Pid) -> io::Result<()> {
    setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(sidecar) {
        return Err(rustix::io::Errno::SRCH.into());
    }
    Ok(())
}

/// What the host inherited from its own client (and did not open itself) must not reach a server.
fn close_strangers_on_exec() {
    #[expect(unsafe_code, reason = "no crate wraps close_range")]
    // SAFETY: sets a flag on descriptors and closes none. A kernel before 5.11 refuses.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
}

/// Nobody would see the end of the server's output while the sidecar holds it, too.
fn let_go_of_output() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}

fn cause(status: WaitStatus) -> ExitCause {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitCause::Exited(code),
        (None, signal) => ExitCause::Signaled(signal.unwrap_or(0)),
    }
}

/// `exec` says "no such file" of three different files.
fn why(order: &Order, error: &io::Error) -> String {
    let (program, cwd) = (order.program.display(), order.cwd.display());
    if !order.cwd.is_dir() {
        format!("its working folder `{cwd}` does not exist")
    } else if error.kind() == io::ErrorKind::NotFound && order.program.exists() {
        format!("`{program}` needs an interpreter or a loader that does not exist")
    } else {
        format!("`{program}`: {}", io_reason(error))
    }
}

fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}
