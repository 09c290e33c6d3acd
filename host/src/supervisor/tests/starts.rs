//! What happens to a start inside namespaces while bubblewrap is at work.

use std::{fs::File, os::unix::fs::PermissionsExt};

use rustix::fs::{CWD, Mode, mkfifoat};

use super::{
    ways::{PYTHON, Way, host},
    *,
};

/// What this machine has, with a script in place of bubblewrap that runs it with `arguments` before its own.
async fn wrapped(host: &TestHost, arguments: &str) -> Ground {
    let ground = host.supervisor.ground.get().unwrap().clone();
    let found = ground.bubblewrap.clone().unwrap();
    let program = host.folder.path().join("bwrap");
    let script = format!("#!/bin/sh\nexec {} {arguments}\n", found.program.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Ground { bubblewrap: Some(sandbox::Bubblewrap { program, ..found }), ..ground }
}

/// [`wrapped`], and what the mounting waits for: it goes on when that is dropped.
async fn held_up(host: &TestHost) -> (Ground, File) {
    let fifo = host.folder.path().join("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let held = File::options().read(true).write(true).open(&fifo).unwrap();
    (wrapped(host, &format!("--file 9 /held \"$@\" 9<{}", fifo.display())).await, held)
}

/// The sidecar of the one start that is under way, once the program's process is there and waits.
async fn sidecar_of(host: &TestHost) -> i32 {
    // bubblewrap and its child, the sidecar, its fork, and that one's, which is to become the program.
    eventually("all wait", || host.running().len() == 5).await;
    let children = tree::children(std::process::id().cast_signed());
    children.into_iter().find(|pid| host.running().contains(pid)).unwrap()
}

fn spec(host: &TestHost) -> ProcessSpec {
    host.confined("/bin/sh", &["-c", "touch trace; exec sleep 1000"], |_| ())
}

#[tokio::test]
async fn what_bubblewrap_fails_at_is_told_and_nothing_was_started() {
    let Some(host) = host(Way::Own).await else { return };
    let broken = wrapped(&host, "--bind /nonexistent /x \"$@\"").await;
    for egress in [Egress::None, Egress::Gate(Gate::default())] {
        let mut spec = spec(&host);
        spec.confinement.as_mut().unwrap().egress = egress;
        let error = host.supervisor.start_on(spec, lifeline::Stdin::Null, broken.clone()).await.err().unwrap();
        let program = &broken.bubblewrap.as_ref().unwrap().program;
        let complaint = format!("`{}` failed: bwrap: Can't find source path /nonexistent", program.display());
        assert!(error.message.contains(&complaint), "{error:?}");
        assert!(!host.own().join("trace").exists());
        eventually("nothing runs", || host.running().is_empty()).await;
    }
}

#[tokio::test]
async fn a_signal_that_a_sidecar_shrugs_off_does_not_end_a_start() {
    let Some(host) = host(Way::Own).await else { return };
    let (ground, held) = held_up(&host).await;
    let start = host.supervisor.start_on(spec(&host), lifeline::Stdin::Null, ground);
    let disturb = async {
        tree::signal(sidecar_of(&host).await, Signal::HUP);
        sleep(Duration::from_millis(50)).await;
        assert!(!host.own().join("trace").exists());
        drop(held);
    };
    let (started, ()) = tokio::join!(start, disturb);
    let started = started.unwrap();
    eventually("it runs", || host.own().join("trace").exists()).await;
    started.watch.spawn(None);
    started.process.kill();
    started.process.exited().await;
    assert_eq!(host.running(), BTreeSet::new());
}

#[tokio::test]
async fn a_start_whose_sidecar_is_killed_leaves_nothing_and_starts_nothing() {
    let Some(host) = host(Way::Own).await else { return };
    let (ground, held) = held_up(&host).await;
    let start = host.supervisor.start_on(spec(&host), lifeline::Stdin::Null, ground);
    let kill = async {
        tree::signal(sidecar_of(&host).await, Signal::KILL);
        sleep(Duration::from_millis(50)).await;
        drop(held);
    };
    let (started, ()) = tokio::join!(start, kill);
    assert!(started.err().unwrap().message.contains("its sidecar ended"));
    eventually("nothing runs", || host.running().is_empty()).await;
    assert!(!host.own().join("trace").exists());
}

#[tokio::test]
async fn a_child_of_bubblewrap_that_is_in_no_namespaces_is_not_followed() {
    let Some(host) = host(Way::Own).await else { return };
    let ground = wrapped(&host, "").await;
    let script = format!(
        "#!{PYTHON}\nimport os, sys, time\nif os.fork() == 0: time.sleep(1000)\nos.write(int(sys.argv[2]), b'made')\n\
         time.sleep(1000)\n"
    );
    fs::write(&ground.bubblewrap.as_ref().unwrap().program, script).unwrap();
    let error = host.supervisor.start_on(spec(&host), lifeline::Stdin::Null, ground).await.err().unwrap();
    assert!(error.message.contains("` has no "), "{error:?}");
    assert!(!host.own().join("trace").exists());
    eventually("nothing runs", || host.running().is_empty()).await;
}
