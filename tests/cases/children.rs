//! Servers that models write, and what passes between them and the client; `faults/children.rs` has those that misbehave.

use rstest::rstest;
use serde_json::json;

use crate::support::{TestHome, echo_server, misbehaving_server};

#[rstest]
fn a_server_that_is_odd_but_usable_is_used(
    #[values("good", "stderr_flood", "ignores_eof", "ignores_everything")] mode: &str,
) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server(mode));
    for message in ["one", "two", "three"] {
        let answer = host.execute(&id, "echo", json!({"message": message})).ok();
        assert_eq!(answer.text(), message);
    }
    assert!(host.close().success());
}

#[test]
fn a_server_that_ends_at_its_start_shows_why() {
    let home = TestHome::new();
    let mut host = home.start();
    let arguments = json!({"language": "python", "code": misbehaving_server("exits")});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains('3') && error.contains("no licence key was found"), "{error}");
}

#[test]
fn progress_reaches_the_caller_under_the_callers_token() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("progress"));
    let call = host.begin(
        "tools/call",
        json!({
            "name": "execute-tool",
            "arguments": {"serverId": id, "toolName": "echo", "args": {"message": "done"}},
            "_meta": {"progressToken": "mine"}
        }),
    );
    for step in 1..=3 {
        let progress = host.notification("notifications/progress")["params"].clone();
        assert_eq!(progress["progressToken"], "mine", "{progress}");
        assert_eq!(progress["progress"].as_f64(), Some(f64::from(step)), "{progress}");
    }
    assert_eq!(host.reply(&call).ok().text(), "done");
}

#[test]
fn a_call_that_hangs_ends_at_its_limit() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = misbehaving_server("hangs");
    let id = host.create(json!({"language": "python", "code": code, "limits": {"call_timeout_s": 1}}));
    let error = host.execute(&id, "echo", json!({"message": "hang"})).error();
    assert!(error.contains("1 s") || error.contains("call_timeout_s"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "next"})).ok().text(), "next");
}

#[test]
fn the_childs_result_comes_back_untouched() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let result = host.execute(&id, "add", json!({"a": 40, "b": 2})).ok();
    let expected = json!({"content": [{"type": "text", "text": "42"}], "structuredContent": {"total": 42}});
    let mut raw = result.raw().clone();
    raw.as_object_mut().unwrap().retain(|key, _| key != "isError");
    assert_eq!(raw, expected);
}
