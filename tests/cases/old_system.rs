//! One file, used in turns by the older system and by this one.

use std::fs;

use serde_json::{Value, json};

use crate::support::{TestHome, echo_server};

#[test]
fn the_file_is_used_in_turns() {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    fs::write(home.saved_servers(), odd_records()).unwrap();
    old_system(&home, &["save", "server-first", "first", echo_server()]);
    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 first (ID: server-first") && listed.contains("📄 odd (ID: 42"), "{listed}");
    let ours = host.create_python(echo_server());
    for round in 1..=8 {
        host.call("save-server", json!({"serverId": ours, "name": format!("ours {round}")})).ok();
        old_system(&home, &["save", "server-first", "first", &format!("# round {round}")]);
        old_system(&home, &["save", &format!("server-{round}"), "theirs", echo_server()]);
        old_system(&home, &["rewrite"]);
    }
    old_system(&home, &["delete", "server-8"]);
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 ours 8 (") && !listed.contains("(ID: server-8,"), "{listed}");
    assert_eq!(listed.matches("📄 theirs (").count(), 7, "{listed}");
    host.close();

    let versions = |id: &str| show(&home, id)["versions"].as_array().unwrap().len();
    assert_eq!((versions(&ours), versions("server-first")), (8, 9), "a save is a version, and nothing else is");
    assert_eq!(show(&home, "server-first")["code"], "# round 8");
    assert_eq!((versions("server-3"), versions("42")), (1, 1), "a record that only looks different is no version");
    assert_eq!(show(&home, "42")["author"], json!({"name": "x", "score": 1.5, "2": [], "10": {}}));
    let text = fs::read_to_string(home.saved_servers()).unwrap();
    assert!(text.contains(r#""code": "\ud83d""#) && text.contains(r#""name": "half a pair""#), "{text}");
    let report: Value = serde_json::from_slice(&home.run(&["fsck", "--json"]).stdout).unwrap();
    let found: Vec<_> = report["findings"].as_array().unwrap().iter().map(|f| (&f["kind"], &f["serverId"])).collect();
    assert_eq!(found, [(&json!("unusable_version"), &json!("server-half"))], "{report}");
}

#[test]
fn what_the_old_system_makes_of_our_file_is_what_we_wrote() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&format!("{}# é 🎉 \u{2028} \u{7f}\n", echo_server()));
    host.call("save-server", json!({"serverId": id, "name": "é 🎉 a\"b\\c/"})).ok();
    host.close();
    let before = fs::read_to_string(home.saved_servers()).unwrap();
    old_system(&home, &["rewrite"]);
    assert_eq!(fs::read_to_string(home.saved_servers()).unwrap(), before);
}

/// A record with keys of its own and numbers that JavaScript rounds, and one with half of a surrogate pair.
fn odd_records() -> &'static str {
    r#"{"server-half": {"name": "half a pair", "code": "\ud83d", "language": "python", "savedAt": "", "serverId": "server-half"},
"42": {"serverId": "42", "author": {"name": "x", "score": 1.50, "10": {}, "2": []}, "name": "odd", "code": "x = 1",
"language": "python", "savedAt": "2024-01-15T10:30:00.000Z", "revision": 12345678901234567890}}"#
}

fn old_system(home: &TestHome, arguments: &[&str]) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/old_system.cjs");
    let output = home.program("node").arg(program).arg(home.saved_servers()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn show(home: &TestHome, id: &str) -> Value {
    let output = home.run(&["show", id, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
