//! The wire to the client: both protocol eras, and what a client may get wrong.

use std::{io::Write, process::Stdio, thread, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, misbehaving_server};

#[test]
fn the_handshake_names_the_server_and_tells_how_to_use_it() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let result = host.request("initialize", initialize("2025-11-25"))["result"].clone();
    assert_eq!(result["protocolVersion"], "2025-11-25");
    assert_eq!(result["serverInfo"]["name"], "perennial");
    assert!(result["capabilities"]["tools"].is_object(), "{result}");
    let instructions = result["instructions"].as_str().unwrap();
    assert!(instructions.len() < 2048);
    for tool in ["create-server-from-template", "execute-tool", "save-server"] {
        assert!(instructions.contains(tool), "{instructions}");
    }
}

#[test]
fn the_tools_of_the_guide_are_listed_with_schemas_and_annotations() {
    let home = TestHome::new();
    let mut host = home.start();
    let tools = host.request("tools/list", json!({}))["result"]["tools"].clone();
    let tools = tools.as_array().unwrap();
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for (name, arguments) in [
        ("create-server-from-template", &["language", "code", "dependencies"][..]),
        ("update-server", &["serverId", "code", "dependencies"]),
        ("execute-tool", &["serverId", "toolName", "args"]),
        ("get-server-tools", &["serverId"]),
        ("get-server", &["serverId"]),
        ("list-servers", &[]),
        ("delete-server", &["serverId"]),
        ("save-server", &["serverId", "name"]),
        ("list-saved-servers", &[]),
        ("load-saved-server", &["savedServerId", "version"]),
        ("delete-saved-server", &["savedServerId"]),
    ] {
        assert_eq!(tool(name)["inputSchema"]["type"], "object", "{name}");
        assert!(!tool(name)["description"].as_str().unwrap().is_empty(), "{name}");
        for argument in arguments {
            assert!(tool(name)["inputSchema"]["properties"][argument].is_object(), "{argument} of {name}");
        }
    }
    assert_eq!(tool("list-servers")["annotations"]["readOnlyHint"], true);
    assert_eq!(tool("delete-saved-server")["annotations"]["destructiveHint"], true);
    assert!(tools.iter().all(|tool| !tool["name"].as_str().unwrap().contains('_')), "aliases are not listed");
}

#[test]
fn the_stateless_era_needs_no_handshake() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let discovered = host.request("server/discover", modern(json!({})))["result"].clone();
    let versions = discovered["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")), "{discovered}");
    assert_eq!(discovered["resultType"], "complete");
    let listed = host.request("tools/list", modern(json!({})))["result"].clone();
    assert_eq!(listed["resultType"], "complete");

    let create = json!({
        "name": "create-server-from-template",
        "arguments": {"language": "python", "code": echo_server()}
    });
    let created = host.request("tools/call", modern(create))["result"].clone();
    assert_eq!(created["resultType"], "complete", "{created}");
    let id = created["structuredContent"]["serverId"].clone();
    let execute = json!({
        "name": "execute-tool",
        "arguments": {"serverId": id, "toolName": "add", "args": {"a": 40, "b": 2}}
    });
    let result = host.request("tools/call", modern(execute))["result"].clone();
    assert_eq!(result["resultType"], "complete", "a forwarded result is complete too: {result}");
    assert_eq!(result["content"][0]["text"], "42");
    assert_eq!(result["structuredContent"], json!({"total": 42}));
}

#[rstest]
#[case("2024-11-05")]
#[case("2025-03-26")]
#[case("2025-06-18")]
fn older_handshakes_work(#[case] version: &str) {
    let home = TestHome::new();
    let mut host = home.spawn();
    assert_eq!(host.request("initialize", initialize(version))["result"]["protocolVersion"], version);
    host.notify("notifications/initialized", json!({}));
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
}

#[test]
fn a_notification_as_the_first_message_is_survived() {
    let home = TestHome::new();
    let mut host = home.spawn();
    host.notify("notifications/initialized", json!({}));
    host.notify("notifications/cancelled", json!({"requestId": 3}));
    assert!(host.request("initialize", initialize("2025-11-25"))["result"].is_object());
    host.notify("notifications/initialized", json!({}));
    assert_alive(&mut host);
}

#[test]
fn a_large_answer_outlives_the_end_of_stdin_and_a_late_reader() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = misbehaving_server("large");
    let id = host.create_python(&code);
    host.call("save-server", json!({"serverId": id, "name": "large"})).ok();
    host.close();

    let mut command = home.command(&["serve"]);
    let mut host = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let params = json!({
        "name": "execute-tool", "arguments": {"serverId": id, "toolName": "echo", "args": {"message": "2"}}
    });
    let requests = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize("2025-11-25")}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}),
    ];
    let mut stdin = host.stdin.take().unwrap();
    requests.iter().for_each(|request| writeln!(stdin, "{request}").unwrap());
    drop(stdin);
    thread::sleep(Duration::from_millis(300));
    let told = host.wait_with_output().unwrap().stdout;
    let last = told.strip_suffix(b"\n").and_then(|told| told.rsplit(|byte| *byte == b'\n').next()).unwrap();
    let answer: Value = serde_json::from_slice(last).unwrap();
    assert_eq!(answer["id"], 2, "{answer:.300}");
    assert_eq!(answer["result"]["content"][0]["text"].as_str().map(str::len), Some(2 << 20), "{answer:.300}");
}

pub(super) fn assert_alive(host: &mut TestHost) {
    let answer = host.request("ping", json!({}));
    assert_eq!(answer["result"], json!({}), "{answer}");
}

pub(super) fn initialize(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}})
}

pub(super) fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    params
}
