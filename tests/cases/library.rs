//! The saved servers: versions, and everything that may happen to the file that users know.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, wait_until};

#[test]
fn saving_again_adds_a_version_and_any_version_loads() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "first"})).ok();
    let louder = echo_server().replace("arguments[\"message\"]}", "arguments[\"message\"].upper()}");
    host.call("update-server", json!({"serverId": id, "code": louder})).ok();
    let second = host.call("save-server", json!({"serverId": id, "name": "second"})).ok();
    assert!(second.text().lines().nth(1).unwrap().contains('2'), "{}", second.text());
    host.close();

    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[1].starts_with("📄 second ("), "{listed}");
    assert!(lines[2].starts_with(' ') && lines[2].contains('2'), "{listed}");
    assert_eq!(lines.len(), 3, "{listed}");
    for (version, expected) in [(1, "hello"), (2, "HELLO")] {
        let loaded = load(&mut host, json!({"savedServerId": id, "version": version}));
        assert_eq!(host.execute(&loaded, "echo", json!({"message": "hello"})).ok().text(), expected);
    }
    let latest = load(&mut host, json!({"savedServerId": id}));
    assert_eq!(host.execute(&latest, "echo", json!({"message": "hello"})).ok().text(), "HELLO");
    let error = host.call("load-saved-server", json!({"savedServerId": id, "version": 9})).error();
    assert!(error.contains('9'), "{error}");
}

#[test]
fn a_loaded_server_saved_under_its_name_is_a_version_and_under_another_a_server() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    let loaded = load(&mut host, json!({"savedServerId": id}));
    host.call("save-server", json!({"serverId": loaded, "name": "calc"})).ok();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(listed.matches("📄").count(), 1, "{listed}");
    let by_alias = load(&mut host, json!({"savedServerId": loaded}));
    assert_eq!(host.execute(&by_alias, "echo", json!({"message": "alias"})).ok().text(), "alias");
    host.call("save-server", json!({"serverId": by_alias, "name": "another"})).ok();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(listed.matches("📄").count(), 2, "{listed}");
}

#[test]
fn the_file_of_the_old_system_is_read_and_kept() {
    let home = TestHome::new();
    write_old_file(&home);
    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    let mut lines: Vec<&str> = listed.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "📂 Saved servers:",
            "📄 API Calculator Python (ID: 0b5b1c9e-6f0a-4f6e-9a53-0f0d6ad3f0c1, Language: python, \
             Saved: 2024-01-16T08:00:00.123Z)",
            "📄 Mon serveur de calcul v1.0 (ID: server-abc123, Language: python, Saved: 2024-01-15T10:30:00.000Z)",
        ]
    );
    for id in ["server-abc123", "0b5b1c9e-6f0a-4f6e-9a53-0f0d6ad3f0c1"] {
        let loaded = load(&mut host, json!({"savedServerId": id}));
        assert_eq!(host.execute(&loaded, "echo", json!({"message": "old"})).ok().text(), "old");
    }
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "new"})).ok();
    host.close();
    let records = read_file(&home);
    assert_eq!(records.as_object().unwrap().len(), 3);
    assert_eq!(records["server-abc123"]["savedAt"], "2024-01-15T10:30:00.000Z");
}

#[test]
fn an_edit_by_hand_while_the_host_runs_is_seen_and_kept() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "before"})).ok();
    assert!(wait_until(Duration::from_secs(3), || home.saved_servers().exists()));
    let mut records = read_file(&home);
    records[&id]["name"] = json!("edited by hand");
    records["server-byhand"] = json!({
        "name": "added by hand", "code": echo_server(), "language": "python",
        "savedAt": "2025-01-01T00:00:00.000Z", "serverId": "server-byhand"
    });
    fs::write(home.saved_servers(), serde_json::to_string_pretty(&records).unwrap()).unwrap();

    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 edited by hand (") && listed.contains("📄 added by hand ("), "{listed}");
    save_on_top(&mut host, &id, "after");
    host.close();
    let records = read_file(&home);
    assert_eq!(records[&id]["name"], "after");
    assert_eq!(records["server-byhand"]["name"], "added by hand");
    let mut host = home.start();
    let loaded = load(&mut host, json!({"savedServerId": "server-byhand"}));
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "hand"})).ok().text(), "hand");
}

#[test]
fn the_records_are_where_scripts_expect_them() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "plain"})).ok();
    let text = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let envelope: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(envelope["record"]["name"], "plain", "{text}");
    assert!(envelope["sha256"].is_string() && envelope["putId"].is_string(), "{text}");
}

/// Saves, and saves again while the answer is that somebody else did meanwhile.
pub(super) fn save_on_top(host: &mut TestHost, server: &str, name: &str) {
    for _ in 0..10 {
        let reply = host.call("save-server", json!({"serverId": server, "name": name}));
        if reply.raw()["isError"] != true {
            return;
        }
        assert!(reply.text().contains("meanwhile"), "{}", reply.text());
    }
    panic!("`{server}` is never saved");
}

pub(super) fn load(host: &mut TestHost, arguments: Value) -> String {
    let id = host.call("load-saved-server", arguments).ok().facts()["serverId"].as_str().unwrap().to_owned();
    host.wait_for_state(&id, &["ready"]);
    id
}

pub(super) fn read_file(home: &TestHome) -> Value {
    serde_json::from_slice(&fs::read(home.saved_servers()).unwrap()).unwrap()
}

pub(super) fn write_old_file(home: &TestHome) {
    fs::create_dir_all(home.data_dir()).unwrap();
    let code = serde_json::to_string(echo_server()).unwrap();
    let text = include_str!("../fixtures/old_system_saved_servers.json").replace("\"CODE\"", &code);
    fs::write(home.saved_servers(), text).unwrap();
}

/// What the files of the data folder hold, whatever they are called.
pub(super) fn copies(home: &TestHome) -> Vec<Vec<u8>> {
    let mut folders = vec![home.data_dir()];
    let mut contents = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => contents.push(fs::read(entry.path()).unwrap()),
            }
        }
    }
    contents
}
