//! Plugins of others: loaded, as processes, and as MCP servers; and what is told of those that cannot be used.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{TestHome, TestHost, carrying, echo_server, installed, tests_dir, wait_until_gone};

/// Compiles a plugin in C into the home's folder: a fixture, or the example.
pub(super) fn compiled(home: &TestHome, source: &str, name: &str, options: &[&str]) -> PathBuf {
    let folder = if source == "hello.c" { "../examples/plugins/hello-c" } else { "fixtures/plugins" };
    let library = home.path().join(format!("{name}.so"));
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-D_GNU_SOURCE", "-Wall", "-Werror"])
        .args(options)
        .arg("-I")
        .arg(tests_dir().join("../sdk/include"))
        .arg(tests_dir().join(folder).join(source))
        .arg("-o")
        .arg(&library)
        .arg("-lpthread")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// A first-party plugin as a library, which cargo builds beside this program.
pub(super) fn first_party(name: &str) -> String {
    let library = std::env::current_exe().unwrap().with_file_name(format!("libperennial_{name}.so"));
    assert!(library.exists(), "{} is missing", library.display());
    library.display().to_string()
}

pub(super) fn unpinned(name: &str, path: &str) -> String {
    format!("[plugins.{name}]\npath = {path:?}\ntrust = \"unpinned\"\n")
}

pub(super) fn sha256(file: &Path) -> String {
    Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn tools(host: &mut TestHost) -> Vec<String> {
    let listed = host.request("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// `plugin list`, as a map from name to row.
pub(super) fn listed(home: &TestHome) -> serde_json::Map<String, Value> {
    let output = home.run(&["plugin", "list", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
}

#[test]
fn a_plugin_in_c_is_pinned_listed_and_called() {
    let home = TestHome::new();
    let library = compiled(&home, "hello.c", "hello", &["-Wextra"]);
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let sha256 = sha256(&library).to_uppercase();
    let home = home.config(&format!(
        "[plugins.hello]\npath = {{ {platform} = \"hello.so\", plan9-mips = \"no.so\" }}\nsha256 = \"{sha256}\"\n"
    ));
    let row = &listed(&home)["hello"];
    assert_eq!(
        (&row["version"], &row["provides"], &row["problem"]),
        (&json!("1.0.0"), &json!(["tools"]), &Value::Null)
    );
    let mut host = home.start();
    assert!(tools(&mut host).contains(&"hello".to_owned()));
    assert_eq!(host.call("hello", json!({})).ok().text(), "hello from C");
    // the file may go: what was loaded is a copy
    fs::remove_file(&library).unwrap();
    assert_eq!(host.call("hello", json!({})).ok().text(), "hello from C");
    assert!(host.close().success());
}

/// Ids of calls can be guessed; what is said about one is said by who says it.
#[test]
fn a_plugin_cannot_speak_in_the_name_of_another() {
    let home = TestHome::new();
    compiled(&home, "odd.c", "odd", &[]);
    let faulty = unpinned("faulty", &first_party("faulty_plugin"));
    let home = home.config(&format!("{faulty}{}", unpinned("odd", "odd.so")));
    let mut host = home.start();
    host.begin_call("wait", json!({}));
    assert_eq!(host.call("slander", json!({})).ok().text(), "odd");
    let told = host.stderr();
    let guesses: Vec<_> = told.lines().filter(|line| line.contains("guess who")).collect();
    assert!(!guesses.is_empty() && guesses.iter().all(|line| line.contains("odd")), "{told}");
    assert!(host.close().success());
}

#[rstest]
#[case::native("faulty", "path = \"FAULTY\"\ntrust = \"unpinned\"\nconfig = { greetings = [\"a\",\n  7] }\n", ":5:3")]
#[case::native_key("faulty", "path = \"FAULTY\"\ntrust = \"unpinned\"\nconfig.greting = []\n", ":4:8")]
#[case::process("py", "command = [\"python3\", \"STORAGE\"]\nconfig = { foldr = \"x\" }\n", ":3:12")]
fn a_mistake_in_a_plugins_settings_is_shown_at_its_line(#[case] name: &str, #[case] table: &str, #[case] place: &str) {
    let table = table.replace("FAULTY", &first_party("faulty_plugin")).replace("STORAGE", &storage_py());
    let home = TestHome::new().config(&format!("[plugins.{name}]\n{table}"));
    for command in [&["serve"][..], &["config", "check"]] {
        let output = home.run(command);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(&format!("perennial.toml{place}")), "{place}: {told}");
    }
}

#[test]
fn first_party_plugins_go_before_the_built_in_ones() {
    let toml = ["storage_json", "runtime_python"]
        .map(|library| unpinned(library.split_once('_').unwrap().1, &first_party(library)));
    let home = TestHome::new().config(&toml.concat());
    let rows = listed(&home);
    for name in ["json", "python"] {
        assert!(rows[name]["from"].as_str().unwrap().contains("libperennial_"), "{}", rows[name]);
        assert_eq!(rows[name]["problem"], Value::Null);
    }
    save_and_load(&home);
    assert!(fs::read_to_string(home.saved_servers()).unwrap().contains("Mon serveur"));
}

#[test]
fn a_storage_in_python_keeps_servers() {
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"notes\"\n[plugins.notes]\ncommand = [\"python3\", {:?}]\nconfig = {{ folder = \"library\" }}\n",
        storage_py()
    ));
    save_and_load(&home);
    // it ran in the configuration's folder
    assert!(home.path().join("library/library.json").exists());
    let output = home.run(&["list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Mon serveur"));
    let output = home.run(&["copy", "--from", "notes", "--to", "json"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("`notes` is not built in") && told.contains("perennial export"), "{told}");
}

#[test]
fn a_plugin_that_segfaults_leaves_the_host_serving() {
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"notes\"\n[plugins.notes]\ncommand = [\"python3\", {:?}, {:?}]\nenv = {{ CRASH_AT = \"storage/put\" }}\n",
        tests_dir().join("fixtures/plugins/crash.py"),
        storage_py()
    ));
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let told = host.call("save-server", json!({"serverId": id, "name": "lost"})).error();
    assert!(told.contains("the plugin `notes` was killed by SIGSEGV"), "{told}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "still here"})).ok().text(), "still here");
    // the next call finds it started again
    assert_eq!(host.call("list-saved-servers", json!({})).ok().first_line(), "📂 No saved servers found");
    assert!(host.close().success());
}

#[rstest]
#[case::missing("path = \"missing.so\"\ntrust = \"unpinned\"\n", "`HOME/missing.so` cannot be read")]
#[case::ends("command = [\"sh\", \"-c\", \"echo no license >&2; exit 7\"]\n", "exited with code 7")]
#[case::no_program("command = [\"no-such-program\"]\n", "no-such-program")]
#[case::no_storage("path = \"hello.so\"\ntrust = \"unpinned\"\n", "no storage plugin `mine`")]
fn a_storage_that_is_chosen_must_be_there(#[case] table: &str, #[case] reason: &str) {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    let home = home.config(&format!("[storage]\nuse = \"mine\"\n[plugins.mine]\n{table}"));
    let output = home.run(&["serve"]);
    let told = String::from_utf8_lossy(&output.stderr).replace(&home.path().display().to_string(), "HOME");
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("HOME/perennial.toml:2:7") && told.contains(reason), "{told}");
}

#[test]
fn any_mcp_server_is_a_tool_plugin() {
    let server = installed("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let home = TestHome::new().config(&format!("[plugins.everything]\ncommand = [\"node\", {server:?}]\n"));
    let row = &listed(&home)["everything"];
    assert_eq!((&row["provides"], &row["problem"]), (&json!(["tools"]), &Value::Null), "{row}");
    let mut host = home.start();
    host.wait_for_tool("get-sum");
    assert_eq!(host.call("echo", json!({"message": "hi"})).ok().text(), "Echo: hi");
    assert!(host.call("get-sum", json!({"a": 2, "b": 3})).ok().text().contains('5'));
    assert!(host.close().success());
}

/// It answers nobody before a file says so: the session begins without its tools, and they join.
#[test]
fn a_process_that_takes_its_time_does_not_hold_the_session_up() {
    let home = TestHome::new();
    fs::write(
        home.path().join("late.py"),
        "import json, os, sys, time\n\
         for line in sys.stdin:\n\
         \x20   request = json.loads(line)\n\
         \x20   while not os.path.exists('go'):\n\
         \x20       time.sleep(0.01)\n\
         \x20   tool = {'name': 'late', 'inputSchema': {'type': 'object'}}\n\
         \x20   results = {'plugin/init': {'provides': ['tools']}, 'tools/list': {'tools': [tool]},\n\
         \x20              'tools/call': {'content': [{'type': 'text', 'text': 'here'}]}}\n\
         \x20   answer = {'jsonrpc': '2.0', 'id': request['id'], 'result': results.get(request['method'])}\n\
         \x20   print(json.dumps(answer), flush=True)\n",
    )
    .unwrap();
    let home = home.config("[plugins.late]\ncommand = [\"python3\", \"late.py\"]\n");
    let mut host = home.start();
    assert!(!tools(&mut host).contains(&"late".to_owned()));
    fs::write(home.path().join("go"), "").unwrap();
    host.notification("notifications/tools/list_changed");
    assert!(tools(&mut host).contains(&"late".to_owned()));
    assert_eq!(host.call("late", json!({})).ok().text(), "here");
    assert!(host.close().success());
    // and one that never comes is left behind when the session ends
    fs::remove_file(home.path().join("go")).unwrap();
    let host = home.start();
    assert!(carrying(&home.mark()).iter().any(|process| process.contains("late.py")), "it is still starting");
    assert!(host.close().success());
    wait_until_gone(&home.mark());
}

pub fn storage_py() -> String {
    tests_dir().join("../examples/plugins/notes-py/notes.py").display().to_string()
}

/// Saves a server in one session, and loads and calls it in the next.
pub fn save_and_load(home: &TestHome) {
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let saved = host.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).ok();
    assert!(saved.first_line().contains("saved as \"Mon serveur\""), "{}", saved.text());
    assert!(host.close().success());
    let mut host = home.start();
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("Mon serveur"));
    let answer = host.execute(&id, "echo", json!({"message": "again"})).ok();
    assert_eq!(answer.text(), "again");
    assert!(host.close().success());
}
