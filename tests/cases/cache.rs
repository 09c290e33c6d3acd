//! Installed packages: made once, never half, cared for, and made again when they are gone.

use std::{fs, process::Output, time::Duration};

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, wait_until, wait_until_gone};

#[test]
fn two_at_once_install_once() {
    let home = TestHome::obedient("");
    home.tell("wait");
    let (mut host, mut other) = (home.start(), home.start());
    let calls = [begin(&mut host, "six"), begin(&mut host, "six")];
    let elsewhere = begin(&mut other, "six");
    assert!(wait_until(Duration::from_secs(20), || home.steps("install") > 0));
    for name in ["begin", "middle", "end"] {
        home.tell(name);
    }
    for call in calls {
        host.reply(&call).ok();
    }
    other.reply(&elsewhere).ok();
    assert_eq!((home.steps("resolve"), home.steps("install"), home.environments().len()), (1, 1, 1));
}

#[test]
fn a_killed_host_poisons_nothing() {
    let home = TestHome::obedient("");
    home.tell("wait");
    let mut host = home.start();
    begin(&mut host, "six");
    assert!(wait_until(Duration::from_secs(20), || home.steps("install") > 0));
    host.kill();
    wait_until_gone(&home.mark());
    assert_eq!(home.environments().len(), 1, "a host that is killed removes nothing");
    assert!(listed(&home).iter().any(|entry| entry["kind"] == "leftover"));

    fs::remove_file(home.told().join("wait")).unwrap();
    let mut host = home.start();
    create(&mut host, "six");
    assert_eq!((home.steps("install"), home.environments().len()), (2, 1));
}

#[test]
fn what_a_killed_host_left_behind_is_pruned() {
    let home = TestHome::obedient("");
    home.tell("wait");
    let mut host = home.start();
    begin(&mut host, "six");
    assert!(wait_until(Duration::from_secs(20), || home.steps("install") > 0));
    let pruned: Value = serde_json::from_str(&stdout(&home.run(&["cache", "prune", "--json"]))).unwrap();
    assert_eq!(pruned["removed"], json!([]), "it is being built");
    host.kill();
    wait_until_gone(&home.mark());
    let pruned: Value = serde_json::from_str(&stdout(&home.run(&["cache", "prune", "--json"]))).unwrap();
    assert_eq!(pruned["removed"][0]["kind"], "leftover");
    assert!(home.environments().is_empty());
}

#[test]
fn nothing_in_use_is_pruned_and_what_was_comes_back_from_its_lock() {
    let home = TestHome::obedient("");
    let mut host = home.start();
    let id = create(&mut host, "six");
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    let entries = listed(&home);
    let environment = entries.iter().find(|entry| entry["kind"] == "environment").unwrap();
    assert_eq!((&environment["inUse"], &environment["for"]), (&json!(true), &json!(["six"])));
    assert!(environment["bytes"].as_u64().unwrap() > 0 && environment["runtime"] == "python");
    assert!(stdout(&home.run(&["cache", "ls"])).contains("six"));

    assert!(home.run(&["cache", "prune", "--all"]).status.success());
    assert_eq!(home.environments().len(), 1);
    assert_eq!(host.execute(&id, "echo", json!({"message": "still here"})).ok().text(), "still here");
    host.close();

    let kept = home.run(&["cache", "prune", "--older-than", "30d"]);
    assert!(kept.status.success() && home.environments().len() == 1, "{kept:?}");
    let rehearsed = stdout(&home.run(&["cache", "prune", "--all", "--dry-run"]));
    assert!(rehearsed.contains("would free") && home.environments().len() == 1, "{rehearsed}");
    assert!(home.run(&["cache", "prune", "--all"]).status.success());
    assert_eq!((home.environments().len(), listed(&home).len()), (0, 0));

    let mut host = home.start();
    assert_eq!(host.execute(&id, "echo", json!({"message": "back"})).ok().text(), "back");
    assert_eq!((home.steps("resolve"), home.steps("install")), (1, 2));
}

#[test]
fn a_running_server_whose_host_pruned_everything_is_started_again() {
    let home = TestHome::obedient("");
    let mut host = home.start();
    let id = create(&mut host, "six");
    let pid = host.call("get-server", json!({"serverId": id})).ok().facts()["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    host.wait_for_state(&id, &["stopped"]);
    assert!(home.run(&["cache", "prune", "--all"]).status.success());
    assert!(home.environments().is_empty());
    assert_eq!(host.execute(&id, "echo", json!({"message": "again"})).ok().text(), "again");
    assert_eq!((home.steps("resolve"), home.steps("install")), (1, 2));
}

#[test]
fn above_its_limit_the_cache_loses_what_was_not_used_for_longest() {
    let home = TestHome::obedient("[cache]\nmax_gb = 0.000001\n");
    let mut host = home.start();
    let (first, second) = (create(&mut host, "one"), create(&mut host, "two"));
    assert_eq!(home.environments().len(), 2, "both are in use");
    host.call("delete-server", json!({"serverId": first})).ok();
    create(&mut host, "three");
    assert!(wait_until(Duration::from_secs(10), || home.environments().len() == 2), "{:?}", home.environments());
    let left: Vec<_> = listed(&home).into_iter().map(|entry| entry["for"][0].clone()).collect();
    assert!(!left.contains(&json!("one")) && left.contains(&json!("two")), "{left:?}");
    assert_eq!(host.execute(&second, "echo", json!({"message": "still"})).ok().text(), "still");
}

#[test]
fn registries_of_the_configuration_reach_the_installer() {
    let home = TestHome::obedient(
        "[registries]\npypi = \"https://mirror.example.com/simple\"\nproxy = \"http://proxy.example.com:3128\"\n\
         ca = \"ca.pem\"\n",
    );
    fs::write(home.path().join("ca.pem"), "").unwrap();
    let mut host = home.start();
    create(&mut host, "six");
    let environment = fs::read_to_string(home.told().join("environment")).unwrap();
    let authorities = home.path().join("ca.pem");
    for line in [
        "UV_DEFAULT_INDEX=https://mirror.example.com/simple",
        "HTTPS_PROXY=http://proxy.example.com:3128",
        &format!("SSL_CERT_FILE={}", authorities.display()),
    ] {
        assert!(environment.lines().any(|known| known == line), "{line} is missing in\n{environment}");
    }
    assert!(host.close().success());
}

#[test]
fn what_was_warmed_is_there() {
    let home = TestHome::obedient("");
    let first = home.run(&["warm", "python"]);
    assert!(first.status.success(), "{first:?}");
    let stderr = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(stderr.contains("python: downloading numpy (16.1MiB), one of 8 packages"), "{stderr}");
    assert!(stdout(&first).contains("prepared in"), "{first:?}");
    let again = home.run(&["warm", "python"]);
    assert!(again.status.success() && !stdout(&again).contains("prepared in"), "{again:?}");
    assert_eq!(home.steps("install"), 1);
    assert_eq!(home.run(&["warm", "cobol"]).status.code(), Some(1));

    home.tell("fail");
    fs::remove_dir_all(home.path().join("cache/perennial/locks")).unwrap();
    assert!(home.run(&["cache", "prune", "--all"]).status.success());
    let failed = home.run(&["warm", "python"]);
    assert!(failed.status.code() == Some(1) && stdout(&failed).contains("the registry is on fire"), "{failed:?}");
}

#[test]
fn the_doctor_tells_what_works() {
    let home = TestHome::obedient("");
    let well = home.run(&["doctor"]);
    assert!(well.status.success() && stdout(&well).contains("python: works"), "{well:?}");
    let report: Value = serde_json::from_str(&stdout(&home.run(&["doctor", "--json"]))).unwrap();
    let programs = report["runtimes"].as_array().unwrap().iter().flat_map(|one| one["programs"].as_array().unwrap());
    let uv = programs.into_iter().find(|program| program["name"] == "uv").unwrap();
    assert_eq!((&uv["version"], &uv["problem"]), (&json!("0.13.8"), &Value::Null));
    assert_eq!(report["storage"]["servers"], 0);
    assert_eq!(report["sandbox"]["setting"], "off");
    assert!(!home.saved_servers().exists(), "it changes nothing");
}

#[test]
fn the_doctor_tells_how_servers_are_confined() {
    let doctor = |sandbox: &str, arguments: &[&str]| {
        let home = TestHome::new().own_cache().config(&format!("[policy]\nsandbox = \"{sandbox}\"\n"));
        home.run(&[&["doctor"], arguments].concat())
    };
    let report: Value = serde_json::from_str(&stdout(&doctor("best-effort", &["--json"]))).unwrap();
    assert_eq!((&report["sandbox"]["setting"], &report["sandbox"]["problem"]), (&json!("best-effort"), &Value::Null));
    let measures = report["sandbox"]["measures"].as_array().unwrap();
    assert!(measures.iter().any(|one| one["what"] == "memory" && one["by"].is_string()), "{measures:?}");
    let off = stdout(&doctor("off", &[]));
    assert!(off.contains("sandbox: off\n  servers run with the rights of the user"), "{off}");
    // Whether this machine can do all of it is for the supervisor's tests: that it is said is what counts here.
    let strict = doctor("require", &[]);
    let shown = stdout(&strict);
    assert!(shown.contains("sandbox: require"), "{shown}");
    assert_eq!(shown.contains("NO SERVER CAN BE STARTED"), !strict.status.success(), "{shown}");
}

#[test]
fn the_doctor_tells_what_is_missing() {
    let home = TestHome::new().own_cache();
    let config = "[plugins.python]\nconfig = { python = \"/nonexistent/python\" }\n";
    fs::write(home.path().join("file"), "").unwrap();
    let cache = home.path().join("file/cache");
    let home = home.config(config).env("PERENNIAL_CACHE_DIR", cache);
    let ill = home.run(&["doctor", "py"]);
    let shown = stdout(&ill);
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    assert!(shown.contains("python: DOES NOT WORK") && shown.contains("it is no folder"), "{shown}");
    assert_eq!(home.run(&["doctor", "cobol"]).status.code(), Some(1));
}

fn arguments(package: &str) -> Value {
    json!({"language": "python", "code": echo_server(), "dependencies": [package]})
}

fn begin(host: &mut TestHost, package: &str) -> Value {
    host.begin_call("create-server-from-template", arguments(package))
}

fn create(host: &mut TestHost, package: &str) -> String {
    host.create(arguments(package))
}

/// What `cache ls` lists.
fn listed(home: &TestHome) -> Vec<Value> {
    let output = home.run(&["cache", "ls", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
