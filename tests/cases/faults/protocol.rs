//! What a client may send, or may stop to send.

use std::{fs, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    cases::{
        processes::home_with_a_hanging_installer,
        protocol::{assert_alive, initialize, modern},
    },
    support::{TestHome, carrying, echo_server, misbehaving_server, wait_until, wait_until_gone},
};

#[rstest]
#[case::text(b"hello\n")]
#[case::half_an_object(b"{\"jsonrpc\": \"2.0\", \"id\": 1,\n")]
fn fault_01_a_line_that_is_not_json_gets_a_parse_error(#[case] line: &[u8]) {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(host.write(line));
    let answer = host.expect("a parse error", |message| message.get("error").is_some());
    assert_eq!(answer["error"]["code"], -32700, "{answer}");
    assert!(answer["id"].is_null(), "{answer}");
    assert_alive(&mut host);
}

#[rstest]
#[case::a_line(b"\n")]
#[case::bytes_without_a_line_feed(b"x")]
fn fault_02_a_hundred_megabytes_end_the_connection_with_a_reason_and_in_bounded_memory(#[case] end: &[u8]) {
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

#[rstest]
#[case::not_utf8(b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"\xff\xfe\"}\n")]
#[case::a_nul(b"\x00\n")]
#[case::a_nul_in_a_message(b"{\"jsonrpc\": \"2.0\", \"id\": 1, \x00\"method\": \"ping\"}\n")]
fn fault_03_bytes_that_are_no_text_get_a_parse_error(#[case] line: &[u8]) {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(host.write(line));
    let answer = host.expect("a parse error", |message| message.get("error").is_some());
    assert_eq!(answer["error"]["code"], -32700, "{answer}");
    assert!(answer["id"].is_null(), "{answer}");
    assert_alive(&mut host);
}

#[rstest]
#[case::byte_order_mark("\u{feff}{}\n")]
#[case::carriage_return("{}\r\n")]
#[case::blank_lines("\n\r\n{}\n\n")]
fn fault_03_odd_framing_is_tolerated(#[case] frame: &str) {
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
fn fault_04_json_that_is_no_request_gets_an_error(#[case] message: Value) {
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
fn fault_04_ids_come_back_as_they_were(#[case] id: Value) {
    let home = TestHome::new();
    let mut host = home.start();
    host.send(&json!({"jsonrpc": "2.0", "id": id, "method": "ping"}));
    assert!(host.answer(&id)["result"].is_object());
}

#[test]
fn fault_04_an_id_that_is_still_in_flight_is_refused_and_its_first_request_is_answered() {
    let home = TestHome::new();
    let mut host = home.start();
    let server = host.create_python(&misbehaving_server("slow"));
    let arguments = json!({"serverId": server, "toolName": "echo", "args": {"message": "first"}});
    let params = json!({"name": "execute-tool", "arguments": arguments});
    host.send(&json!({"jsonrpc": "2.0", "id": "twice", "method": "tools/call", "params": params}));
    host.send(&json!({"jsonrpc": "2.0", "id": "twice", "method": "ping"}));
    let refused = host.answer(&json!("twice"));
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("in flight"), "{refused}");
    assert_eq!(host.answer(&json!("twice"))["result"]["content"][0]["text"], "first");
    host.send(&json!({"jsonrpc": "2.0", "id": "twice", "method": "ping"}));
    assert!(host.answer(&json!("twice"))["result"].is_object(), "an id that was answered may come again");
}

#[test]
fn fault_04_unknown_methods_and_tools_are_told_so() {
    let home = TestHome::new();
    let mut host = home.start();
    assert_eq!(host.request("foo/bar", json!({}))["error"]["code"], -32601);
    let unknown = host.request("tools/call", json!({"name": "create-sever", "arguments": {}}));
    assert!(unknown.to_string().contains("create-sever"), "{unknown}");
    host.notify("notifications/of/another/kind", json!({}));
    assert_alive(&mut host);
}

#[test]
fn fault_05_a_call_before_the_handshake_is_answered_and_the_handshake_still_works() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let early = host.request("tools/call", json!({"name": "list-saved-servers", "arguments": {}}));
    assert!(early["result"].is_object() || early["error"]["message"].is_string(), "{early}");
    assert_eq!(host.request("initialize", initialize("2025-11-25"))["result"]["protocolVersion"], "2025-11-25");
    host.notify("notifications/initialized", json!({}));
    assert_alive(&mut host);
}

#[test]
fn fault_05_a_stateless_call_may_be_the_very_first_message() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let call = json!({"name": "list-saved-servers", "arguments": {}});
    let result = host.request("tools/call", modern(call))["result"].clone();
    assert_eq!(result["content"][0]["text"], "📂 No saved servers found");
}

#[rstest]
#[case::ping("ping", json!({}))]
#[case::discover("server/discover", modern(json!({})))]
fn fault_05_a_handshake_may_come_after_a_look_and_a_cancellation(#[case] method: &str, #[case] params: Value) {
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
fn fault_05_an_unknown_version_gets_the_versions_that_work() {
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
fn fault_05_a_handshake_in_an_unknown_version_is_answered_in_a_known_one() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let result = host.request("initialize", initialize("2031-01-01"))["result"].clone();
    assert_eq!(result["protocolVersion"], "2025-11-25", "{result}");
}

#[test]
fn fault_06_half_a_message_and_then_the_end_is_an_ordinary_end() {
    let home = TestHome::new();
    let mut host = home.start();
    host.create_python(echo_server());
    assert!(host.write(br#"{"jsonrpc":"2.0","id":9,"meth"#));
    assert!(host.close().success());
}

#[test]
fn fault_06_the_end_of_stdin_in_the_middle_of_a_build_ends_the_build() {
    let home = home_with_a_hanging_installer();
    let mut host = home.start();
    host.begin_call(
        "create-server-from-template",
        json!({
            "language": "python", "code": "import requests", "dependencies": {"requests": "*"}
        }),
    );
    let before = carrying(&home.mark()).len();
    let building = wait_until(Duration::from_secs(20), || carrying(&home.mark()).len() > before);
    assert!(building, "no installer was started\n{}", host.stderr());
    assert!(host.close().success());
    wait_until_gone(&home.mark());
}

#[test]
fn fault_07_nothing_comes_for_a_cancelled_call_whose_child_answers_late() {
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

#[rstest]
#[case::parameters(r#"{"jsonrpc":"2.0","id":"deep","method":"ping","params":{"a":DEEP}}"#)]
#[case::arguments(
    r#"{"jsonrpc":"2.0","id":"deep","method":"tools/call","params":{"name":"execute-tool","arguments":{"serverId":"x",
       "toolName":"y","args":{"a":DEEP}}}}"#
)]
#[case::an_id(r#"{"jsonrpc":"2.0","id":DEEP,"method":"ping"}"#)]
#[case::a_batch("DEEP")]
fn fault_08_ten_thousand_levels_are_refused(#[case] line: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let line = line.replace('\n', "").replace("DEEP", &deep);
    assert!(host.write(format!("{line}\n").as_bytes()));
    let answer = host.expect("an error", |message| message.get("error").is_some());
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    assert_alive(&mut host);
}

#[test]
fn fault_08_ten_thousand_levels_of_a_child_fail_its_call_alone() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("deep"));
    let error = host.execute(&id, "echo", json!({"message": "hello"})).error();
    assert!(error.contains("answer") && error.len() < 8192, "{error:.500}");
    assert_alive(&mut host);
}

fn peak_memory_kib(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
