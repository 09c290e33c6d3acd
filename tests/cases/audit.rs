//! The audit log: one line for all that is done, and never what was passed or answered.

use std::fs;

use serde_json::{Value, json};

use crate::support::{TestHome, echo_server};

fn entries(home: &TestHome, options: &[&str]) -> Vec<Value> {
    let output = home.run(&[&["audit", "--json"], options].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn everything_that_is_done_is_told_and_nothing_that_is_said() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.execute(&id, "echo", json!({"message": "hunter2"})).ok();
    host.call("execute-tool", json!({"serverId": id, "toolName": "nothing", "args": {}})).error();
    host.call("update-server", json!({"serverId": id, "code": echo_server()})).ok();
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    host.call("load-saved-server", json!({"savedServerId": id})).ok();
    host.call("delete-server", json!({"serverId": id})).ok();
    host.call("list-servers", json!({})).ok();
    assert!(host.close().success());
    assert!(home.run(&["rm", "calc"]).status.success());

    let all = entries(&home, &[]);
    let told: Vec<_> =
        all.iter().map(|one| (one["event"].as_str().unwrap(), one["outcome"].as_str().unwrap())).collect();
    let expected = [
        ("create", "ok"),
        ("execute", "ok"),
        ("execute", "failed"),
        ("update", "ok"),
        ("save", "ok"),
        ("load", "ok"),
        ("delete", "ok"),
        ("delete-saved", "ok"),
    ];
    assert_eq!(told, expected);
    assert_eq!((&all[0]["server"], &all[0]["language"]), (&json!(id), &json!("python")));
    assert_eq!((&all[1]["tool"], &all[1]["bytesIn"]), (&json!("echo"), &json!("messagehunter2".len())));
    assert!(all[1]["bytesOut"].as_u64().unwrap() > 20);
    assert_eq!(all[2]["error"], "not_found");
    assert_eq!((&all[4]["saved"], &all[4]["version"], &all[4]["name"]), (&json!(id), &json!(1), &json!("calc")));
    assert!(all.iter().all(|one| one["client"].is_string() && one["at"].is_string()));
    let file = fs::read_to_string(home.path().join("state/perennial/audit/audit.jsonl")).unwrap();
    assert!(!file.contains("hunter2") && file.lines().count() == 8, "{file}");

    assert_eq!(entries(&home, &["--event", "save", "--event", "load"]).len(), 2);
    assert_eq!(entries(&home, &["--server", "calc"]).len(), 2);
    assert_eq!(entries(&home, &["--limit", "1"])[0]["event"], "delete-saved");
    let shown = String::from_utf8(home.run(&["audit"]).stdout).unwrap();
    assert!(shown.starts_with("AT ") && shown.contains("echo, 14 B in"), "{shown}");
}

#[test]
fn what_was_granted_and_what_was_denied_is_told() {
    let home = TestHome::new();
    let mut host = home.start();
    let create =
        |network: &str| json!({"language": "python", "code": echo_server(), "permissions": {"network": [network]}});
    let id = host.create(create("api.example.com:443"));
    host.call("create-server-from-template", create("10.0.0.5:5432")).error();
    assert!(host.close().success());
    let all = entries(&home, &["--event", "grant", "--event", "denial"]);
    let told: Vec<_> = all.iter().map(|one| (&one["event"], &one["permissions"]["network"][0])).collect();
    assert_eq!(told, [(&json!("grant"), &json!("api.example.com:443")), (&json!("denial"), &json!("10.0.0.5:5432"))]);
    assert_eq!((&all[0]["server"], &all[1]["error"]), (&json!(id), &json!("denied")));
}

#[test]
fn hosts_share_the_log() {
    let home = TestHome::new();
    let (mut one, mut other) = (home.start(), home.start());
    let id = one.create_python(echo_server());
    for _ in 0..50 {
        one.execute(&id, "echo", json!({"message": "a"})).ok();
    }
    let second = other.create_python(echo_server());
    other.execute(&second, "echo", json!({"message": "b"})).ok();
    assert!(one.close().success());
    assert!(other.close().success());
    let all = entries(&home, &["--limit", "1000"]);
    let hosts: std::collections::BTreeSet<_> = all.iter().map(|one| one["host"].as_u64().unwrap()).collect();
    assert_eq!((all.len(), hosts.len()), (53, 2));
}
