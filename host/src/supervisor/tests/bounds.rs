//! How much a confined tree may use.

use super::{
    ways::{PYTHON, Way, host},
    *,
};

const ALL: [Way; 4] = [Way::Own, Way::OwnBare, Way::User, Way::UserBare];

fn caps() -> Caps {
    Caps { memory_bytes: Some(128 << 20), pids: Some(20), files: Some(64), disk_bytes: Some(16 << 20), cpu: Some(1.0) }
}

/// Runs a program that takes too much; how it ended, while a sibling goes on to answer.
async fn ends(way: Way, program: &str, script: &str) -> Option<Finished> {
    let host = host(way).await?;
    let sibling = host.confined("/bin/sh", &["-c", "echo up; exec cat"], |_| ());
    let mut sibling = host.up_with(sibling).await;
    let finished = host.finished(host.confined(program, &["-c", script], |c| c.caps = caps())).await;
    sibling.stdin.write_all(b"hello\n").await.unwrap();
    let mut line = [0; 6];
    sibling.stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"hello\n", "{way:?}");
    sibling.process.kill();
    sibling.process.exited().await;
    assert_eq!(host.running(), BTreeSet::new(), "{way:?}");
    Some(finished)
}

#[rstest]
#[case::one("held = []\nwhile True: held.append(bytearray(1 << 20))")]
#[case::many("import os\nfor _ in range(8): os.fork()\nheld = bytearray(60 << 20)\nimport time; time.sleep(60)")]
#[case::shared("import mmap\nheld = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096): held[at] = 1")]
#[tokio::test]
async fn memory(#[case] script: &str) {
    let script = script.replace("range(8): os.fork()", "range(3): os.fork()");
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, &script).await else { continue };
        assert_eq!(finished.exit.cause, ExitCause::OutOfMemory, "{way:?}: {}", finished.tail);
        assert_eq!(finished.exit.to_string(), "ran out of memory");
    }
}

#[tokio::test]
async fn memory_that_is_shared_counts_once() {
    let script = "import os, time\nheld = bytearray(70 << 20)\n\
        children = [os.fork() for _ in range(1)]\ntime.sleep(1.5)\nprint('fine')";
    for way in [Way::Own, Way::OwnBare] {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        assert_eq!(finished.exit.cause, ExitCause::Exited(0), "{way:?}: {}", finished.tail);
    }
}

#[tokio::test]
async fn a_single_allocation_fails_at_once() {
    let script = "try: held = bytearray(8 << 30)\nexcept MemoryError: print('refused')";
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        assert_eq!(finished.stdout, b"refused\n", "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[rstest]
#[case::bomb("bomb() { bomb | bomb & }; bomb; sleep 1; exit 1")]
#[case::escaping("(while :; do setsid sleep 60 & done) & sleep 1; exit 1")]
#[case::escaping_bomb(
    "bomb='setsid sh -c \"$bomb\" & setsid sh -c \"$bomb\" & wait'; export bomb
     sh -c \"$bomb\" & sleep 1; exit 1"
)]
#[tokio::test]
async fn processes(#[case] script: &str) {
    for way in ALL {
        let Some(finished) = ends(way, "/bin/sh", script).await else { continue };
        let bounded = finished.exit.cause == ExitCause::TooManyProcesses;
        assert!(bounded || finished.tail.contains("Cannot fork"), "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[tokio::test]
async fn threads() {
    let script = "import os, sys, threading, time
try:
    for _ in range(100): threading.Thread(target=time.sleep, args=(60,)).start()
except RuntimeError as e:
    print(e, file=sys.stderr, flush=True)
    os._exit(1)";
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        let bounded = finished.exit.cause == ExitCause::TooManyProcesses;
        let refused = finished.tail.contains("can't start new thread");
        assert!(bounded || refused, "{way:?}: {} {}", finished.exit, finished.tail);
    }
}

#[tokio::test]
async fn a_large_file() {
    for way in ALL {
        let Some(finished) = ends(way, "/bin/sh", "exec head -c 64M /dev/zero > big").await else { continue };
        assert_eq!(finished.exit.cause, ExitCause::DiskFull, "{way:?}: {}", finished.tail);
    }
}

#[tokio::test]
async fn many_files() {
    let script =
        "import time\nn = 0\nwhile True:\n    open(f'f{n}', 'wb').write(bytes(1 << 20)); n += 1; time.sleep(0.001)";
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        assert_eq!(finished.exit.cause, ExitCause::DiskFull, "{way:?}: {}", finished.tail);
        assert_eq!(finished.exit.to_string(), "filled the disk space that it may use");
    }
}

#[tokio::test]
async fn open_files() {
    let script = "held = []\ntry:\n    while True: held.append(open('/dev/null'))\nexcept OSError as e: print(len(held) < 64, e.errno)";
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        assert_eq!(finished.stdout, b"True 24\n", "{way:?}: {}", finished.tail);
    }
}

#[tokio::test]
async fn the_fewest_files_that_can_be_asked_for_are_enough_to_start() {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let script = "ulimit -n; ls / > /dev/null; echo x > /dev/null";
        let few = host.confined("/bin/sh", &["-c", script], |confinement| {
            confinement.caps = Caps { files: Some(16), pids: Some(8), ..caps() };
        });
        assert_eq!(host.finished(few).await.stdout, b"16\n", "{way:?}");
    }
}

#[tokio::test]
async fn folders_in_memory_are_bounded() {
    let script = "try:\n    for n in range(64): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\nexcept OSError as e: print(e.errno)";
    for way in ALL {
        let Some(finished) = ends(way, PYTHON, script).await else { continue };
        // No room within namespaces, no permission without.
        assert!(matches!(finished.stdout.as_slice(), b"28\n" | b"13\n"), "{way:?}: {}", finished.tail);
    }
}

/// Such a process weighs less than the host from its first moment, and next to nothing when it does not stop.
#[tokio::test]
async fn a_spinner_gives_way() {
    for way in ALL {
        let Some(host) = host(way).await else { continue };
        let spec = host.confined("/bin/sh", &["-c", "echo up; while :; do :; done"], |c| {
            c.caps = Caps { cpu: Some(0.1), ..caps() }
        });
        let child = host.up_with(spec).await;
        let nice = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", child.process.pid())).unwrap();
            stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let own = rustix::process::getpriority_process(None).unwrap();
        assert!(nice() >= own + 5, "{way:?}");
        eventually("it gives way", || nice() == 19).await;
        let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", child.process.pid())).unwrap();
        assert_eq!(score.trim(), "800");
    }
}
