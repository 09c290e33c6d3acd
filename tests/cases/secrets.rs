//! Secrets: kept by the operator, given by name, and never seen again.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

use base64::{Engine, prelude::BASE64_STANDARD};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, echo_server};

const VALUE: &str = "s3cr\u{e9}t/\"value\"+1";

const LEAKING: &str = include_str!("../fixtures/leaking_server.py");

/// A home whose servers may have `LEAKED_KEY`, which has a value.
fn home() -> TestHome {
    let home = TestHome::new().config("[policy]\nenv = [\"LEAKED_KEY\"]\n[log]\nlevel = \"trace\"\n");
    assert_eq!(set(&home, "LEAKED_KEY", VALUE).0, 0);
    home
}

/// Sets a secret as somebody would; the exit code and what was said.
fn set(home: &TestHome, name: &str, value: &str) -> (i32, String) {
    let mut command = home.command(&["secret", "set", name]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(format!("{value}\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

fn run(home: &TestHome, arguments: &[&str]) -> (i32, String) {
    let output = home.run(arguments);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), said)
}

/// A server that tells its secret wherever it can.
fn leaking() -> Value {
    json!({"language": "python", "code": LEAKING, "permissions": {"env": ["LEAKED_KEY"]}})
}

/// Asserts that a text holds the value in no form that somebody could read.
#[track_caller]
fn assert_clean(what: &str, text: &str) {
    let escaped = serde_json::to_string(VALUE).unwrap();
    let forms = [
        VALUE.to_owned(),
        escaped.trim_matches('"').to_owned(),
        "s3cr\\u00e9t".to_owned(),
        "s3cr%C3%A9t".to_owned(),
        BASE64_STANDARD.encode(format!("user:{VALUE}"))[8..20].to_owned(),
        VALUE.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    for form in forms {
        assert!(!text.contains(&form), "{what} holds `{form}`:\n{text}");
    }
}

#[test]
fn secrets_are_set_listed_and_removed_without_being_shown() {
    let home = TestHome::new().config("[policy]\nenv = [\"OTHER\"]\n");
    assert_eq!(run(&home, &["secret", "list"]), (0, "no secrets\n".into()));
    let (code, said) = set(&home, "API_TOKEN", VALUE);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("env = [\"OTHER\", \"API_TOKEN\"]") && said.contains("perennial.toml"), "{said}");
    let file = home.data_dir().join("secrets.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(set(&home, "API_TOKEN", "another value").1.starts_with("replaced"));
    fs::write(home.path().join("run/value.txt"), "from a file\n").unwrap();
    assert_eq!(run(&home, &["secret", "set", "OTHER", "--from-file", "value.txt"]).0, 0);
    let listed: Value = serde_json::from_str(&run(&home, &["secret", "list", "--json"]).1).unwrap();
    assert_eq!(listed, json!([{"name": "API_TOKEN"}, {"name": "OTHER"}]));
    let (_, table) = run(&home, &["secret", "ls"]);
    assert!(table.contains("OTHER") && !table.contains("from a file"), "{table}");
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(kept, json!({"API_TOKEN": "another value", "OTHER": "from a file"}));
    assert_eq!(run(&home, &["secret", "rm", "OTHER"]).0, 0);
    assert_eq!(run(&home, &["secret", "rm", "OTHER"]).0, 4);

    let (code, said) = run(&home, &["secret", "set", "TOKEN=s3cret-in-the-arguments"]);
    assert!(code == 2 && !said.contains("s3cret"), "{said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run(&home, &["secret", "list"]);
    assert!(code == 5 && said.contains("chmod 600"), "{said}");
    assert_eq!(set(&home, "MORE", "value").0, 5);
}

#[test]
fn a_server_that_tells_its_secret_everywhere_tells_nobody() {
    let home = home();
    let mut host = home.start();
    let created = host.call("create-server-from-template", leaking()).ok();
    assert_clean("the result of creating it", &created.raw().to_string());
    let id = created.facts()["serverId"].as_str().unwrap().to_owned();
    assert_eq!(host.execute(&id, "has", json!({"value": VALUE})).ok().text(), "True", "it has the value");

    for tool in ["tell", "fail", "raise"] {
        let request = host.begin(
            "tools/call",
            json!({
                "name": "execute-tool",
                "arguments": {"serverId": id, "toolName": tool, "args": {}},
                "_meta": {"progressToken": tool}
            }),
        );
        let progress = host.notification("notifications/progress");
        assert_clean("its progress", &progress.to_string());
        assert!(progress.to_string().contains("[secret LEAKED_KEY]"), "{progress}");
        let answer = host.answer(&request).to_string();
        assert_clean(tool, &answer);
        assert!(answer.contains("[secret LEAKED_KEY]"), "{answer}");
    }
    for (tool, arguments) in [
        ("get-server", json!({"serverId": id})),
        ("get-server-tools", json!({"serverId": id})),
        ("update-server", json!({"serverId": id, "code": format!("{LEAKING}\n# more\n")})),
        ("list-servers", json!({})),
    ] {
        assert_clean(tool, &host.call(tool, arguments).ok().raw().to_string());
    }
    let died = host.execute(&id, "die", json!({})).error();
    assert!(died.contains("dies of [secret LEAKED_KEY]"), "{died}");
    assert_clean("its death", &died);
    let after = host.call("get-server", json!({"serverId": id})).ok();
    assert_clean("get-server after its death", &after.raw().to_string());

    host.call("save-server", json!({"serverId": id, "name": "leaks"})).ok();
    let broken = host.call(
        "update-server",
        json!({"serverId": id, "code": "import os\nraise SystemExit(os.environ['LEAKED_KEY'])\n"}),
    );
    assert_clean("a failure to come up", &broken.error());
    assert_clean("the log", &host.stderr());
    host.close();
    for file in ["saved_servers.json", &format!("saved_servers.d/s/{id}/0000000001.json")] {
        let text = fs::read_to_string(home.data_dir().join(file)).unwrap();
        assert!(text.contains("LEAKED_KEY"), "{text}");
        assert_clean(file, &text);
    }
    let (code, exported) = run(&home, &["export", "leaks"]);
    assert_eq!(code, 0);
    assert_clean("the export", &exported);
    let (_, called) = run(&home, &["call", "leaks", "tell"]);
    assert!(called.contains("[secret LEAKED_KEY]"), "{called}");
    assert_clean("the command line", &called);
}

#[test]
fn a_result_of_a_server_without_secrets_passes_as_it_came() {
    let home = home();
    let mut host = home.start();
    host.create(leaking());
    let id = host.create_python(echo_server());
    let answer = host.execute(&id, "echo", json!({"message": VALUE})).ok();
    assert_eq!(answer.text(), VALUE, "only who was given a value is read for it");
}

#[test]
fn code_with_a_secret_in_it_is_not_saved_and_not_exported() {
    let home = home();
    let code = format!("KEY = {VALUE:?}\n{}", echo_server());
    let mut host = home.start();
    let id = host.create(json!({"language": "python", "code": code, "files": {"a.txt": "nothing"}}));
    let error = host.call("save-server", json!({"serverId": id, "name": "literal"})).error();
    assert!(error.contains("the code of the server holds the value of the secret `LEAKED_KEY`"), "{error}");
    assert_clean("the refusal", &error);
    assert!(!home.saved_servers().exists() || !fs::read_to_string(home.saved_servers()).unwrap().contains("literal"));
    host.call("update-server", json!({"serverId": id, "code": echo_server(), "files": {"a.txt": VALUE}})).ok();
    let error = host.call("save-server", json!({"serverId": id, "name": "literal"})).error();
    assert!(error.contains("the file `a.txt` of the server holds"), "{error}");
    host.call("update-server", json!({"serverId": id, "files": {"a.txt": "a later secret"}})).ok();
    host.call("save-server", json!({"serverId": id, "name": "clean"})).ok();
    host.close();
    assert_eq!(run(&home, &["export", "clean"]).0, 0);
    assert_eq!(set(&home, "LATER", "a later secret").0, 0);
    let (code, said) = run(&home, &["export", "clean"]);
    assert!(code == 5 && said.contains("`LATER`") && !said.contains("a later secret"), "{said}");
}

#[rstest]
#[case::no_value("[policy]\nenv = [\"API_TOKEN\"]\n", "perennial secret set API_TOKEN")]
#[case::not_allowed("", "env = [\"API_TOKEN\"]")]
fn a_name_without_a_value_is_told_with_the_command(#[case] config: &str, #[case] remedy: &str) {
    let home = TestHome::new().config(config);
    let mut host = home.start();
    let arguments = json!({"language": "python", "code": echo_server(), "permissions": {"env": ["API_TOKEN"]}});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains(remedy), "{error}");
    assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"));
}

#[test]
fn the_hosts_own_variables_serve_where_no_secret_does() {
    let home = TestHome::new().config("[policy]\nenv = [\"LEAKED_KEY\"]\n").env("LEAKED_KEY", "from the environment");
    let mut host = home.start();
    let id = host.create(leaking());
    assert_eq!(host.execute(&id, "has", json!({"value": "from the environment"})).ok().text(), "True");
    let other = host.create(json!({"language": "python", "code": LEAKING}));
    assert!(host.execute(&other, "tell", json!({})).ok().text().starts_with("(none)"));
}
