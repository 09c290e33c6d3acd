//! Packages that a server asks for and must not have, and installations that fail.

use std::{fs, net::TcpListener, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    cases::registries::{Cargo, Installer, Npm, Pip, Pnpm, Uv, arguments, home},
    support::{FixtureRegistry, TestHome, carrying, echo_server, wait_until},
};

#[rstest]
#[case::an_option(json!(["--index-url=https://evil.example"]))]
#[case::an_option_behind_a_package(json!(["six --index-url=https://evil.example"]))]
#[case::a_file_of_requirements(json!(["-r /etc/passwd"]))]
#[case::this_folder(json!(["-e ."]))]
#[case::a_folder(json!(["./here"]))]
#[case::a_url(json!(["six @ file:///etc/passwd"]))]
#[case::a_repository(json!(["git+https://evil.example/six"]))]
#[case::a_second_line(json!({"six": "1.0\n--index-url=https://evil.example"}))]
#[case::a_name_that_is_an_option(json!({"--pre": "*"}))]
fn fault_15_what_is_no_python_package_is_refused_before_any_process_starts(#[case] dependencies: Value) {
    let home = TestHome::obedient("");
    let mut host = home.start();
    let before = carrying(&home.mark()).len();
    let mut arguments = obedient("six");
    arguments["dependencies"] = dependencies;
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("depend") || error.contains("requirement"), "{error}");
    assert!(!home.told().join("steps").exists() && home.environments().is_empty(), "an installer ran");
    assert!(carrying(&home.mark()).len() <= before, "{:#?}", carrying(&home.mark()));
    host.create(obedient("six"));
}

#[rstest]
#[case::git(Npm, json!({"greeting": "git+ssh://git@evil.example/x.git"}))]
#[case::a_repository(Npm, json!({"greeting": "evil/x"}))]
#[case::file(Npm, json!({"greeting": "file:../x"}))]
#[case::link(Npm, json!({"greeting": "link:../x"}))]
#[case::an_alias(Npm, json!({"greeting": "npm:other@1"}))]
#[case::a_url(Npm, json!({"greeting": "https://evil.example/x.tgz"}))]
#[case::an_option(Npm, json!(["--prefix=/"]))]
#[case::crate_path(Cargo, json!(["greeting = { path = \"/etc\" }"]))]
#[case::crate_git(Cargo, json!(["greeting = { git = \"https://evil.example/x\" }"]))]
#[case::crate_url(Cargo, json!({"greeting": "git+ssh://git@evil.example/x"}))]
#[case::crate_option(Cargo, json!(["greeting --path /etc"]))]
fn fault_16_what_is_no_package_of_a_registry_is_refused(#[case] installer: Installer, #[case] dependencies: Value) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    let mut host = home.start();
    let mut arguments = arguments(installer);
    arguments["dependencies"] = dependencies;
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("greeting") || error.contains("--prefix"), "{error}");
    assert!(home.environments().is_empty(), "something was installed");
    assert_eq!(registry.requests(), Vec::<String>::new());
}

#[rstest]
fn fault_17_no_script_of_a_package_runs_when_it_is_installed(#[values(Npm, Pnpm)] installer: Installer) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    let mut host = home.start();
    let id = host.create(arguments(installer));
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "1.2.3");
    assert_no_script_ran(&home);
}

#[rstest]
fn fault_17_a_python_package_that_must_be_built_is_not_and_told_so(#[values(Uv, Pip)] installer: Installer) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    let mut host = home.start();
    let mut arguments = arguments(installer);
    arguments["dependencies"] = json!(["sourced"]);
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("sourced") && error.contains("wheel"), "{error}");
    assert_no_script_ran(&home);
    assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()));
}

/// Somebody takes connections there and never answers, or nobody does.
#[rstest]
fn fault_18_a_registry_that_does_not_answer_is_told(
    #[values(Uv, Npm, Cargo)] installer: Installer,
    #[values(false, true)] silent: bool,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _held = silent.then_some(listener);
    let home = home(
        installer,
        &format!(
            "[limits]\nbuild_timeout_s = 2\n[registries]\npypi = 'http://{address}/simple'\nnpm = 'http://{address}/'\n\
             crates-io = 'http://{address}/crates'\n"
        ),
    );
    let mut host = home.start();
    let error = host.call("create-server-from-template", arguments(installer)).error();
    let told = error.contains(&address.to_string()) || error.contains("longer than 2 s");
    assert!(told, "{error}");
    assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()), "{:?}", home.environments());
    let id = host.create_python(echo_server());
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "still");
}

#[rstest]
fn fault_18_a_package_that_the_registry_does_not_have_is_named(#[values(Uv, Npm, Pnpm, Cargo)] installer: Installer) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    let mut host = home.start();
    let mut arguments = arguments(installer);
    arguments["dependencies"] = json!({"perennial-no-such-package": "*"});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("perennial-no-such-package") && error.contains("name on"), "{error}");
}

#[test]
fn fault_18_a_resolver_that_hangs_ends_at_its_limit() {
    let home = TestHome::obedient("[limits]\nbuild_timeout_s = 1.5\n");
    home.tell("wait");
    let mut host = home.start();
    let error = host.call("create-server-from-template", obedient("six")).error();
    assert!(error.contains("longer than 1.5 s") && error.contains("`limits.build_timeout_s`"), "{error}");
    assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()));
    assert_eq!(host.call("list-servers", json!({})).ok().facts()["servers"], json!([]));
}

#[test]
fn fault_18_a_failed_installation_poisons_nothing() {
    let home = TestHome::obedient("");
    home.tell("fail");
    let mut host = home.start();
    let calls = [
        host.begin_call("create-server-from-template", obedient("six")),
        host.begin_call("create-server-from-template", obedient("six")),
    ];
    for call in calls {
        assert!(host.reply(&call).error().contains("the registry is on fire"));
    }
    assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()));
    fs::remove_file(home.told().join("fail")).unwrap();
    host.create(obedient("six"));
}

#[test]
fn fault_19_an_environment_above_its_quota_is_given_up() {
    let home = TestHome::obedient("[cache]\nmax_environment_gb = 0.001\n");
    home.tell("large");
    let mut host = home.start();
    for waiting in [false, true] {
        if waiting {
            home.tell("wait");
            home.tell("begin");
        }
        let before = carrying(&home.mark()).len();
        let error = host.call("create-server-from-template", obedient("six")).error();
        assert!(error.contains("0.001 GB") && error.contains("`cache.max_environment_gb`"), "{error}");
        assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()));
        assert!(carrying(&home.mark()).len() <= before, "{:#?}", carrying(&home.mark()));
    }
    assert_eq!(host.call("list-servers", json!({})).ok().facts()["servers"], json!([]));
}

fn obedient(package: &str) -> Value {
    json!({"language": "python", "code": echo_server(), "dependencies": [package]})
}

fn assert_no_script_ran(home: &TestHome) {
    let ran = |folder: &str| home.path().join(folder).join("a-script-ran").exists();
    assert!(!ran("home") && !ran("run"), "code of a package ran when it was installed");
}
