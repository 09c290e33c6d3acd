//! Clocks that jump, and machines that sleep.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{TestHome, echo_server, misbehaving_server, tests_dir, tree};

#[test]
fn fault_45_a_clock_that_jumps_loses_nothing_and_ends_nothing() {
    const DAY: i64 = 86_400;
    let (home, clock) = with_own_clock(TestHome::new().own_cache());
    let set = |seconds: i64| fs::write(&clock, seconds.to_string()).unwrap();
    set(0);
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("hangs"));
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "echo", "args": {"message": "hang"}}));
    host.call("save-server", json!({"serverId": id, "name": "first"})).ok();
    let pid = host.call("get-server", json!({"serverId": id})).ok().facts()["pid"].clone();
    for (name, offset) in [("second", -400 * DAY), ("third", 400 * DAY), ("fourth", -1000 * DAY)] {
        set(offset);
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
        let listed = host.call("list-saved-servers", json!({})).ok().text();
        assert!(listed.contains(&format!("📄 {name} (")) && listed.matches("📄").count() == 1, "{listed}");
    }
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("Saved: 20"), "no year at all");
    assert_eq!(host.call("get-server", json!({"serverId": id})).ok().facts()["pid"], pid, "it was started again");
    host.notify("notifications/cancelled", json!({"requestId": call}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "still");
    host.call("delete-saved-server", json!({"savedServerId": id})).ok();
    assert!(host.close().success());

    // what was deleted a moment ago is kept for days, whatever the clock says now
    assert!(home.run(&["gc"]).status.success());
    let restored = home.run(&["history", &id, "--restore", "4"]);
    assert!(restored.status.success(), "{restored:?}");
    let mut host = home.start();
    for version in [1, 4] {
        let arguments = json!({"savedServerId": id, "version": version});
        let loaded = host.call("load-saved-server", arguments).ok().facts()["serverId"].as_str().unwrap().to_owned();
        assert_eq!(host.execute(&loaded, "echo", json!({"message": "back"})).ok().text(), "back");
    }
}

#[test]
fn fault_45_what_was_used_a_moment_ago_is_not_pruned_when_the_clock_was_set_back() {
    let home = TestHome::obedient("[cache]\nmax_gb = 10\n");
    let (home, clock) = with_own_clock(home);
    fs::write(&clock, "0").unwrap();
    let mut host = home.start();
    let id = host.create(json!({"language": "python", "code": echo_server(), "dependencies": ["six"]}));
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    host.close();
    fs::write(&clock, (-400 * 86_400).to_string()).unwrap();
    let pruned = home.run(&["cache", "prune", "--older-than", "1d", "--json"]);
    let pruned: Value = serde_json::from_slice(&pruned.stdout).unwrap();
    assert_eq!((&pruned["removed"], home.environments().len()), (&json!([]), 1), "{pruned}");
    let mut host = home.start();
    assert_eq!(host.execute(&id, "echo", json!({"message": "back"})).ok().text(), "back");
    assert_eq!(home.steps("install"), 1);
}

#[test]
fn fault_45_a_host_that_slept_goes_on_where_it_was() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("slow"));
    let facts = host.call("get-server", json!({"serverId": id})).ok().facts();
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "echo", "args": {"message": "before"}}));
    host.request("ping", json!({}));
    let all: Vec<u32> = tree(host.pid());
    assert!(all.len() >= 3, "host, sidecar and server: {all:?}");
    let signal = |signal| {
        for pid in &all {
            kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
        }
    };
    signal(Signal::STOP);
    thread::sleep(Duration::from_millis(2500));
    signal(Signal::CONT);
    assert_eq!(host.reply(&call).ok().text(), "before");
    assert_eq!(host.execute(&id, "echo", json!({"message": "now"})).ok().text(), "now");
    assert_eq!(host.call("get-server", json!({"serverId": id})).ok().facts()["pid"], facts["pid"]);
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    assert!(host.close().success());
}

/// The home with a clock that is off by as many seconds as the file says.
fn with_own_clock(home: TestHome) -> (TestHome, PathBuf) {
    let (library, file) = (home.path().join("clock.so"), home.path().join("clock"));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .arg(&library)
        .arg(tests_dir().join("fixtures/clock.c"))
        .status()
        .unwrap();
    assert!(compiled.success());
    (home.env("LD_PRELOAD", library).env("CLOCK_FILE", &file), file)
}
