//! Process trees that misbehave, each ended in every way. The sidecar is the built `perennial` beside the test program:
//! `cargo test -p perennial` builds it, `cargo test --lib` alone does not.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use perennial_sdk::{Cx, ErrorCode};
use rstest::rstest;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::watch,
    time::{sleep, timeout},
};

use super::*;

mod bounds;
mod denials;
mod ends;
mod gates;
mod starts;
mod ways;

const WELL_BEHAVED: &str = "echo up; exec cat";
const DEAF: &str = "trap '' TERM INT HUP; echo up; while :; do sleep 1000; done";
const GRANDCHILD: &str = "sleep 1000 & echo up; wait";
const OTHER_SESSION: &str = "setsid sleep 1000 & echo up; wait";
const DAEMON: &str = "(setsid sh -c '(sleep 1000 &)' &); echo up; sleep 1000";
const BUSY: &str = "echo up; while :; do :; done";
const FORKING: &str = "echo up; while :; do sleep 1000 & done";

#[rstest]
#[tokio::test]
async fn nothing_is_left(
    #[values(WELL_BEHAVED, DEAF, GRANDCHILD, OTHER_SESSION, DAEMON, BUSY, FORKING)] script: &str,
    #[values(End::Kill, End::Stop, End::Drop, End::MainKilled, End::SidecarKilled)] end: End,
) {
    let host = TestHost::new();
    let child = host.up(script).await;
    let exit = match end {
        End::Kill => {
            child.process.kill();
            Some(child.process.exited().await)
        }
        End::Stop => {
            drop(child.stdin);
            let grace = StopGrace { eof: Duration::from_millis(20), term: Duration::from_millis(20) };
            Some(child.process.stop(grace).await)
        }
        End::Drop => {
            drop(child);
            None
        }
        End::MainKilled => {
            tree::signal(child.process.pid(), Signal::KILL);
            Some(child.process.exited().await)
        }
        End::SidecarKilled => {
            tree::signal(tree::stat(child.process.pid()).unwrap().parent, Signal::KILL);
            Some(child.process.exited().await)
        }
    };
    let cause = match end {
        End::Kill | End::Stop => Some(ExitCause::Stopped),
        End::Drop => None,
        End::MainKilled => Some(ExitCause::Signaled(9)),
        End::SidecarKilled => Some(ExitCause::SidecarKilled),
    };
    assert_eq!(exit.map(|exit| exit.cause), cause);
    if end == End::Drop {
        eventually("nothing runs", || host.running().is_empty()).await;
    }
    assert_eq!(host.running(), BTreeSet::new());
}

#[rstest]
#[case::code("exit 3", ExitCause::Exited(3))]
#[case::signal("kill -SEGV $$", ExitCause::Signaled(11))]
#[case::daemon_left_behind("(setsid sleep 1000 &); exit 0", ExitCause::Exited(0))]
#[case::closes_stdout_early("exec >&-; exit 4", ExitCause::Exited(4))]
#[tokio::test]
async fn the_cause_is_told_to_every_waiter(#[case] script: &str, #[case] cause: ExitCause) {
    let host = TestHost::new();
    let child = host.supervisor.spawn(host.shell(script)).await.unwrap();
    let (one, other) = tokio::join!(child.process.exited(), child.process.exited());
    assert_eq!((one.cause, other.cause, child.process.exit().unwrap().cause), (cause, cause, cause));
    assert_eq!(host.running(), BTreeSet::new());
}

#[tokio::test]
async fn speaks_through_pipes_and_keeps_stderr() {
    let host = TestHost::new();
    let mut child =
        host.supervisor.spawn(host.shell("echo oops >&2; printf 'no newline' >&2; exec cat")).await.unwrap();
    child.stdin.write_all(b"hello\n").await.unwrap();
    let mut line = [0; 6];
    child.stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"hello\n");
    drop(child.stdin);
    let mut rest = Vec::new();
    child.stdout.read_to_end(&mut rest).await.unwrap();
    assert_eq!(child.process.exited().await.cause, ExitCause::Exited(0));
    assert_eq!(child.process.stderr_tail(10), "oops\nno newline");
}

#[rstest]
#[case::program("/nonexistent/python3", "/", ErrorCode::NotFound, "`/nonexistent/python3`: no such file or directory")]
#[case::not_executable("/dev/null", "/", ErrorCode::Denied, "`/dev/null`: permission denied")]
#[case::folder("/bin/sh", "/nonexistent", ErrorCode::NotFound, "its working folder `/nonexistent` does not exist")]
#[tokio::test]
async fn a_program_that_cannot_start_is_an_error(
    #[case] program: &str,
    #[case] cwd: &str,
    #[case] code: ErrorCode,
    #[case] reason: &str,
) {
    let host = TestHost::new();
    let spec = ProcessSpec { program: program.into(), cwd: cwd.into(), ..host.shell("") };
    let error = host.supervisor.spawn(spec).await.unwrap_err();
    assert_eq!((error.code, error.message), (code, format!("`test` could not be started: {reason}")));
}

#[tokio::test]
async fn a_script_without_its_interpreter_says_so() {
    let host = TestHost::new();
    let script = host.folder.path().join("script");
    fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let error = host.supervisor.spawn(ProcessSpec { program: script, ..host.shell("") }).await.unwrap_err();
    assert!(error.message.ends_with("needs an interpreter or a loader that does not exist"), "{error}");
}

#[tokio::test]
async fn a_server_gets_its_environment_three_descriptors_and_clean_signals() {
    let host = TestHost::new();
    let stray = rustix::io::dup(fs::File::open("/dev/null").unwrap()).unwrap();
    let spec = ProcessSpec { env: [("ONLY".into(), "this".into())].into(), ..host.shell("echo up; read line") };
    let child = host.up_with(spec).await;
    let proc = PathBuf::from(format!("/proc/{}", child.process.pid()));
    let descriptors: BTreeSet<_> = fs::read_dir(proc.join("fd")).unwrap().map(|fd| fd.unwrap().file_name()).collect();
    assert_eq!(descriptors, ["0", "1", "2"].map(Into::into).into());
    let mark = format!("PERENNIAL_HOST={}\0", host.supervisor.leftovers.mark());
    assert_eq!(fs::read_to_string(proc.join("environ")).unwrap(), format!("ONLY=this\0{mark}"));
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let masks = status.lines().filter_map(|line| line.strip_prefix("SigBlk:").or(line.strip_prefix("SigIgn:")));
    // The 32nd and 33rd belong to libc, which lets nobody reset them.
    let named = masks.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 0x7fff_ffff);
    assert_eq!(named.collect::<Vec<_>>(), [0, 0]);
    drop(stray);
}

#[tokio::test]
async fn an_endless_stderr_is_held_back_and_forgotten() {
    let host = TestHost::new();
    let script = "echo up; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done";
    let child = host.up(script).await;
    eventually("it wrote a lot", || child.process.stderr().total() > 5000).await;
    assert!(child.process.stderr_tail(usize::MAX).len() < 80 * 1024);
    child.process.kill();
    assert_eq!(child.process.exited().await.cause, ExitCause::Stopped);
}

#[tokio::test]
async fn a_polite_server_ends_by_the_end_of_its_stdin() {
    let host = TestHost::new();
    let child = host.up("trap 'echo terminated >&2' TERM; echo up; cat; echo saved >&2").await;
    drop(child.stdin);
    let exit = child.process.stop(StopGrace::lasting(Duration::from_secs(60))).await;
    assert_eq!((exit.cause, child.process.stderr_tail(9)), (ExitCause::Stopped, "saved".to_owned()));
}

#[tokio::test]
async fn a_server_may_clean_up_on_sigterm() {
    let host = TestHost::new();
    let child = host.up("trap 'echo saved >&2; exit 0' TERM; echo up; while :; do sleep 0.01; done").await;
    let grace = StopGrace { eof: Duration::ZERO, term: Duration::from_secs(5) };
    let exit = child.process.stop(grace).await;
    assert_eq!((exit.cause, child.process.stderr_tail(1)), (ExitCause::Stopped, "saved".to_owned()));
}

#[tokio::test]
async fn the_sidecar_outlives_every_signal_that_can_be_handled() {
    let host = TestHost::new();
    let child = host.up(WELL_BEHAVED).await;
    let sidecar = tree::stat(child.process.pid()).unwrap().parent;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::PIPE] {
        tree::signal(sidecar, signal);
    }
    drop(child.stdin);
    assert_eq!(child.process.exited().await.cause, ExitCause::Exited(0));
}

#[tokio::test]
async fn a_frozen_sidecar_does_not_save_its_tree() {
    let host = TestHost::new();
    let child = host.up(OTHER_SESSION).await;
    tree::signal(tree::stat(child.process.pid()).unwrap().parent, Signal::STOP);
    child.process.kill();
    assert_eq!(child.process.exited().await.cause, ExitCause::Stopped);
    assert_eq!(host.running(), BTreeSet::new());
}

#[tokio::test]
async fn shutdown_ends_everything_and_starts_nothing_more() {
    let host = TestHost::new();
    let mut children = Vec::new();
    for script in [WELL_BEHAVED, DEAF, GRANDCHILD, OTHER_SESSION, DAEMON, BUSY] {
        children.push(host.up(script).await);
    }
    host.supervisor.shutdown().await;
    assert_eq!(host.running(), BTreeSet::new());
    assert!(children.iter().all(|child| child.process.exit().is_some()));
    assert_eq!(fs::read_dir(host.folder.path().join("running")).unwrap().count(), 0);
    assert_eq!(host.supervisor.spawn(host.shell("")).await.unwrap_err().code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn fifty_at_once_leak_no_descriptor_and_no_zombie() {
    let host = TestHost::new();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let children = join_all((0..50).map(|_| host.up(WELL_BEHAVED))).await;
    assert_eq!(host.running().len(), 100, "a sidecar and a server each");
    let sidecars: Vec<i32> = children.iter().map(|child| tree::stat(child.process.pid()).unwrap().parent).collect();
    let processes: Vec<Process> = children.into_iter().map(|child| child.process).collect();
    join_all(processes.iter().map(|process| process.stop(StopGrace::default()))).await;
    // Other tests open files meanwhile: one leak in each of the fifty would still stand out.
    eventually("the descriptors are closed", || descriptors() < before + 25).await;
    let own = tree::children(std::process::id().cast_signed());
    assert!(sidecars.iter().all(|sidecar| !own.contains(sidecar)));
}

#[tokio::test]
async fn a_step_gives_its_output_and_its_lines() {
    let host = TestHost::new();
    let mut lines = Vec::new();
    let spec = host.shell("cat; echo out; echo one >&2; printf two >&2; exit 7");
    let cx = Cx::detached();
    let finished =
        host.supervisor.run(&cx, spec, Duration::from_secs(60), |line| lines.push(line.to_owned())).await.unwrap();
    assert_eq!(finished.exit.cause, ExitCause::Exited(7));
    assert_eq!((finished.stdout.as_slice(), finished.tail.as_str()), (&b"out\n"[..], "one\ntwo"));
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn a_step_keeps_a_bounded_stdout() {
    let host = TestHost::new();
    let spec = host.shell("head -c 6000000 /dev/zero");
    let finished = host.supervisor.run(&Cx::detached(), spec, Duration::from_secs(60), |_| ()).await.unwrap();
    assert_eq!((finished.exit.success(), finished.stdout.len()), (true, 4 << 20));
}

#[tokio::test]
async fn a_step_is_ended_by_its_limit() {
    let host = TestHost::new();
    let spec = host.shell("echo resolving >&2; (setsid sleep 1000 &); trap '' TERM; sleep 1000");
    let error = host.supervisor.run(&Cx::detached(), spec, Duration::from_millis(200), |_| ()).await.unwrap_err();
    assert_eq!((error.code, error.data["tail"].as_str()), (ErrorCode::Timeout, Some("resolving")));
    assert_eq!(host.running(), BTreeSet::new());
}

#[tokio::test]
async fn a_step_is_ended_by_its_caller() {
    let host = TestHost::new();
    let (cancel, cancelled) = watch::channel(false);
    let cx = Cx::detached().with_cancel(cancelled);
    let spec = host.shell("echo resolving >&2; (setsid sleep 1000 &); sleep 1000");
    let on_line = |_: &str| cancel.send(true).unwrap();
    let error = host.supervisor.run(&cx, spec, Duration::from_secs(60), on_line).await.unwrap_err();
    assert_eq!((error.code, error.data["tail"].as_str()), (ErrorCode::Cancelled, Some("resolving")));
    assert_eq!(host.running(), BTreeSet::new());
}

#[tokio::test]
async fn a_step_that_nobody_waits_for_ends() {
    let host = TestHost::new();
    let cx = Cx::detached();
    let step = host.supervisor.run(&cx, host.shell("sleep 1000"), Duration::from_secs(60), |_| ());
    assert!(timeout(Duration::from_millis(100), step).await.is_err());
    eventually("nothing runs", || host.running().is_empty()).await;
}

#[tokio::test]
async fn a_sweep_ends_what_a_dead_host_left() {
    let dead = TestHost::new();
    let mut left = mark_of_a_dead_host(&dead);
    let living = host_in(&dead);
    let child = living.up(OTHER_SESSION).await;
    assert_eq!(living.supervisor.sweep().await, 1);
    left.wait().unwrap();
    assert_eq!(dead.running(), BTreeSet::new());
    assert!(living.running().len() >= 2, "a sweep leaves the living alone");
    let bystander = host_in(&dead);
    assert_eq!(bystander.supervisor.sweep().await, 0);
    assert!(child.process.exit().is_none());
    living.supervisor.shutdown().await;
}

/// A file as a killed host leaves it, and a process that carries its mark in another session.
#[expect(clippy::disallowed_methods, reason = "stands in for a process that no supervisor knows")]
fn mark_of_a_dead_host(dead: &TestHost) -> std::process::Child {
    let folder = dead.folder.path().join("running");
    fs::create_dir_all(&folder).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let mark = dead.supervisor.leftovers.mark();
    let host = format!("{{\"boot\":\"{}\",\"pid\":1,\"started\":4000000000}}\n", boot.trim());
    fs::write(folder.join(format!("{mark}.json")), host).unwrap();
    Command::new("sleep").arg("1000").env(ProcessSpec::MARK, mark).spawn().unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Stop,
    Drop,
    MainKilled,
    SidecarKilled,
}

struct TestHost {
    supervisor: Arc<Supervisor>,
    folder: Arc<TempDir>,
}

impl TestHost {
    fn new() -> Self {
        Self::with_folder(Arc::new(TempDir::new().unwrap()))
    }

    fn with_folder(folder: Arc<TempDir>) -> Self {
        Self { supervisor: Supervisor::with_sidecar(folder.path().to_owned(), Self::program()), folder }
    }

    fn program() -> PathBuf {
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("perennial");
        assert!(program.exists(), "`{}` is missing: `cargo build -p perennial` makes it", program.display());
        program
    }

    fn shell(&self, script: &str) -> ProcessSpec {
        ProcessSpec {
            label: "test".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: [("PATH".into(), "/usr/bin:/bin".into())].into(),
            cwd: self.folder.path().into(),
            confinement: None,
        }
    }

    /// Starts a script that says `up`.
    async fn up(&self, script: &str) -> Child {
        self.up_with(self.shell(script)).await
    }

    async fn up_with(&self, spec: ProcessSpec) -> Child {
        let mut child = self.supervisor.spawn(spec).await.unwrap();
        let mut line = String::new();
        BufReader::with_capacity(3, &mut child.stdout).read_line(&mut line).await.unwrap();
        assert_eq!(line, "up\n");
        child
    }

    /// Every process of this host, sidecars included.
    fn running(&self) -> BTreeSet<i32> {
        let mark = format!("PERENNIAL_HOST={}", self.supervisor.leftovers.mark());
        let ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
        };
        tree::processes().filter(ours).collect()
    }
}

fn host_in(other: &TestHost) -> TestHost {
    TestHost::with_folder(Arc::clone(&other.folder))
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "never: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}
