//! The guide's whole workflow, driven by the clients that people use.

use std::process::Command;

use rstest::rstest;
use serde_json::{Map, Value};

use crate::support::{TestHome, installed, tests_dir};

#[rstest]
fn the_official_python_sdk_2(#[values("legacy", "auto", "2026-07-28")] protocol: &str) {
    let mut home = TestHome::new();
    home = home.env("PROTOCOL", protocol);
    python_client(&home, "python", "python_sdk_2.py");
}

#[test]
fn the_official_python_sdk_1() {
    python_client(&TestHome::new(), "python-legacy", "python_sdk_1.py");
}

#[test]
fn the_client_of_fastmcp() {
    python_client(&TestHome::new(), "python", "fastmcp_client.py");
}

#[test]
fn the_official_typescript_sdk_1() {
    node_client(TestHome::new(), "typescript_sdk_1.cjs");
}

#[rstest]
fn the_official_typescript_sdk_2(#[values("legacy", "auto", "2026-07-28")] protocol: &str) {
    node_client(TestHome::new().env("PROTOCOL", protocol), "typescript_sdk_2.cjs");
}

#[test]
fn the_command_line_of_the_inspector() {
    node_client(TestHome::new().env("PROTOCOL", "auto"), "inspector.cjs");
}

pub(super) fn python_client(home: &TestHome, environment: &str, driver: &str) {
    let python = installed(environment).join("bin/python");
    check(home, home.program(python), driver);
}

fn node_client(home: TestHome, driver: &str) {
    let home = home.env("NODE_PATH", installed("node/node_modules"));
    check(&home, home.program("node"), driver);
}

/// Runs a driver and checks what it was told.
fn check(home: &TestHome, mut client: Command, driver: &str) {
    client.arg(tests_dir().join("clients").join(driver));
    client.arg(tests_dir().join("fixtures/echo_server.py")).arg(TestHome::binary()).arg("serve");
    client.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = client.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{driver} failed\n{complaints}");
    let report: Map<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    let told = |key: &str| report[key].as_str().unwrap();
    let first_line = |key: &str| told(key).lines().next().unwrap();
    let (id, new_id) = (told("server"), told("loaded_server"));

    let tools: Vec<&str> = report["tools"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for tool in ["create-server-from-template", "execute-tool", "save-server", "load-saved-server"] {
        assert!(tools.contains(&tool), "{tools:?}");
    }
    assert!(told("running").contains(id));
    assert_eq!(told("echoed"), "Hello");
    assert_eq!(first_line("saved"), format!("✅ Server {id} saved as \"Mon serveur de calcul v1.0\""));
    let listed = format!("📂 Saved servers:\n📄 Mon serveur de calcul v1.0 (ID: {id}, Language: python, Saved: ");
    assert!(told("listed").starts_with(&listed), "{}", told("listed"));
    assert_eq!(first_line("loaded"), format!("✅ Saved server loaded as new server: {new_id}"));
    assert_ne!(id, new_id);
    assert_eq!(told("echoed_again"), "Hello again");
    assert_eq!(first_line("deleted"), format!("🗑️ Saved server {id} deleted"));
    assert_eq!(told("emptied"), "📂 No saved servers found");
    assert!(home.data_dir().exists());
}
