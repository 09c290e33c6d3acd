//! The command line.

use std::process::{Output, Stdio};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server};

#[test]
fn the_help_tells_what_it_is_and_what_it_can() {
    let home = TestHome::new();
    let output = home.run(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    for command in ["serve", "tour", "list", "show", "call", "rm", "--config"] {
        assert!(help.contains(command), "{command} is missing in\n{help}");
    }
    assert!(stdout(&home.run(&["--version"])).starts_with("perennial 0."));
}

#[test]
fn the_library_can_be_listed_shown_called_and_cleared() {
    let (home, id) = home_with_a_saved_server();
    let listed = home.run(&["list"]);
    assert!(listed.status.success() && stdout(&listed).contains("calc") && stdout(&listed).contains(&id));
    let items: Value = serde_json::from_slice(&home.run(&["list", "--json"]).stdout).unwrap();
    assert!(items.to_string().contains(&id), "{items}");

    let shown = stdout(&home.run(&["show", &id]));
    assert!(shown.contains("calc") && shown.contains("def handle(method, params):"), "{shown}");

    let called = home.run(&["call", &id, "add", r#"{"a": 40, "b": 2}"#]);
    assert!(called.status.success() && stdout(&called).contains("42"), "{called:?}");
    let refused = home.run(&["call", &id, "add", r#"{"a": "forty", "b": 2}"#]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");

    assert!(home.run(&["rm", &id]).status.success());
    assert!(!stdout(&home.run(&["list"])).contains(&id));
}

#[rstest]
#[case::show(&["show", "server-000000000000"])]
#[case::call(&["call", "server-000000000000", "echo", "{}"])]
#[case::rm(&["rm", "server-000000000000"])]
fn what_is_not_there_is_not_found(#[case] arguments: &[&str]) {
    let home = TestHome::new();
    let output = home.run(arguments);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("server-000000000000"), "{output:?}");
}

#[rstest]
#[case::unknown_command(&["frobnicate"])]
#[case::unknown_option(&["list", "--frobnicate"])]
#[case::missing_argument(&["show"])]
fn wrong_usage_is_two(#[case] arguments: &[&str]) {
    assert_eq!(TestHome::new().run(arguments).status.code(), Some(2));
}

#[test]
fn without_a_terminal_it_serves() {
    let home = TestHome::new();
    let mut host = TestHost::spawn(home.command(&[]));
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    assert_eq!(host.request("initialize", params)["result"]["serverInfo"]["name"], "perennial");
    assert!(host.close().success());
}

#[test]
fn nothing_on_stdin_is_an_ordinary_end() {
    let home = TestHome::new();
    let output = home.command(&["serve"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn the_tour_shows_the_main_job() {
    let home = TestHome::new();
    let output = home.run(&["tour"]);
    assert!(output.status.success(), "{output:?}");
    let shown = stdout(&output);
    for step in ["create-server-from-template", "execute-tool", "save-server", "load-saved-server"] {
        assert!(shown.contains(step), "{step} is missing in\n{shown}");
    }
    assert!(!home.saved_servers().exists(), "the tour leaves something in the user's library");
}

fn home_with_a_saved_server() -> (TestHome, String) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    host.close();
    (home, id)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
