//! The wire to the client: both protocol eras, and what a client may get wrong.

use std::{fs, io::Write, process::Stdio, thread, time::Duration};

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

#[test]
fn a_stateless_call_may_be_the_very_first_message() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let call = json!({"name": "list-saved-servers", "arguments": {}});
    let result = host.request("tools/call", modern(call))["result"].clone();
    assert_eq!(result["content"][0]["text"], "📂 No saved servers found");
}

#[test]
fn an_unknown_version_gets_the_versions_that_work() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let mut params = modern(json!({}));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let error = host.request("tools/list", params)["error"].clone();
    assert_eq!(error["code"], -32022, "{error}");
    assert!(error["data"]["supported"].as_array().unwrap().contains(&json!("2026-07-28")), "{error}");
    assert!(host.request("tools/list", modern(json!({})))["result"].is_object());
}

#[test]
fn a_handshake_in_an_unknown_version_is_answered_in_a_known_one() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let result = host.request("initialize", initialize("2031-01-01"))["result"].clone();
    assert_eq!(result["protocolVersion"], "2025-11-25", "{result}");
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
fn a_call_before_the_handshake_is_answered_and_the_handshake_still_works() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let early = host.request("tools/call", json!({"name": "list-saved-servers", "arguments": {}}));
    assert!(early["result"].is_object() || early["error"]["message"].is_string(), "{early}");
    assert_eq!(host.request("initialize", initialize("2025-11-25"))["result"]["protocolVersion"], "2025-11-25");
    host.notify("notifications/initialized", json!({}));
    assert_alive(&mut host);
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

#[rstest]
#[case::ping("ping", json!({}))]
#[case::discover("server/discover", modern(json!({})))]
fn a_handshake_may_come_after_a_look_and_a_cancellation(#[case] method: &str, #[case] params: Value) {
    let home = TestHome::new();
    let mut host = home.spawn();
    let first = host.request(method, params);
    assert!(first["result"].is_object(), "{first}");
    host.notify("notifications/cancelled", json!({"requestId": 3}));
    let answer = host.request("initialize", initialize("2025-11-25"));
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
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

#[rstest]
#[case::text(b"hello\n")]
#[case::half_an_object(b"{\"jsonrpc\": \"2.0\", \"id\": 1,\n")]
#[case::not_utf8(b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"\xff\xfe\"}\n")]
#[case::a_nul(b"\x00\n")]
fn a_line_that_is_not_json_gets_a_parse_error(#[case] line: &[u8]) {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(host.write(line));
    let answer = host.expect("a parse error", |message| message.get("error").is_some());
    assert_eq!(answer["error"]["code"], -32700, "{answer}");
    assert!(answer["id"].is_null(), "{answer}");
    assert_alive(&mut host);
}

#[test]
fn ten_thousand_levels_are_refused() {
    let home = TestHome::new();
    let mut host = home.start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let line = format!(r#"{{"jsonrpc":"2.0","id":"deep","method":"ping","params":{{"a":{deep}}}}}"#);
    assert!(host.write(format!("{line}\n").as_bytes()));
    let answer = host.expect("an error", |message| message.get("error").is_some());
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    assert_alive(&mut host);
}

#[rstest]
#[case::byte_order_mark("\u{feff}{}\n")]
#[case::carriage_return("{}\r\n")]
#[case::blank_lines("\n\r\n{}\n\n")]
fn odd_framing_is_tolerated(#[case] frame: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let message = r#"{"jsonrpc":"2.0","id":"odd","method":"ping"}"#;
    assert!(host.write(frame.replace("{}", message).as_bytes()));
    assert!(host.answer(&json!("odd"))["result"].is_object());
    assert_alive(&mut host);
}

#[rstest]
#[case::a_batch(json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]))]
#[case::an_empty_batch(json!([]))]
#[case::a_number(json!(42))]
#[case::no_method(json!({"jsonrpc": "2.0", "id": 77}))]
#[case::a_float_as_id(json!({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}))]
#[case::an_object_as_id(json!({"jsonrpc": "2.0", "id": {}, "method": "ping"}))]
#[case::method_is_a_number(json!({"jsonrpc": "2.0", "id": 78, "method": 5}))]
fn json_that_is_no_request_gets_an_error(#[case] message: Value) {
    let home = TestHome::new();
    let mut host = home.start();
    host.send(&message);
    let answer = host.expect("an error", |message| message.get("error").is_some());
    assert!([-32600, -32700].map(Value::from).contains(&answer["error"]["code"]), "{answer}");
    assert_alive(&mut host);
}

#[rstest]
#[case::huge(json!(9_007_199_254_740_993_i64))]
#[case::negative(json!(-1))]
#[case::text(json!("a text"))]
#[case::empty_text(json!(""))]
fn ids_come_back_as_they_were(#[case] id: Value) {
    let home = TestHome::new();
    let mut host = home.start();
    host.send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
    assert!(host.answer(&id)["result"].is_object());
}

#[test]
fn unknown_methods_and_tools_are_told_so() {
    let home = TestHome::new();
    let mut host = home.start();
    assert_eq!(host.request("foo/bar", json!({}))["error"]["code"], -32601);
    let unknown = host.request("tools/call", json!({"name": "create-sever", "arguments": {}}));
    assert!(unknown.to_string().contains("create-sever"), "{unknown}");
    host.notify("notifications/of/another/kind", json!({}));
    assert_alive(&mut host);
}

#[rstest]
#[case::a_line(b"\n")]
#[case::bytes_without_a_line_feed(b"x")]
fn a_hundred_megabytes_end_the_connection_with_a_reason_and_in_bounded_memory(#[case] end: &[u8]) {
    let home = TestHome::new();
    let mut host = home.start();
    let status = format!("/proc/{}/status", host.pid());
    let chunk = vec![b'x'; 1 << 20];
    let all_read = (0..100).all(|_| host.write(&chunk));
    let peak = peak_memory_kib(&status);
    if all_read {
        host.write(end);
    }
    host.close_stdin();
    let told: Vec<Value> = host.rest();
    assert!(told.len() == 1 && told[0]["error"]["message"].is_string(), "no reason: {told:?}");
    assert!(told[0]["error"]["message"].as_str().unwrap().contains("16"), "the limit is not told: {told:?}");
    assert!(peak < 100 * 1024, "{peak} KiB at the peak");
    assert!(host.wait().success());
}

#[test]
fn nothing_comes_for_a_cancelled_call_whose_child_answers_late() {
    let home = TestHome::new();
    let mut host = home.start();
    let server = host.create_python(&misbehaving_server("slow"));
    let call = host.begin_call(
        "execute-tool",
        json!({
            "serverId": server, "toolName": "echo", "args": {"message": "late"}
        }),
    );
    assert_eq!(host.execute(&server, "echo", json!({"message": "now"})).ok().text(), "now");
    host.notify("notifications/cancelled", json!({"requestId": call, "reason": "enough"}));
    let state = || "the call was cancelled";
    let mut told = false;
    for _ in 0..200 {
        told = host.call("get-server", json!({"serverId": server})).ok().text().contains(state());
        if told {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(told, "the child was not told");
    assert_eq!(host.execute(&server, "echo", json!({"message": "now"})).ok().text(), "now");
    host.close_stdin();
    let late: Vec<Value> = host.rest().into_iter().filter(|message| message["id"] == call).collect();
    assert!(late.is_empty(), "{late:?}");
}

#[test]
fn half_a_message_and_then_the_end_is_an_ordinary_end() {
    let home = TestHome::new();
    let mut host = home.start();
    host.create_python(echo_server());
    assert!(host.write(br#"{"jsonrpc":"2.0","id":9,"meth"#));
    assert!(host.close().success());
}

fn assert_alive(host: &mut TestHost) {
    let answer = host.request("ping", json!({}));
    assert_eq!(answer["result"], json!({}), "{answer}");
}

fn initialize(version: &str) -> Value {
    json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}})
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    params
}

fn peak_memory_kib(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
