//! The configuration file, as somebody meets it who made a mistake in it.

use std::{fs, process::Output};

use rstest::rstest;
use serde_json::json;

use crate::support::{TestHome, echo_server};

#[test]
fn a_file_that_is_named_and_missing_is_a_mistake() {
    let home = TestHome::new();
    let output = home.run(&["serve", "--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(told(&output).contains("nowhere.toml"), "{}", told(&output));
}

#[test]
fn the_usual_file_is_found_and_a_flag_goes_before_it() {
    let home = TestHome::new();
    let usual = home.path().join("config/perennial");
    fs::create_dir(&usual).unwrap();
    fs::write(usual.join("perennial.toml"), "[broken]\n").unwrap();
    assert_eq!(home.run(&["list"]).status.code(), Some(3));
    let home = home.config("");
    assert_eq!(home.run(&["list"]).status.code(), Some(0));
}

#[rstest]
#[case("MCP_CREATE_DATA_DIR")]
#[case("PERENNIAL_DATA_DIR")]
fn the_data_folder_may_be_elsewhere(#[case] variable: &str) {
    let home = TestHome::new();
    let elsewhere = home.path().join("app/data");
    let home = home.env(variable, &elsewhere);
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "elsewhere"})).ok();
    host.close();
    assert!(fs::read_to_string(elsewhere.join("saved_servers.json")).unwrap().contains("elsewhere"));
    assert!(!home.data_dir().exists());
}

#[test]
fn a_variable_goes_before_the_file() {
    let home = TestHome::new().config("[limits]\ncall_timeout_s = 100\n").env("PERENNIAL_LIMITS_CALL_TIMEOUT_S", "1");
    let mut host = home.start();
    let id = host.create_python(&crate::support::misbehaving_server("hangs"));
    let error = host.execute(&id, "echo", json!({"message": "hang"})).error();
    assert!(error.contains('1'), "{error}");
}

#[test]
fn the_schema_is_printed_for_editors() {
    let output = TestHome::new().run(&["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["definitions"]["Limits"]["properties"]["pids"]["maximum"], 65_536);
}

#[test]
fn every_setting_tells_where_it_comes_from_and_no_secret() {
    let toml = "\
[limits]
pids = 7
cpu = 2
[registries]
npm = \"https://me:s3cr3t-one@npm.example.com/\"
[plugins.s3.config]
bucket = \"team\"
access_key_id = \"${env:PERENNIAL_TEST_UNSET}\"
secret_access_key = \"s3cr3t-two\"
session_token = \"${file:missing}\"
";
    let home = TestHome::new()
        .config(toml)
        .env("PERENNIAL_LIMITS_CPU", "3")
        .env("PERENNIAL_REGISTRIES_PROXY", "http://me:s3cr3t-three@proxy.example.com");
    let output = home.run(&["config", "show", "--origin", "-v"]);
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    let file = home.path().join("perennial.toml").display().to_string();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let lines: Vec<_> = shown.lines().map(|line| line.replace(&file, "FILE")).collect();
    let lines: Vec<Vec<_>> = lines.iter().map(|line| line.split_whitespace().collect()).collect();
    for expected in [
        ["limits.pids", "7", "FILE:2:1"],
        ["limits.cpu", "3.0", "$PERENNIAL_LIMITS_CPU"],
        ["limits.files", "256", "default"],
        ["log.level", "\"info\"", "--verbose"],
        ["registries.npm", "\"https://me:(hidden)@npm.example.com/\"", "FILE:5:1"],
        ["registries.proxy", "\"http://me:(hidden)@proxy.example.com\"", "$PERENNIAL_REGISTRIES_PROXY"],
        ["plugins.s3.config.bucket", "\"team\"", "FILE:7:1"],
        ["plugins.s3.config.access_key_id", "\"${env:PERENNIAL_TEST_UNSET}\"", "FILE:8:1"],
        ["plugins.s3.config.secret_access_key", "\"(hidden)\"", "FILE:9:1"],
        ["plugins.s3.config.session_token", "\"${file:missing}\"", "FILE:10:1"],
    ] {
        assert!(lines.iter().any(|line| line == &expected), "{expected:?}: {shown}");
    }
    for how in [&["config", "show"][..], &["config", "show", "--json"], &["config", "show", "--origin", "--json"]] {
        let output = home.run(how);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("(hidden)") && !shown.contains("s3cr3t"), "{shown}");
    }
}

/// A storage that is there twice.
const ARCHIVE: &str = "\
[plugins.archive]
plugin = \"json\"
config = { path = \"${folder}/archive/saved_servers.json\" }
";

#[test]
fn a_storage_may_be_there_once_more_under_a_name_of_its_own() {
    let home = TestHome::new().config(ARCHIVE);
    let bundle = json!({
        "format": "perennial-server", "formatVersion": 1,
        "record": {"name": "kept", "code": "x", "language": "python", "savedAt": "", "serverId": "server-abc123"}
    });
    fs::write(home.path().join("bundle.json"), bundle.to_string()).unwrap();
    let done = |home: &TestHome, arguments: &[&str]| {
        let output = home.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    done(&home, &["import", "--edited", home.path().join("bundle.json").to_str().unwrap()]);
    let copied = done(&home, &["copy", "--from", "json", "--to", "archive"]);
    assert!(copied.contains("copied 1 versions of 1 servers"), "{copied}");
    assert!(home.path().join("archive/saved_servers.json").exists());
    assert!(done(&home, &["plugin", "list"]).contains("built in: json"));

    let unknown = home.run(&["copy", "--from", "json", "--to", "archve"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(told(&unknown).contains("in the configuration: archive"), "{}", told(&unknown));

    let home = home.config(&format!("[storage]\nuse = \"archive\"\n{ARCHIVE}"));
    assert!(done(&home, &["list"]).contains("kept"));
    let mut host = home.start();
    let saved = host.request("tools/call", json!({"name": "list-saved-servers", "arguments": {}}));
    assert!(saved.to_string().contains("kept"), "{saved}");
    host.close();

    let home = home.config(&ARCHIVE.replace("${folder}/", ""));
    let wrong = home.run(&["config", "check"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(told(&wrong).contains(":3:19") && told(&wrong).contains("`${folder}/archive/"), "{}", told(&wrong));

    let home = home.config(&ARCHIVE.replace("path =", "paht ="));
    let wrong = home.run(&["config", "check"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(told(&wrong).contains(":3:12") && told(&wrong).contains("did you mean `path`"), "{}", told(&wrong));
}

/// A file in which somebody was careless, with what each line should have been.
const CARELESS: &[(&str, &str)] = &[
    ("[storage]", "[storage]"),
    ("use = \"jsno\"", "use = \"json\""),
    ("keep_version = 20", "keep_versions = 20"),
    ("colour = true", ""),
    ("", ""),
    ("[limits]", "[limits]"),
    ("call_timeout_s = \"2 minutes\"", "call_timeout_s = 120"),
    ("line_mb = 4096", "line_mb = 64"),
    ("", ""),
    ("[policy]", "[policy]"),
    ("network = \"all\"", "network = \"all\""),
    ("network = \"none\"", ""),
    ("", ""),
    ("[registries]", "[registries]"),
    ("npm = \"npm.example.com\"", "npm = \"https://npm.example.com/\""),
    ("proxy = \"http://user:${env:PROXY_PASSWORD}@proxy.example.com:3128\"", ""),
    ("", ""),
    ("[plugins.s3.config]", "[plugins.s3.config]"),
    ("bucket = \"team-servers\"", "bucket = \"team-servers\""),
    ("access_key_id = \"AKIA\"", "access_key_id = \"AKIA\""),
    ("secret_access_key = \"${file:storage.key}\"", "secret_access_key = \"secret\""),
    ("timeout_s = \"fast\"", "timeout_s = 5"),
    ("regoin = \"eu-west-1\"", "region = \"eu-west-1\""),
    ("", ""),
    ("[plugins.deno]", ""),
    ("path = \"plugins/libdeno.so\"", ""),
    ("sha256 = \"9f86d081\"", ""),
];

/// Whoever mends what the program names, and nothing else, comes to an end.
#[test]
fn messages_lead_from_mistake_to_mistake_until_nothing_is_wrong() {
    let mut lines: Vec<&str> = CARELESS.iter().map(|(wrong, _)| *wrong).collect();
    let mut messages = String::new();
    let (mut home, mut mended) = (TestHome::new(), 0);
    loop {
        home = home.config(&lines.join("\n"));
        let output = home.run(&["config", "check"]);
        if output.status.success() {
            break;
        }
        let folder = format!("{}/", home.path().display());
        let message = told(&output).replace(&folder, "");
        assert_eq!(output.status.code(), Some(3), "{message}");
        let place = message.split("perennial.toml:").nth(1).unwrap_or_else(|| panic!("no place: {message}"));
        let line: usize = place.split(':').next().unwrap().parse().unwrap();
        let (wrong, right) = CARELESS[line - 1];
        assert!(lines[line - 1] == wrong && wrong != right, "line {line} is not wrong: {message}");
        lines[line - 1] = right;
        if wrong.starts_with("sha256") {
            lines[line - 3..line].fill("");
        }
        messages += &message;
        mended += 1;
    }
    assert!(mended >= 10, "{mended}");
    insta::assert_snapshot!(messages);
}

pub(super) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
