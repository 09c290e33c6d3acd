//! Rust servers: their dependencies, what is compiled when, and what their authors are told.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{LONGEST_BUILD, TestHome, TestHost, carrying, wait_until, wait_until_gone};

#[test]
fn a_server_comes_back_without_a_compiler_and_without_the_registry() {
    let home = home();
    let mut host = home.start();
    let dependencies = json!({"serde_json": "1", "serde": "1 [derive]"});
    let files = json!({"words.txt": "bonjour", "greeting.rs": include_str!("../fixtures/greeting.rs")});
    let code = template("mod greeting;\n").replace("arguments[\"message\"].as_str()", "greeting::say(arguments)");
    let id = create(&mut host, json!({"language": "rust", "code": code, "files": files, "dependencies": dependencies}));
    let greeting = host.execute(&id, "echo", json!({"message": "Zoé"})).ok().text();
    assert_eq!(greeting, "bonjour, Zoé");
    host.call("save-server", json!({"serverId": id, "name": "greets"})).ok();
    host.close();
    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["record"]["dependencies"], dependencies);
    let lock = record["record"]["lock"].as_str().unwrap();
    assert!(lock.contains("name = \"serde_json\"") && lock.contains("checksum = "), "{lock}");

    let home = home.config("[plugins.rust]\nconfig = { rustc = 'no-such-rustc', cargo = 'no-such-cargo' }\n");
    let mut host = home.start_offline();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap();
    host.wait_for_state(loaded, &["ready"]);
    assert_eq!(host.execute(loaded, "echo", json!({"message": "Zoé"})).ok().text(), greeting);
    let error = host.call("create-server-from-template", json!({"language": "rust", "code": template("//")})).error();
    assert!(error.contains("`no-such-rustc`") && error.contains("install Rust"), "{error}");
}

#[test]
fn the_template_and_an_update_of_it_work() {
    let home = home();
    let mut host = home.start();
    let id = create(&mut host, json!({"language": "rs"}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "hé"})).ok().text(), "hé");
    let loud = template("").replace("to_string()", "to_uppercase()");
    host.call("update-server", json!({"serverId": id, "code": loud})).ok();
    assert_eq!(host.execute(&id, "echo", json!({"message": "hé"})).ok().text(), "HÉ");
}

#[test]
fn servers_on_the_official_sdk_share_what_was_compiled() {
    let home = home();
    let mut host = home.start();
    let id = create(&mut host, json!({"language": "rust", "dependencies": {"rmcp": "3"}}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "hé"})).ok().text(), "hé");
    let builds = environments(&home.cache_dir());
    let dependencies = json!(["rmcp@3 [server, macros, transport-io]", "tokio@1 [rt, macros]", "serde@1 [derive]"]);
    let code = include_str!("../fixtures/rmcp_server.rs");
    let id = create(&mut host, json!({"language": "rust", "code": code, "dependencies": dependencies}));
    assert_eq!(host.execute(&id, "sum", json!({"a": 40, "b": 2})).ok().text(), "42");
    assert!(host.execute(&id, "sum", json!({"a": "forty", "b": 2})).error().contains("\"a\""));
    assert_eq!(environments(&home.cache_dir()), builds, "nothing but the server itself is compiled");
}

#[test]
fn two_at_once_compile_their_dependencies_once() {
    let home = home().own_cache();
    let mut host = home.start();
    let ask = |mark: &str| json!({"language": "rust", "code": template(mark), "dependencies": {"itoa": "1", "serde_json": "1"}});
    let (one, two) = (
        host.begin_call("create-server-from-template", ask("// one")),
        host.begin_call("create-server-from-template", ask("// two")),
    );
    for id in [one, two] {
        let id = host.reply(&id).ok().first_line_json()["serverId"].as_str().unwrap().to_owned();
        host.wait_within(LONGEST_BUILD, &id, &["ready"]);
        assert_eq!(host.execute(&id, "echo", json!({"message": "hé"})).ok().text(), "hé");
    }
    assert_eq!(environments(&home.cache_dir()).len(), 1);
}

#[test]
fn a_host_that_is_killed_while_crates_are_compiled_leaves_nothing() {
    let home = home().own_cache();
    let mut host = home.start();
    let ask = json!({"language": "rust", "code": template("// killed"), "dependencies": {"serde": "1 [derive]"}});
    host.begin_call("create-server-from-template", ask.clone());
    let compiles = || carrying(&home.mark()).iter().any(|process| process.contains("--crate-name"));
    assert!(wait_until(LONGEST_BUILD, compiles), "no crate is compiled\n{}", host.stderr());
    host.kill();
    wait_until_gone(&home.mark());

    let mut host = home.start();
    let id = create(&mut host, ask);
    assert_eq!(host.execute(&id, "echo", json!({"message": "hé"})).ok().text(), "hé");
    let attempts = environments(&home.cache_dir());
    assert_eq!(attempts.len(), 1, "{attempts:?}");
}

#[rstest]
#[case::a_path(json!(["./serde"]))]
#[case::a_path_in_a_table(json!({"serde": "{ path = \"/etc\" }"}))]
#[case::git(json!({"serde": "{ git = \"https://127.0.0.1:9/serde\" }"}))]
#[case::git_in_a_list(json!(["serde --git https://127.0.0.1:9/serde"]))]
#[case::a_registry(json!({"serde": "{ version = \"1\", registry = \"ours\" }"}))]
#[case::a_url(json!({"serde": "https://127.0.0.1:9/serde.crate"}))]
#[case::an_option(json!({"--config=net.offline=true": "*"}))]
#[case::a_line_feed(json!({"serde": "1\"\n[patch.crates-io]"}))]
#[case::nonsense(json!({"serde": "about one"}))]
#[case::no_text(json!({"serde": 1}))]
fn requirements_that_are_more_than_requirements_are_refused(#[case] dependencies: Value) {
    let home = home();
    let mut host = home.start();
    let arguments = json!({"language": "rust", "code": template(""), "dependencies": dependencies});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("dependenc") || error.contains("requirement"), "{error}");
    assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"), "a half-made server is left");
}

#[test]
fn an_error_of_the_compiler_is_enough_to_repair_the_code() {
    let code = "mod tools;\n\nfn main() {\n    let unused = 1;\n    let sum: u8 = tools::sum(1, \"2\");\n}\n";
    let files = json!({"tools.rs": "pub fn sum(a: u8, b: u8) -> u8 {\n    a + b\n}\n"});
    insta::assert_snapshot!(failure(json!({"language": "rust", "code": code, "files": files})), @r#"
    failed to create the server: the compiler exited with code 1 while compiling the server

    --- what it wrote to standard error ---
    error[E0308]: mismatched types
     --> main.rs:5:33
      |
    5 |     let sum: u8 = tools::sum(1, "2");
      |                   ----------    ^^^ expected `u8`, found `&str`
      |                   |
      |                   arguments to this function are incorrect
      |
    note: function defined here
     --> tools.rs:1:8
      |
    1 | pub fn sum(a: u8, b: u8) -> u8 {
      |        ^^^        -----
    "#);
}

#[test]
fn a_crate_that_is_not_declared_is_named() {
    let told = failure(json!({"language": "rust", "code": "fn main() { rand::random::<u8>(); }\n"}));
    assert!(told.contains(" --> main.rs:1:13\n") && told.contains("`rand`"), "{told}");
    assert!(told.contains("add the crate to `dependencies`") && !told.contains("--explain"), "{told}");
}

#[test]
fn a_panic_is_enough_to_repair_the_code() {
    let told = failure(json!({"language": "rust", "code": "fn main() { None::<u8>.unwrap(); }\n"}));
    assert!(told.contains("exited with code 101 before it answered `initialize`"), "{told}");
    assert!(told.contains("panicked at main.rs:1:24:\ncalled `Option::unwrap()` on a `None` value"), "{told}");
}

#[test]
fn an_unknown_crate_is_named() {
    let told = failure(json!({"language": "rust", "dependencies": {"perennial-no-such-crate": "*"}}));
    assert!(told.contains("no matching package named `perennial-no-such-crate`"), "{told}");
    assert!(told.contains("check the crate's name on crates.io"), "{told}");
}

#[test]
fn an_unknown_version_and_an_unknown_feature_are_named() {
    let told = failure(json!({"language": "rust", "dependencies": {"itoa": "999"}}));
    assert!(told.contains("itoa = \"^999\"") && told.contains("check the crate's versions"), "{told}");
    let told = failure(json!({"language": "rust", "dependencies": {"itoa": "1 [no-such-feature]"}}));
    assert!(told.contains("no-such-feature") && told.contains("check the features"), "{told}");
}

fn home() -> TestHome {
    TestHome::new().with_rust()
}

/// The language's own template after another line.
fn template(line: &str) -> String {
    format!("{line}\n{}", include_str!("../../plugins/runtime-rust/template/echo.rs").replace("//!", "//"))
}

/// Creates a server and returns its id, after waiting for a first build of its dependencies.
fn create(host: &mut TestHost, arguments: Value) -> String {
    host.create_within(arguments, LONGEST_BUILD)
}

/// The attempts at environments of Rust crates that there are, finished or not.
fn environments(cache: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let slots = below(&cache.join("environments"));
    let attempts = slots.iter().flat_map(|slot| below(slot)).filter(|path| path.join("target").is_dir());
    let mut attempts: Vec<PathBuf> = attempts.collect();
    attempts.sort();
    attempts
}

/// What the author is told.
fn failure(arguments: Value) -> String {
    let home = home();
    home.start().call("create-server-from-template", arguments).error()
}
