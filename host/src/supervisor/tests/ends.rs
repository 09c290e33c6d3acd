//! Confined programs work, and end as others do.

use super::{
    ways::{PYTHON, Way, host},
    *,
};

const ALL: [Way; 4] = [Way::Own, Way::OwnBare, Way::User, Way::UserBare];

#[rstest]
#[case::success("exit 0", ExitCause::Exited(0))]
#[case::code("exit 3", ExitCause::Exited(3))]
#[case::code_like_a_signal("exit 137", ExitCause::Exited(137))]
#[case::signal("kill -SEGV $$", ExitCause::Signaled(11))]
#[case::killed("kill -KILL $$", ExitCause::Signaled(9))]
#[case::daemon_left_behind("(setsid sleep 1000 &); exit 5", ExitCause::Exited(5))]
#[tokio::test]
async fn the_cause_is_exact(#[case] script: &str, #[case] cause: ExitCause) {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let child = host.supervisor.spawn(host.confined("/bin/sh", &["-c", script], |_| ())).await.unwrap();
        assert_eq!(child.process.exited().await.cause, cause, "{way:?}");
        assert_eq!(host.running(), BTreeSet::new(), "{way:?}");
    }
}

#[rstest]
#[tokio::test]
async fn nothing_confined_is_left(
    #[values(WELL_BEHAVED, DEAF, OTHER_SESSION, DAEMON, FORKING)] script: &str,
    #[values(End::Kill, End::Stop, End::Drop, End::MainKilled, End::SidecarKilled)] end: End,
) {
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let child = host.up_with(host.confined("/bin/sh", &["-c", script], |_| ())).await;
        let sidecar = sidecar_of(&host, child.process.pid());
        let cause = match end {
            End::Kill | End::Stop => Some(ExitCause::Stopped),
            End::Drop => None,
            End::MainKilled => Some(ExitCause::Signaled(9)),
            End::SidecarKilled => Some(ExitCause::SidecarKilled),
        };
        let process = child.process.clone();
        match end {
            End::Kill => process.kill(),
            End::Stop => {
                drop(child.stdin);
                let grace = StopGrace { eof: Duration::from_millis(20), term: Duration::from_millis(20) };
                process.stop(grace).await;
            }
            End::Drop => drop(child),
            End::MainKilled => tree::signal(process.pid(), Signal::KILL),
            End::SidecarKilled => tree::signal(sidecar, Signal::KILL),
        }
        match cause {
            Some(cause) => assert_eq!(process.exited().await.cause, cause, "{way:?}"),
            None => drop(process),
        }
        eventually("nothing runs", || host.running().is_empty()).await;
    }
}

fn sidecar_of(host: &TestHost, main: i32) -> i32 {
    let own = std::process::id().cast_signed();
    let mut pid = main;
    while let Some(stat) = tree::stat(pid).filter(|stat| stat.parent != own) {
        pid = stat.parent;
    }
    assert!(host.running().contains(&pid));
    pid
}

#[tokio::test]
async fn a_confined_server_speaks_through_its_pipes_and_sees_their_ends() {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let spec = host.confined("/bin/sh", &["-c", "echo oops >&2; cat; exec >&-; sleep 0.1; exit 4"], |_| ());
        let mut child = host.supervisor.spawn(spec).await.unwrap();
        child.stdin.write_all(b"hello\n").await.unwrap();
        drop(child.stdin);
        let mut rest = String::new();
        child.stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(
            (rest.as_str(), child.process.exit().is_none()),
            ("hello\n", true),
            "{way:?}: closed before its end"
        );
        assert_eq!(child.process.exited().await.cause, ExitCause::Exited(4));
        assert_eq!(child.process.stderr_tail(10), "oops");
    }
}

#[tokio::test]
async fn a_confined_server_may_clean_up_on_sigterm() {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let script = "trap 'echo saved >&2; exit 0' TERM; echo up; while :; do sleep 0.01; done";
        let child = host.up_with(host.confined("/bin/sh", &["-c", script], |_| ())).await;
        let grace = StopGrace { eof: Duration::ZERO, term: Duration::from_secs(5) };
        let exit = child.process.stop(grace).await;
        let told = (exit.cause, child.process.stderr_tail(1));
        assert_eq!(told, (ExitCause::Stopped, "saved".to_owned()), "{way:?}");
    }
}

#[tokio::test]
async fn it_gets_its_environment_and_three_descriptors() {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let script = "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=; ls /proc/$$/fd; echo mine > file; cat file";
        let finished = host.finished(host.confined("/bin/sh", &["-c", script], |_| ())).await;
        let mark = format!("PERENNIAL_HOST={}", host.supervisor.leftovers.mark());
        let said = String::from_utf8(finished.stdout).unwrap();
        let lines: BTreeSet<&str> = said.lines().collect();
        assert_eq!(lines, ["0", "1", "2", "PATH=/usr/bin:/bin", "mine", &mark].into(), "{way:?} {}", finished.tail);
    }
}

#[tokio::test]
async fn orphans_do_not_stay_as_zombies() {
    let script = "for i in 1 2 3; do (sleep 0.01 &); done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    for way in [Way::Own, Way::User] {
        let Some(host) = host(way).await else { continue };
        let finished = host.finished(host.confined("/bin/sh", &["-c", script], |_| ())).await;
        assert_eq!(String::from_utf8_lossy(&finished.stdout).trim(), "0", "{way:?}");
    }
}

#[tokio::test]
async fn interpreters_work() {
    let code =
        "import asyncio, json, multiprocessing, os, pwd, ssl, subprocess, sys, tempfile, threading, urllib.request
threads = [threading.Thread(target=lambda: None) for _ in range(4)]
[(thread.start(), thread.join()) for thread in threads]
assert subprocess.run(['/bin/echo', 'hi'], capture_output=True).stdout == b'hi\\n'
assert len(pwd.getpwuid(os.getuid()).pw_name)
open('file', 'w').write('x'); os.rename('file', 'other')
assert ssl.create_default_context().get_ca_certs() is not None
async def main():
    await asyncio.sleep(0)
    return (await (await asyncio.create_subprocess_exec('/bin/echo', 'x', stdout=-1)).communicate())[0]
print('fine', asyncio.run(main()))";
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let finished = host.finished(host.confined(PYTHON, &["-c", code], |_| ())).await;
        let said = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert_eq!(said, "fine b'x\\n'\n", "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[tokio::test]
async fn an_interpreter_elsewhere_works_with_its_root() {
    let probe = "import sys; print(sys.executable); print(sys.base_prefix)";
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let spec = ProcessSpec { program: "python3".into(), args: vec!["-c".into(), probe.into()], ..host.shell("") };
        let path = std::env::var("PATH").unwrap();
        let spec = ProcessSpec {
            env: [("PATH".into(), path), ("HOME".into(), std::env::var("HOME").unwrap())].into(),
            ..spec
        };
        let found = String::from_utf8(host.finished(spec).await.stdout).unwrap();
        let (program, root) = found.trim().split_once('\n').unwrap();
        let give = |confinement: &mut Confinement| confinement.read = vec![root.into()];
        let finished = host.finished(host.confined(program, &["-c", "import ssl, sqlite3; print('fine')"], give)).await;
        assert_eq!(String::from_utf8_lossy(&finished.stdout), "fine\n", "{way:?}: {}", finished.tail);
    }
}

#[tokio::test]
async fn node_works() {
    let code = "const fs = require('fs'), cp = require('child_process'), os = require('os');\
        const { Worker } = require('worker_threads');\
        fs.writeFileSync('file', 'x'); fs.renameSync('file', 'other'); os.userInfo();\
        const said = cp.execFileSync('/bin/echo', ['hi']).toString();\
        new Worker('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true })\
            .on('message', () => fetch('http://127.0.0.1:1').catch(e => console.log('fine', said, e.name)));";
    let program = which::which("node").unwrap().canonicalize().unwrap();
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let give = |confinement: &mut Confinement| {
            confinement.read = vec![program.clone()];
            confinement.caps = Caps {
                memory_bytes: Some(512 << 20),
                pids: Some(64),
                files: Some(256),
                disk_bytes: Some(64 << 20),
                cpu: Some(1.0),
            };
        };
        let finished = host.finished(host.confined(&program, &["-e", code], give)).await;
        let said = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert_eq!(said, "fine hi\n TypeError\n", "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[tokio::test]
async fn a_rust_program_works() {
    let program = TestHost::program();
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let give = |confinement: &mut Confinement| confinement.read = vec![program.clone()];
        let finished = host.finished(host.confined(&program, &["--version"], give)).await;
        assert!(finished.stdout.starts_with(b"perennial "), "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[tokio::test]
async fn what_it_may_not_read_it_may_not_start() {
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let error = host.supervisor.spawn(host.confined(TestHost::program(), &[], |_| ())).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{way:?}: {error}");
        let ending = "is not below what it may read and execute";
        assert!(error.message.ends_with(ending), "{way:?}: {error}");
    }
}

#[tokio::test]
async fn its_folder_must_be_one_of_its_own() {
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let spec = ProcessSpec { cwd: host.outside(), ..host.confined("/bin/true", &[], |_| ()) };
        let error = host.supervisor.spawn(spec).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{way:?}: {error}");
        assert!(error.message.contains("its working folder"), "{way:?}: {error}");
    }
}

#[tokio::test]
async fn strictness_refuses_what_cannot_be_kept_and_says_what() {
    let strict = |confinement: &mut Confinement| confinement.strictness = Strictness::Require;
    if let Some(host) = host(Way::Own).await {
        let child = host.supervisor.spawn(host.confined("/bin/true", &[], strict)).await.unwrap();
        assert_eq!(child.process.enforced().broken().count(), 0);
    }
    let host = host(Way::OwnBare).await.unwrap();
    let error = host.supervisor.spawn(host.confined("/bin/true", &[], strict)).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    insta::assert_snapshot!(format!("{}\n{}", error.message, error.hint.unwrap_or_default()));
    assert_eq!(host.running(), BTreeSet::new());
}

#[rstest]
#[case::none(0)]
#[case::first(1)]
#[case::without_network(3)]
#[case::without_scopes(5)]
#[tokio::test]
async fn an_older_landlock_does_less_and_says_so(#[case] abi: i32) {
    let host = TestHost::new();
    fs::create_dir(host.own()).unwrap();
    host.supervisor.ground.set(Ground { landlock: Some(abi), ..Ground::default() }).unwrap();
    let child = host.supervisor.spawn(host.confined("/bin/sh", &["-c", "echo up; exec cat"], |_| ())).await.unwrap();
    let told: Vec<String> = child.process.enforced().broken().map(ToString::to_string).collect();
    insta::assert_snapshot!(format!("landlock_{abi}"), told.join("\n"));
}
