//! What a model may get wrong when it calls a tool, and what it is told.

use std::{
    io::ErrorKind,
    net::TcpListener,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, echo_server, misbehaving_server};

#[rstest]
#[case::a_path("../../etc/passwd")]
#[case::a_drive("C:\\")]
#[case::empty("")]
#[case::long(&"a".repeat(10_000))]
#[case::a_prototype("__proto__")]
#[case::a_nul("server-\0")]
#[case::plausible("server-000000000000")]
fn fault_09_an_id_that_is_none_is_unknown(#[case] id: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    for tool in ["execute-tool", "get-server", "get-server-tools", "delete-server", "save-server", "update-server"] {
        let arguments = json!({"serverId": id, "toolName": "echo", "args": {}, "name": "x", "code": echo_server()});
        let keep: &[&str] = match tool {
            "execute-tool" => &["serverId", "toolName", "args"],
            "save-server" => &["serverId", "name"],
            "update-server" => &["serverId", "code"],
            _ => &["serverId"],
        };
        let arguments: Value = keep.iter().map(|key| (key.to_string(), arguments[key].clone())).collect();
        let error = host.call(tool, arguments).error();
        assert!(error.len() < 4096, "{tool} repeats the id: {} bytes", error.len());
    }
    for tool in ["load-saved-server", "delete-saved-server"] {
        host.call(tool, json!({"savedServerId": id})).error();
    }
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
}

#[rstest]
#[case::a_slash("a/b")]
#[case::a_path("../../../tmp/evil")]
#[case::right_to_left("abc\u{202e}fdp.exe")]
#[case::zero_width("a\u{200b}b")]
#[case::a_device("CON")]
#[case::a_line_feed("one\ntwo")]
#[case::like_a_list_line("x (ID: server-1, Language: python, Saved: never)\n📄 y")]
fn fault_10_odd_names_are_refused_or_kept_without_harm(#[case] name: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "plain"})).ok();
    host.call("save-server", json!({"serverId": id, "name": name}));
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(listed.lines().filter(|line| line.starts_with("📄")).count(), 1, "{listed}");
    let loaded = host.call("load-saved-server", json!({"savedServerId": id, "version": 1})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap();
    assert_eq!(host.execute(loaded, "echo", json!({"message": "safe"})).ok().text(), "safe");
}

#[test]
fn fault_10_a_name_of_five_megabytes_is_refused() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let error = host.call("save-server", json!({"serverId": id, "name": "n".repeat(5 << 20)})).error();
    assert!(error.len() < 4096 && error.contains("name"), "{error:.500}");
}

#[test]
fn fault_10_names_that_differ_in_case_only_are_two_servers() {
    let home = TestHome::new();
    let mut host = home.start();
    for name in ["Calcul", "calcul"] {
        let id = host.create_python(echo_server());
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
    }
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 Calcul (") && listed.contains("📄 calcul ("), "{listed}");
}

#[rstest]
#[case::as_text(json!({"toolName": "echo", "args": "{\"message\": \"Hello\"}"}))]
#[case::at_top_level(json!({"toolName": "echo", "message": "Hello"}))]
#[case::as_arguments(json!({"toolName": "echo", "arguments": {"message": "Hello"}}))]
fn fault_11_slips_are_understood(#[case] mut arguments: Value) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    arguments["serverId"] = json!(id);
    assert_eq!(host.call("execute-tool", arguments).ok().text(), "Hello");
}

#[rstest]
#[case::no_json(json!({"toolName": "echo", "args": "message=Hello"}), "args")]
#[case::a_list(json!({"toolName": "echo", "args": ["Hello"]}), "args")]
#[case::both(json!({"toolName": "echo", "args": {"message": "a"}, "message": "b"}), "message")]
fn fault_11_what_is_ambiguous_gets_the_right_form(#[case] mut arguments: Value, #[case] field: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    arguments["serverId"] = json!(id);
    let error = host.call("execute-tool", arguments).error();
    assert!(error.contains(field) && error.contains("\"toolName\""), "no example: {error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "next"})).ok().text(), "next");
}

#[rstest]
#[case::missing(json!({}), "message")]
#[case::pattern(json!({"message": "ABC"}), "message")]
#[case::wrong_type(json!({"message": 5}), "message")]
#[case::not_an_integer(json!({"message": "a", "count": 1.5}), "count")]
#[case::too_large(json!({"message": "a", "count": 10}), "count")]
#[case::not_in_the_list(json!({"message": "a", "colour": "blue"}), "colour")]
#[case::no_alternative(json!({"message": "a", "size": "large"}), "size")]
#[case::unknown(json!({"message": "a", "other": 1}), "other")]
fn fault_12_arguments_that_break_the_schema_never_reach_the_child(#[case] arguments: Value, #[case] field: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("strict_schema"));
    let error = host.execute(&id, "echo", arguments).error();
    assert!(error.contains(field), "{error}");
    assert!(error.contains("additionalProperties"), "the schema is not shown: {error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "fine", "count": 9})).ok().text(), "fine");
}

#[rstest]
#[case::missing("execute-tool", json!({"toolName": "echo"}), "serverId")]
#[case::wrong_type("save-server", json!({"serverId": "server-abc123", "name": 5}), "name")]
#[case::unknown("delete-server", json!({"serverId": "server-abc123", "force": true}), "force")]
fn fault_12_arguments_of_the_hosts_own_tools_are_checked(
    #[case] tool: &str,
    #[case] arguments: Value,
    #[case] field: &str,
) {
    let home = TestHome::new();
    let mut host = home.start();
    let error = host.call(tool, arguments).error();
    assert!(error.contains(field), "{error}");
}

#[test]
fn fault_13_a_remote_schema_is_never_fetched() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let home = TestHome::new();
    let mut host = home.start();
    let code = misbehaving_server("remote_reference");
    let code = code.replace("127.0.0.1:9", &elsewhere.local_addr().unwrap().to_string());
    let id = host.create_python(&code);
    host.execute(&id, "echo", json!({"message": "hello"}));
    assert_eq!(elsewhere.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "somebody asked for the schema");
}

#[rstest]
#[case("remote_reference")]
#[case("endless_schema")]
#[case("slow_pattern")]
fn fault_13_a_hostile_schema_costs_bounded_time(#[case] mode: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server(mode));
    let begun = Instant::now();
    host.execute(&id, "echo", json!({"message": format!("{}!", "a".repeat(40))}));
    assert!(begun.elapsed() < Duration::from_secs(20), "the check never ends");
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
}

#[test]
fn fault_14_a_wrong_language_gets_the_right_ones() {
    let home = TestHome::new();
    let mut host = home.start();
    let error = host.call("create-server-from-template", json!({"language": "cobol", "code": "x"})).error();
    assert!(error.contains("cobol") && error.contains("python"), "{error}");
}

#[rstest]
#[case::empty("")]
#[case::blank(" \n")]
fn fault_14_empty_code_is_refused(#[case] code: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let error = host.call("create-server-from-template", json!({"language": "python", "code": code})).error();
    assert!(error.contains("code"), "{error}");
}

#[test]
fn fault_14_far_too_much_code_is_refused_with_the_limit() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = "# filler\n".repeat(12 << 17);
    let error = host.call("create-server-from-template", json!({"language": "python", "code": code})).error();
    assert!(error.len() < 4096 && error.contains("limit"), "{error:.500}");
}

#[test]
fn fault_14_fifty_megabytes_of_code_are_refused_with_the_limit() {
    let home = TestHome::new().config("[limits]\nline_mb = 64\n");
    let mut host = home.start();
    let code = "# filler\n".repeat((50 << 20) / 9);
    let error = host.call("create-server-from-template", json!({"language": "python", "code": code})).error();
    assert!(error.len() < 4096 && error.contains("1048576"), "{error:.500}");
    assert_eq!(host.call("list-servers", json!({})).ok().facts()["servers"], json!([]));
}
