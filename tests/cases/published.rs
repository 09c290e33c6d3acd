//! Servers that others have published, created as a dependency and a line of code: every tool answers as it does without
//! the host.

use std::{fs, path::Path, process::Command};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{LONGEST_BUILD, TestHome, TestHost};

/// Calls of every tool, in turn. `REPO` is a repository of the one who is asked.
type Calls = &'static [(&'static str, &'static str)];

const EVERYTHING: Calls = &[
    ("echo", r#"{"message": "é"}"#),
    ("get-annotated-message", r#"{"messageType": "error", "includeImage": true}"#),
    ("get-resource-links", r#"{"count": 3}"#),
    ("get-structured-content", r#"{"location": "New York"}"#),
    ("get-sum", r#"{"a": 40, "b": 2}"#),
    ("get-tiny-image", "{}"),
    ("gzip-file-as-resource", r#"{"data": "data:text/plain,hello", "outputType": "resource"}"#),
    ("simulate-research-query", r#"{"topic": "rivers"}"#),
    ("toggle-simulated-logging", "{}"),
    ("toggle-subscriber-updates", "{}"),
    ("trigger-long-running-operation", r#"{"duration": 0.1, "steps": 2}"#),
    ("get-env", "{}"),
    ("get-resource-reference", r#"{"resourceType": "Text", "resourceId": 1}"#),
];

const FILESYSTEM: Calls = &[
    ("create_directory", r#"{"path": "folder"}"#),
    ("write_file", r#"{"path": "folder/words.txt", "content": "où\n"}"#),
    ("edit_file", r#"{"path": "folder/words.txt", "edits": [{"oldText": "où", "newText": "là"}], "dryRun": true}"#),
    ("read_file", r#"{"path": "missing"}"#),
    ("read_text_file", r#"{"path": "/etc/passwd"}"#),
    ("read_media_file", r#"{"path": "folder/words.txt"}"#),
    ("read_multiple_files", r#"{"paths": ["folder/words.txt", "missing"]}"#),
    ("list_directory", r#"{"path": "."}"#),
    ("list_directory_with_sizes", r#"{"path": "folder"}"#),
    ("directory_tree", r#"{"path": "."}"#),
    ("move_file", r#"{"source": "missing", "destination": "folder/moved"}"#),
    ("search_files", r#"{"path": ".", "pattern": "**/*.txt"}"#),
    ("list_allowed_directories", "{}"),
    ("get_file_info", r#"{"path": "folder/words.txt"}"#),
];

const TIME: Calls = &[
    ("get_current_time", r#"{"timezone": "Europe/Paris"}"#),
    ("convert_time", r#"{"source_timezone": "Asia/Tokyo", "time": "12:30", "target_timezone": "UTC"}"#),
    ("convert_time", r#"{"source_timezone": "Asia/Tokyo", "time": "noon", "target_timezone": "UTC"}"#),
    ("get_current_time", r#"{"timezone": "Europe/Nowhere"}"#),
];

const GIT: Calls = &[
    ("git_status", r#"{"repo_path": "REPO"}"#),
    ("git_diff_unstaged", r#"{"repo_path": "REPO"}"#),
    ("git_add", r#"{"repo_path": "REPO", "files": ["words.txt"]}"#),
    ("git_diff_staged", r#"{"repo_path": "REPO", "context_lines": 1}"#),
    ("git_diff", r#"{"repo_path": "REPO", "target": "HEAD"}"#),
    ("git_diff", r#"{"repo_path": "REPO", "target": "--output=/tmp/x"}"#),
    ("git_create_branch", r#"{"repo_path": "REPO", "branch_name": "other"}"#),
    ("git_branch", r#"{"repo_path": "REPO", "branch_type": "local"}"#),
    ("git_commit", r#"{"repo_path": "REPO", "message": "où"}"#),
    ("git_commit", r#"{"repo_path": "REPO", "message": "nothing"}"#),
    ("git_checkout", r#"{"repo_path": "REPO", "branch_name": "other"}"#),
    ("git_checkout", r#"{"repo_path": "REPO", "branch_name": "missing"}"#),
    ("git_reset", r#"{"repo_path": "REPO"}"#),
    ("git_log", r#"{"repo_path": "REPO", "max_count": 1}"#),
    ("git_show", r#"{"repo_path": "REPO", "revision": "HEAD"}"#),
    ("git_status", r#"{"repo_path": "/nonexistent"}"#),
];

const COUNTER: Calls = &[
    ("increment", "{}"),
    ("increment", "{}"),
    ("decrement", "{}"),
    ("get_value", "{}"),
    ("say_hello", "{}"),
    ("echo", r#"{"message": "é", "twice": true}"#),
    ("sum", r#"{"a": 40, "b": 2}"#),
    ("divide", r#"{"a": 1, "b": 4}"#),
    ("divide", r#"{"a": 1, "b": 0}"#),
    ("draw", "{}"),
    ("refuse", "{}"),
];

/// What says something else every time: only its form is compared.
const CHANGING: &[&str] = &["get-env", "get-resource-reference", "get_file_info", "get_current_time", "git_commit"];

/// What asks its client, which this one does not answer: `bytes.rs` calls them.
const ASKING: &[&str] =
    &["get-roots-list", "trigger-elicitation-request", "trigger-url-elicitation", "trigger-sampling-request"];

#[rstest]
#[case::everything(by_npm("@modelcontextprotocol/server-everything", &[]), EVERYTHING)]
#[case::filesystem(by_npm("@modelcontextprotocol/server-filesystem", &["."]), FILESYSTEM)]
#[case::time(by_pypi("mcp-server-time"), TIME)]
#[case::git(by_pypi("mcp-server-git"), GIT)]
#[case::counter(on_rmcp(), COUNTER)]
fn a_published_server_answers_as_it_does_alone(#[case] mut arguments: Value, #[case] calls: Calls) {
    let home = TestHome::new().with_uv().with_rust();
    let folder = home.path().join("repositories");
    fs::create_dir(&folder).unwrap();
    let home = home.config(&format!("[policy]\nwrite = [{folder:?}]\n"));
    let [ours, theirs] = ["ours", "theirs"].map(|name| repository(&folder, name));
    let mut host = home.start();
    arguments["permissions"] = json!({ "write": [folder] });
    let id = host.create_within(arguments, LONGEST_BUILD);
    let listed = host.call("get-server-tools", json!({"serverId": id})).ok().facts();
    let mut alone = alone(&home, &mut host, &id);
    assert_eq!(listed["tools"], alone.request("tools/list", json!({}))["result"]["tools"]);
    for tool in
        listed["tools"].as_array().unwrap().iter().filter(|tool| !ASKING.iter().any(|asks| tool["name"] == *asks))
    {
        assert!(calls.iter().any(|(called, _)| tool["name"] == *called), "`{}` is not called", tool["name"]);
    }
    for (tool, arguments) in calls {
        let with =
            |repository: &str| -> Value { serde_json::from_str(&arguments.replace("REPO", repository)).unwrap() };
        let told = host.execute(&id, tool, with(&ours)).raw().clone();
        let answer = alone.request("tools/call", json!({"name": tool, "arguments": with(&theirs)}));
        let Some(expected) = answer.get("result") else {
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(told["isError"] == true && told.to_string().contains(message), "{tool}: {told}, not {answer}");
            continue;
        };
        let expected: Value = serde_json::from_str(&expected.to_string().replace(&theirs, &ours)).unwrap();
        if CHANGING.contains(tool) && expected["isError"] != true {
            assert_eq!(kinds(&told), kinds(&expected), "{tool}");
        } else {
            assert_eq!(told, expected, "{tool}");
        }
    }
}

fn by_npm(package: &str, arguments: &[&str]) -> Value {
    let code = format!("process.argv.push(...{});\nawait import('{package}/dist/index.js');\n", json!(arguments));
    json!({"language": "javascript", "code": code, "dependencies": {package: "*"}})
}

fn by_pypi(package: &str) -> Value {
    let code = format!("from {} import main; main()\n", package.replace('-', "_"));
    json!({"language": "python", "code": code, "dependencies": {package: "*"}})
}

fn on_rmcp() -> Value {
    let code = include_str!("../fixtures/counter_server.rs").replace("//!", "//");
    json!({"language": "rust", "code": code, "dependencies": {"rmcp": "3"}})
}

/// Another process of a running server, which is asked without a host between.
fn alone(home: &TestHome, host: &mut TestHost, id: &str) -> TestHost {
    let pid = host.call("get-server", json!({"serverId": id})).ok().facts()["pid"].as_u64().unwrap();
    let process = Path::new("/proc").join(pid.to_string());
    let strings = |file: &str| -> Vec<String> {
        let bytes = fs::read(process.join(file)).unwrap();
        bytes.split(|byte| *byte == 0).map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
    };
    let (arguments, environment) = (strings("cmdline"), strings("environ"));
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..arguments.len() - 1]).env_clear();
    command.envs(environment.iter().filter_map(|pair| pair.split_once('=')));
    command.current_dir(fs::read_link(process.join("cwd")).unwrap());
    // so that it is looked for at the end
    command.env("PERENNIAL_TEST", home.mark());
    let mut alone = TestHost::spawn(command);
    let client = json!({"name": "perennial-tests", "version": "1"});
    // what the host offers to servers, since some of its clients do
    let capabilities = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}});
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client});
    alone.request("initialize", hello);
    alone.notify("notifications/initialized", json!({}));
    alone
}

fn kinds(result: &Value) -> Vec<Value> {
    let parts = result["content"].as_array().unwrap_or_else(|| panic!("no content: {result}"));
    parts.iter().map(|part| part["type"].clone()).collect()
}

/// A Git repository with a change that is not staged; two of them are alike to the last bit of their history.
fn repository(below: &Path, name: &str) -> String {
    let folder = below.join(name);
    fs::create_dir(&folder).unwrap();
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&folder).env("HOME", below).env("GIT_CONFIG_NOSYSTEM", "1").args(arguments);
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
        }
        assert!(git.output().unwrap().status.success(), "git {arguments:?}");
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["config", "user.name", "Zoé"]);
    git(&["config", "user.email", "zoe@example.com"]);
    fs::write(folder.join("words.txt"), "un\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    fs::write(folder.join("words.txt"), "un\ndeux\n").unwrap();
    folder.to_str().unwrap().to_owned()
}
