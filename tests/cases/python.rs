//! Python servers: their dependencies, the SDKs that they are written with, and what their authors are told.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, requests_server};

#[rstest]
#[case::uv(">=2.31", "uv")]
#[case::an_npm_range("^2.31", "uv")]
#[case::pip(">=2.31", "pip")]
fn a_server_with_dependencies_comes_back_with_the_registry_unreachable(
    #[case] requirement: &str,
    #[case] installer: &str,
) {
    let home = home_with(installer).own_cache();
    let mut host = home.start();
    let dependencies = json!({"requests": requirement});
    let id = host.create(json!({"language": "python", "code": requests_server(), "dependencies": dependencies}));
    let version = host.execute(&id, "version", json!({})).ok().text();
    assert!(version.starts_with("2."), "{version}");
    host.call("save-server", json!({"serverId": id, "name": "fetches pages"})).ok();
    host.close();

    let mut host = home.start_offline();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap();
    host.wait_for_state(loaded, &["ready"]);
    assert_eq!(host.execute(loaded, "version", json!({})).ok().text(), version);
    let again = host.create(json!({"language": "python", "code": requests_server(), "dependencies": dependencies}));
    assert_eq!(host.execute(&again, "version", json!({})).ok().text(), version);
    host.close();

    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["record"]["dependencies"], dependencies);
    assert!(record["record"]["lock"].as_str().unwrap().contains(&format!("requests=={version}")), "{record}");
}

#[test]
fn the_lock_restores_the_same_versions_without_the_cache() {
    let home = home_with("uv").own_cache();
    let mut host = home.start();
    let dependencies = json!(["idna<3.7"]);
    let code = requests_server().replace("import requests", "import idna as requests");
    let id = host.create(json!({"language": "python", "code": code, "dependencies": dependencies}));
    let version = host.execute(&id, "version", json!({})).ok().text();
    host.call("save-server", json!({"serverId": id, "name": "names"})).ok();
    host.close();
    fs::rename(home.path().join("cache"), home.path().join("old cache")).unwrap();

    let mut host = home.start();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap();
    host.wait_for_state(loaded, &["ready"]);
    assert_eq!(host.execute(loaded, "version", json!({})).ok().text(), version);
}

#[rstest]
#[case::sdk_1(include_str!("../fixtures/sdk_1_server.py"), json!({"mcp": "<2"}))]
#[case::sdk_1_by_its_import_alone(include_str!("../fixtures/sdk_1_server.py"), json!({"mcp": "*"}))]
#[case::sdk_2(include_str!("../fixtures/sdk_2_server.py"), json!({"mcp": ">=2"}))]
#[case::fastmcp(include_str!("../fixtures/fastmcp_server.py"), json!(["fastmcp"]))]
fn servers_on_the_sdks_work(#[case] code: &str, #[case] dependencies: Value) {
    let home = home_with("uv");
    let mut host = home.start();
    let id = host.create(json!({"language": "python", "code": code, "dependencies": dependencies}));
    let answer = host.execute(&id, "add", json!({"a": 40, "b": 2})).ok();
    assert!(answer.text().contains("42"), "{}", answer.text());
    assert!(host.execute(&id, "add", json!({"a": "forty", "b": 2})).error().contains("\"a\""));
}

#[test]
fn the_template_on_the_official_sdk_works() {
    let home = home_with("uv");
    let mut host = home.start();
    let id = host.create(json!({"language": "python", "dependencies": {"mcp": ">=2"}}));
    let answer = host.execute(&id, "echo", json!({"message": "Bonjour"})).ok();
    assert!(answer.text().contains("Bonjour"), "{}", answer.text());
}

#[test]
fn servers_without_packages_need_no_installer() {
    let home = TestHome::new().own_cache();
    let config = format!("[plugins.python]\nconfig = {{ uv = {:?} }}\n", home.hanging_uv());
    let home = home.config(&config);
    let mut host = home.start();
    let id = host.create(json!({"language": "python", "dependencies": {}}));
    assert!(host.execute(&id, "echo", json!({"message": "Hello"})).ok().text().contains("Hello"));
}

#[rstest]
#[case::an_option(json!({"--index-url=http://127.0.0.1:9/": "*"}))]
#[case::an_option_in_a_list(json!(["--index-url=http://127.0.0.1:9/"]))]
#[case::a_file(json!(["-r /etc/passwd"]))]
#[case::editable(json!(["-e ."]))]
#[case::a_url(json!(["six @ file:///etc/passwd"]))]
#[case::a_url_as_a_version(json!({"six": "@ https://127.0.0.1:9/six.whl"}))]
#[case::a_path(json!(["./six"]))]
#[case::a_line_feed(json!({"six": "1.0\n--index-url=http://127.0.0.1:9/"}))]
#[case::nonsense(json!({"six": "about one"}))]
#[case::no_text(json!({"six": 1}))]
fn requirements_that_are_more_than_requirements_are_refused(#[case] dependencies: Value) {
    let home = TestHome::new().own_cache();
    let config = format!("[plugins.python]\nconfig = {{ uv = {:?} }}\n", home.hanging_uv());
    let home = home.config(&config);
    let mut host = home.start();
    let arguments = json!({"language": "python", "code": requests_server(), "dependencies": dependencies});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("dependenc") || error.contains("requirement") || error.contains("package"), "{error}");
    assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"), "a half-made server is left");
}

#[test]
fn a_traceback_at_import_is_enough_to_repair_the_code() {
    insta::assert_snapshot!(failure("TOOLS = {}\n\nprint(TOOLS['echo'])\n", json!({})), @r#"
    failed to create the server: the server exited with code 1 before it answered `initialize`

    --- what it wrote to standard error ---
    Traceback (most recent call last):
      File "main.py", line 3, in <module>
        print(TOOLS['echo'])
    KeyError: 'echo'

    the server must read JSON-RPC lines from its standard input, answer them on its standard output, and keep running; `create-server-from-template` without `code` starts a working example
    "#);
}

#[test]
fn a_syntax_error_is_enough_to_repair_the_code() {
    insta::assert_snapshot!(failure("import sys\n\ndef broken(:\n    pass\n", json!({})), @r#"
    failed to create the server: the server exited with code 1 before it answered `initialize`

    --- what it wrote to standard error ---
      File "main.py", line 3
        def broken(:
    SyntaxError: invalid syntax

    the server must read JSON-RPC lines from its standard input, answer them on its standard output, and keep running; `create-server-from-template` without `code` starts a working example
    "#);
}

#[test]
fn a_missing_module_names_the_package_to_add() {
    insta::assert_snapshot!(failure("import cv2\n", json!({})), @r#"
    failed to create the server: the server exited with code 1 before it answered `initialize`

    --- what it wrote to standard error ---
    Traceback (most recent call last):
      File "main.py", line 1, in <module>
        import cv2
    ModuleNotFoundError: No module named 'cv2'

    add the package `opencv-python-headless` to `dependencies`: it provides the module `cv2`
    "#);
}

#[test]
fn an_unknown_package_is_named() {
    insta::assert_snapshot!(failure("import six\n", json!({"perennial-no-such-package": "*"})), @r#"
    failed to create the server: the installer exited with code 1 while resolving python packages: error: No solution found when resolving dependencies
      cause: Because perennial-no-such-package was not found in the package registry and you require perennial-no-such-package, we can conclude that your requirements are unsatisfiable.

    check the package's name on the registry
    "#);
}

#[test]
fn an_unknown_version_is_named() {
    let told = failure("import six\n", json!({"six": ">=999"}));
    assert!(told.contains("six>=999") && told.contains("loosen the versions in `dependencies`"), "{told}");
}

#[test]
fn a_server_that_ends_without_a_word_is_told_so() {
    insta::assert_snapshot!(failure("print('done')\n", json!({})), @r#"
    failed to create the server: the server exited with code 0 before it answered `initialize`

    --- what it printed on standard output ---
    done

    the server must read JSON-RPC lines from its standard input, answer them on its standard output, and keep running; `create-server-from-template` without `code` starts a working example
    "#);
}

#[test]
fn a_failed_creation_leaves_no_server() {
    let home = TestHome::new();
    let mut host = home.start();
    create_failing(&mut host, "raise SystemExit(4)\n", json!({}));
    assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"));
}

#[rstest]
fn a_package_without_a_wheel_is_built_where_the_operator_allows_it(#[values("uv", "pip")] installer: &str) {
    let config = format!("[plugins.python]\nconfig = {{ installer = {installer:?}, sdists = true }}\n");
    let home = TestHome::new().with_uv().config(&config);
    let mut host = home.start();
    let code = format!("import docopt\n{}", echo_server());
    let id = host.create(json!({"language": "python", "code": code, "dependencies": ["docopt==0.6.2"]}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "built"})).ok().text(), "built");
}

#[test]
fn an_interpreter_is_found_beyond_the_path_of_a_desktop_program() {
    let home = TestHome::new().env("PATH", "/usr/bin:/bin");
    let mut host = home.start();
    let id = host.create(json!({"language": "python"}));
    assert!(host.execute(&id, "echo", json!({"message": "found"})).ok().text().contains("found"));
}

/// A home whose Python servers get their packages by `uv` or by `pip`.
fn home_with(installer: &str) -> TestHome {
    let config = format!("[plugins.python]\nconfig = {{ installer = {installer:?} }}\n");
    TestHome::new().with_uv().config(&config)
}

fn create_failing(host: &mut TestHost, code: &str, dependencies: Value) -> String {
    let arguments = json!({"language": "python", "code": code, "dependencies": dependencies});
    host.call("create-server-from-template", arguments).error()
}

/// What the author of `code` is told, without what changes from run to run.
fn failure(code: &str, dependencies: Value) -> String {
    let home = home_with("uv");
    let mut host = home.start();
    let text = create_failing(&mut host, code, dependencies);
    let text = text.lines().filter(|line| !is_caret_line(line)).collect::<Vec<_>>().join("\n");
    text.split_inclusive([' ', '\n', '`', '"']).map(redacted).collect()
}

/// Whether a line of a traceback points at something: Python versions differ in that.
fn is_caret_line(line: &str) -> bool {
    !line.trim().is_empty() && line.trim().bytes().all(|byte| matches!(byte, b'^' | b'~'))
}

/// A word without what changes from run to run: a path keeps its last part.
fn redacted(word: &str) -> String {
    let bare = word.trim_end_matches([' ', '\n', '`', '"', ',', '.', ':', ';']);
    let rest = &word[bare.len()..];
    match bare.rsplit_once('/') {
        Some((folders, last)) if folders.starts_with('/') => format!("…/{last}{rest}"),
        _ => word.to_owned(),
    }
}
