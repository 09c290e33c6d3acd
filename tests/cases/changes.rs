//! Changes that meet one another: an update and a deletion, a save and its cancellation, a build and the next one.

use std::{fs, path::Path, thread, time::Duration};

use serde_json::{Value, json};

use crate::support::{TestHome, echo_server, misbehaving_server, wait_until};

#[test]
fn a_deletion_ends_an_update_that_is_still_building() {
    let home = TestHome::new().unconfined();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let told = home.path().join("pid");
    let slow = telling_its_pid(&format!("import time\ntime.sleep(1)\n{}", echo_server()), &told);
    let update = host.begin_call("update-server", json!({"serverId": id, "code": slow}));
    let new = pid_told(&told);
    host.call("delete-server", json!({"serverId": id})).ok();
    let error = host.reply(&update).error();
    assert!(error.contains("deleted"), "{error}");
    assert!(gone(new), "the new process {new} stays");
    assert_eq!(host.call("list-servers", json!({})).ok().facts()["servers"], json!([]));
}

#[test]
fn a_cancelled_save_is_no_obstacle_to_the_next() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    for number in 0..20 {
        let save = host.begin_call("save-server", json!({"serverId": id, "name": "given up"}));
        // at once, and in ever later moments of the writing
        thread::sleep(Duration::from_micros(200 * number));
        host.notify("notifications/cancelled", json!({"requestId": save}));
        host.call("save-server", json!({"serverId": id, "name": format!("number {number}")})).ok();
    }
    host.close();
    let records: Value = serde_json::from_slice(&fs::read(home.saved_servers()).unwrap()).unwrap();
    assert_eq!(records[&id]["name"], "number 19", "{records}");
}

#[test]
fn a_build_that_was_replaced_is_ended_and_its_failure_changes_nothing() {
    let home = TestHome::new().unconfined().config("[limits]\nstart_timeout_s = 60\npatience_s = 0.3\n");
    let mut host = home.start();
    let told = home.path().join("pid");
    let silent = telling_its_pid(&misbehaving_server("silent"), &told);
    let facts = host.call("create-server-from-template", json!({"language": "python", "code": silent})).ok().facts();
    assert_eq!(facts["status"], "building", "{facts}");
    let id = facts["serverId"].as_str().unwrap().to_owned();
    let old = pid_told(&told);
    host.call("update-server", json!({"serverId": id, "code": echo_server()})).ok();
    let settled = host.wait_for_state(&id, &["ready", "failed"]);
    assert_eq!(settled["state"], "ready", "{settled}");
    assert!(gone(old), "the old build {old} stays until its time is up");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(host.call("get-server", json!({"serverId": id})).ok().facts()["state"], "ready");
    assert_eq!(host.execute(&id, "echo", json!({"message": "good"})).ok().text(), "good");
}

#[test]
fn two_updates_at_once_undo_nothing_of_each_other() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let code = format!("# the new code\n{}", echo_server());
    let updates = [json!({"serverId": id, "code": code}), json!({"serverId": id, "limits": {"call_timeout_s": 7}})]
        .map(|arguments| host.begin_call("update-server", arguments));
    for update in &updates {
        host.reply(update).ok();
    }
    let facts = host.call("get-server", json!({"serverId": id})).ok().facts();
    assert_eq!(facts["code"], code.as_str(), "{facts}");
    assert_eq!(facts["limits"]["call_timeout_s"].as_f64(), Some(7.0), "{facts}");
}

#[test]
fn a_call_in_flight_outlives_the_swap() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("slow"));
    let late = json!({"serverId": id, "toolName": "echo", "args": {"message": "late"}});
    let late = host.begin_call("execute-tool", late);
    assert_eq!(host.execute(&id, "echo", json!({"message": "now"})).ok().text(), "now");
    let louder = echo_server().replace("arguments[\"message\"]}", "arguments[\"message\"].upper()}");
    host.call("update-server", json!({"serverId": id, "code": louder})).ok();
    assert_eq!(host.execute(&id, "echo", json!({"message": "new"})).ok().text(), "NEW");
    assert_eq!(host.reply(&late).ok().text(), "late");
}

#[test]
fn a_saved_server_that_could_not_start_once_may_start_later() {
    let home = TestHome::new().unconfined();
    let marker = home.path().join("marker");
    fs::write(&marker, "").unwrap();
    let mut host = home.start();
    let id = host.create_python(&format!("open({marker:?}).close()\n{}", echo_server()));
    host.call("save-server", json!({"serverId": id, "name": "needs its file"})).ok();
    host.close();
    fs::remove_file(&marker).unwrap();

    let mut host = home.start();
    let error = host.execute(&id, "echo", json!({"message": "early"})).error();
    assert!(error.contains("FileNotFoundError"), "{error}");
    fs::write(&marker, "").unwrap();
    assert_eq!(host.execute(&id, "echo", json!({"message": "late"})).ok().text(), "late");
}

#[test]
fn every_stray_line_is_counted() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = format!("for n in range(9):\n    print(\"stray\", n, flush=True)\n{}", echo_server());
    let id = host.create_python(&code);
    host.execute(&id, "echo", json!({"message": "hello"})).ok();
    let stray = host.call("get-server", json!({"serverId": id})).ok().facts()["strayOutput"].clone();
    assert_eq!(stray["count"], 9, "{stray}");
    let lines: Vec<String> = (0..9).map(|number| format!("stray {number}")).collect();
    assert_eq!(stray["lines"].as_str().unwrap().lines().collect::<Vec<_>>(), lines, "{stray}");
}

/// The same code, which writes its process id to `file` before all else.
fn telling_its_pid(code: &str, file: &Path) -> String {
    format!("import os\nopen({file:?}, \"w\").write(f\"{{os.getpid()}}\\n\")\n{code}")
}

fn pid_told(file: &Path) -> u32 {
    let mut pid = None;
    let told = wait_until(Duration::from_secs(20), || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        pid.is_some()
    });
    assert!(told, "nothing was started");
    pid.unwrap()
}

fn gone(pid: u32) -> bool {
    let process = format!("/proc/{pid}");
    wait_until(Duration::from_secs(10), || !Path::new(&process).exists())
}
