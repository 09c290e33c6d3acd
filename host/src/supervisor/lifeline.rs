//! The host's end of a sidecar.

use std::{
    any::Any,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use perennial_sdk::{Error, ErrorCode, Result};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
    time::{sleep_until, timeout},
};

use super::{
    Confinement, Egress, Enforced, Exit, ExitCause, Gatekeeper, Ground, Process, ProcessSpec, Ring,
    leftovers::Leftovers,
    orphans::{self, Sidecar},
    process::{Shared, Wish},
    wire::{Order, Received, Report, TERMINATE, send},
};

/// After this long of killing, the sidecar itself is killed and the host goes on in its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the last of stderr may take when nobody is left to write any.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);

/// Where the child's stdin leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdin {
    Pipe,
    Null,
}

pub(super) struct Started {
    pub(super) process: Process,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) watch: Watch,
}

/// Follows one tree to its end; dropped, it leaves the tree to the sidecar, which then sees the end of its lifeline.
pub(super) struct Watch {
    reports: Reports,
    commands: Option<OwnedWriteHalf>,
    wish: watch::Receiver<Wish>,
    sidecar: Sidecar,
    started_at: Instant,
    exit: watch::Sender<Option<Exit>>,
    /// What keeps the gate; dropped when nobody is left to come to it.
    gate: Option<Box<dyn Any + Send + Sync>>,
}

/// What the sidecar says.
struct Reports {
    socket: OwnedReadHalf,
    received: Received,
}

/// Descriptors and process of a sidecar that has its order.
struct Raw {
    lifeline: UnixStream,
    sidecar: Sidecar,
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

pub(super) async fn start(
    program: PathBuf,
    leftovers: Arc<Leftovers>,
    spec: ProcessSpec,
    stdin: Stdin,
    ground: Ground,
) -> Result<Started> {
    let label = spec.label.clone();
    let failed = |error: io::Error| {
        Error::unavailable(format!("`{label}` could not be started: {error}"))
            .hint("stop servers that are not needed, or raise the host's limits of processes and open files")
    };
    let keeper = keeper(spec.confinement.as_ref());
    let without = ground.without.clone();
    let mut raw = tokio::task::spawn_blocking(move || launch(&program, &leftovers, spec, stdin, ground))
        .await?
        .map_err(failed)?;
    let started_at = Instant::now();
    let (socket, commands) = tokio::net::UnixStream::from_std(raw.lifeline).map_err(failed)?.into_split();
    let mut reports = Reports { socket, received: Received::default() };
    let (pid, enforced) = match reports.next().await {
        Some(Report::Started { pid, enforced }) => (pid, enforced),
        report => {
            if !raw.sidecar.gone(Instant::now() + PATIENCE).await {
                orphans::end().await;
            }
            return Err(match report {
                Some(Report::NotStarted { errno, reason }) => {
                    Error::new(code(errno), format!("`{label}` could not be started: {reason}"))
                }
                Some(Report::Refused(enforced)) => refused(&label, &enforced, without),
                _ => Error::unavailable(format!("`{label}` could not be started: its sidecar ended")),
            });
        }
    };
    let gate = match (reports.received.descriptors.pop(), keeper) {
        (Some(socket), Some(keeper)) => Some(open(socket, &keeper).map_err(failed)?),
        _ => None,
    };
    let (wish, wishes) = watch::channel(Wish::Run);
    let (exit, exits) = watch::channel(None);
    let shared = Shared { pid, started_at, wish, exit: exits, stderr: Ring::default(), enforced };
    let process = Process { shared: Arc::new(shared) };
    let watch = Watch { reports, commands: Some(commands), wish: wishes, sidecar: raw.sidecar, started_at, exit, gate };
    Ok(Started { process, stdin: raw.stdin, stdout: raw.stdout, stderr: raw.stderr, watch })
}

fn keeper(confinement: Option<&Confinement>) -> Option<Gatekeeper> {
    match &confinement?.egress {
        Egress::Gate(gate) => Some(gate.keeper.clone()),
        Egress::None | Egress::All => None,
    }
}

fn open(socket: OwnedFd, keeper: &Gatekeeper) -> io::Result<Box<dyn Any + Send + Sync>> {
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok((keeper.0)(listener))
}

/// What strictness asks for and this machine has not.
fn refused(label: &str, enforced: &Enforced, without: Option<String>) -> Error {
    let broken: Vec<String> = enforced.broken().map(ToString::to_string).collect();
    let namespaces = without.map_or_else(String::new, |reason| format!(" ({reason})"));
    Error::new(
        ErrorCode::Denied,
        format!("`{label}` is not started: this machine cannot confine it wholly: {}", broken.join("; ")),
    )
    .hint(format!(
        "install bubblewrap and let it make namespaces{namespaces}, use Linux 6.12 or newer with Landlock, or set \
         `policy.sandbox = \"best-effort\"`"
    ))
}

impl Watch {
    /// Goes on in the background; `drained` is whoever reads stderr.
    pub(super) fn spawn(self, drained: Option<JoinHandle<()>>) {
        tokio::spawn(self.follow(drained));
    }

    async fn follow(mut self, drained: Option<JoinHandle<()>>) {
        let mut deadline = None;
        let cause = self.until_ended(&mut deadline).await;
        self.commands = None;
        let orderly = self.sidecar.gone(deadline.unwrap_or_else(|| Instant::now() + PATIENCE)).await;
        if cause.is_none() || !orderly {
            orphans::end().await;
        }
        if let Some(drained) = drained {
            let _ = timeout(LAST_WORDS, drained).await;
        }
        self.gate = None;
        let cause = cause.unwrap_or(ExitCause::SidecarKilled);
        self.exit.send_replace(Some(Exit { cause, after: self.started_at.elapsed() }));
    }

    /// None when the sidecar ended without a word. `deadline` is set when the tree is to be killed.
    async fn until_ended(&mut self, deadline: &mut Option<Instant>) -> Option<ExitCause> {
        loop {
            tokio::select! {
                report = self.reports.next() => return match report {
                    Some(Report::Ended(_)) if self.was_wished() => Some(ExitCause::Stopped),
                    Some(Report::Ended(cause)) => Some(cause),
                    _ if deadline.is_some() => Some(ExitCause::Stopped),
                    _ => None,
                },
                wish = wished(&mut self.wish), if deadline.is_none() => match wish {
                    Wish::Run | Wish::End => {}
                    Wish::Terminate => {
                        if let Some(commands) = &mut self.commands {
                            let _ = commands.write_all(&[TERMINATE]).await;
                        }
                    }
                    Wish::Kill => {
                        self.commands = None;
                        *deadline = Some(Instant::now() + PATIENCE);
                    }
                },
                () = until(*deadline) => return Some(ExitCause::Stopped),
            }
        }
    }

    fn was_wished(&self) -> bool {
        self.wish.has_changed().is_err() || *self.wish.borrow() != Wish::Run
    }
}

/// The next wish; none left to wish for anything means that nobody wants the tree.
async fn wished(wish: &mut watch::Receiver<Wish>) -> Wish {
    match wish.changed().await {
        Ok(()) => *wish.borrow_and_update(),
        Err(_) => Wish::Kill,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl Reports {
    /// None at the end, and for what cannot be understood. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.received.take() {
                return report.ok();
            }
            self.socket.readable().await.ok()?;
            let socket: &tokio::net::UnixStream = self.socket.as_ref();
            match socket.try_io(Interest::READABLE, || self.received.read(socket)) {
                Ok(true) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(false) | Err(_) => return None,
            }
        }
    }
}

fn launch(program: &Path, leftovers: &Leftovers, spec: ProcessSpec, stdin: Stdin, ground: Ground) -> io::Result<Raw> {
    let (lifeline, far_lifeline) = UnixStream::pair()?;
    let (stdout, far_stdout) = io::pipe()?;
    let (stderr, far_stderr) = io::pipe()?;
    let (far_stdin, stdin) = match stdin {
        Stdin::Pipe => io::pipe().map(|(reader, writer)| (Some(reader), Some(writer)))?,
        Stdin::Null => (None, None),
    };
    let mut env = spec.env;
    env.insert(ProcessSpec::MARK.into(), leftovers.mark().into());
    let ProcessSpec { program: wanted, args, cwd, confinement, .. } = spec;
    // No `pre_exec`, folder, user or group: std then uses posix_spawn, and the host is not forked.
    #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
    let mut command = Command::new(program);
    command
        .arg0("perennial")
        .arg("__run")
        .arg(spec.label.replace('\0', ""))
        .env_clear()
        .env(ProcessSpec::MARK, leftovers.mark())
        .stdin(Stdio::from(OwnedFd::from(far_lifeline)))
        .stdout(Stdio::from(far_stdout))
        .stderr(Stdio::from(far_stderr));
    let sidecar = Sidecar::spawn(&mut command)?;
    drop(command);
    leftovers.record(sidecar.pid());
    // Looked up here while the sidecar is being loaded, which takes longer.
    let around = match (&confinement, &ground.bubblewrap) {
        (Some(confinement), Some(bubblewrap)) => bubblewrap.arguments(confinement, ground.landlock != Some(0))?,
        _ => Vec::new(),
    };
    let order = Order { program: wanted, args, env, cwd, confinement, ground, around };
    lifeline.set_write_timeout(Some(Duration::from_secs(5)))?;
    send(&lifeline, &order, far_stdin.as_ref().map(AsFd::as_fd).as_slice())?;
    lifeline.set_nonblocking(true)?;
    Ok(Raw { lifeline, sidecar, stdin: stdin.map(OwnedFd::from), stdout: stdout.into(), stderr: stderr.into() })
}

fn code(errno: i32) -> ErrorCode {
    match io::Error::from_raw_os_error(errno).kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorCode::NotFound,
        io::ErrorKind::PermissionDenied => ErrorCode::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => ErrorCode::Unavailable,
        _ => ErrorCode::Invalid,
    }
}
