//! The guide that users know, from its first step to its last.

use std::fs;

use chrono::NaiveDateTime;
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server};

const NAME: &str = "Mon serveur de calcul v1.0";

/// Ways for a host to end.
#[derive(Clone, Copy)]
enum End {
    StdinClosed,
    Sigterm,
    Sigkill,
}

impl End {
    fn of(self, host: TestHost) {
        match self {
            End::StdinClosed => assert!(host.close().success()),
            End::Sigterm => assert!(host.terminate().success()),
            End::Sigkill => host.kill(),
        }
    }
}

#[rstest]
fn a_server_comes_back_after_a_restart(
    #[values(End::StdinClosed, End::Sigterm, End::Sigkill)] end: End,
    #[values("python", "Python", "py")] language: &str,
) {
    let home = TestHome::new();
    let mut host = home.start();
    let created = host.call("create-server-from-template", json!({"language": language, "code": echo_server()})).ok();
    let id = created.first_line_json()["serverId"].as_str().unwrap().to_owned();
    assert_server_id(&id);
    assert_eq!(created.facts()["serverId"], id.as_str());
    assert!(created.first_line_json()["message"].is_string(), "{}", created.text());
    assert!(host.call("list-servers", json!({})).ok().text().contains(&id));
    assert_eq!(host.execute(&id, "echo", json!({"message": "Hello"})).ok().text(), "Hello");
    let saved = host.call("save-server", json!({"serverId": id, "name": NAME})).ok();
    assert_eq!(saved.first_line(), format!("✅ Server {id} saved as \"{NAME}\""));
    assert!(saved.text().lines().nth(1).is_some_and(|line| line.contains('1')), "{}", saved.text());
    end.of(host);

    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(
        listed,
        format!("📂 Saved servers:\n📄 {NAME} (ID: {id}, Language: python, Saved: {})", saved_at(&listed))
    );
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok();
    let new_id = loaded.facts()["serverId"].as_str().unwrap().to_owned();
    assert_server_id(&new_id);
    assert_ne!(new_id, id);
    assert_eq!(loaded.first_line(), format!("✅ Saved server loaded as new server: {new_id}"));
    host.wait_for_state(&new_id, &["ready"]);
    assert_eq!(host.execute(&new_id, "echo", json!({"message": "Hello again"})).ok().text(), "Hello again");
    let deleted = host.call("delete-saved-server", json!({"savedServerId": id})).ok();
    assert_eq!(deleted.first_line(), format!("🗑️ Saved server {id} deleted"));
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
    end.of(host);

    let mut host = home.start();
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
}

#[test]
fn the_file_is_the_one_of_the_guide() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": NAME})).ok();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    host.close();

    let text = fs::read_to_string(home.saved_servers()).unwrap();
    let code = serde_json::to_string(echo_server()).unwrap();
    let beginning = format!(
        "{{\n  \"{id}\": {{\n    \"name\": \"{NAME}\",\n    \"code\": {code},\n    \"language\": \"python\",\n    \
         \"savedAt\": \"{}\",\n    \"serverId\": \"{id}\"",
        saved_at(&listed)
    );
    assert!(text.starts_with(&beginning), "{text}");
    let records: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(records.keys().collect::<Vec<_>>(), [&id]);
}

#[test]
fn without_code_the_template_runs() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create(json!({"language": "python"}));
    let tools = host.call("get-server-tools", json!({"serverId": id})).ok().facts();
    assert_eq!(tools["tools"][0]["name"], "echo", "{tools}");
    assert!(host.execute(&id, "echo", json!({"message": "Bonjour à tous"})).ok().text().contains("Bonjour à tous"));
    host.call("save-server", json!({"serverId": id, "name": NAME})).ok();
    host.close();

    let mut host = home.start();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap();
    assert!(host.execute(loaded, "echo", json!({"message": "encore"})).ok().text().contains("encore"));
}

#[test]
fn a_deleted_server_is_gone() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("delete-server", json!({"serverId": id})).ok();
    assert!(!host.call("list-servers", json!({})).ok().text().contains(&id));
    assert!(host.execute(&id, "echo", json!({"message": "?"})).error().contains(&id));
}

#[test]
fn an_update_keeps_the_id_and_a_failed_one_keeps_the_server() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let louder = echo_server().replace("arguments[\"message\"]}", "arguments[\"message\"].upper()}");
    host.call("update-server", json!({"serverId": id, "code": louder})).ok();
    host.wait_for_state(&id, &["ready"]);
    assert_eq!(host.execute(&id, "echo", json!({"message": "louder"})).ok().text(), "LOUDER");

    let error = host.call("update-server", json!({"serverId": id, "code": "def broken(:\n"})).error();
    assert!(error.contains("SyntaxError"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "STILL");
}

fn assert_server_id(id: &str) {
    let digits = id.strip_prefix("server-").unwrap_or_else(|| panic!("{id}"));
    assert!(digits.len() == 12 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
}

/// The one time in a list of one saved server, checked to be as the guide writes it.
fn saved_at(listed: &str) -> &str {
    let (_, rest) = listed.rsplit_once("Saved: ").unwrap_or_else(|| panic!("{listed}"));
    let time = rest.trim_end_matches(')');
    assert_eq!(time.len(), "2024-01-15T10:30:00.000Z".len(), "{listed}");
    NaiveDateTime::parse_from_str(time, "%Y-%m-%dT%H:%M:%S%.3fZ").unwrap();
    time
}
