//! Plans as data, without a compiler.

use std::collections::BTreeMap;

use perennial_runtime_rust::{Config, Rust};
use perennial_sdk::{Tool, prelude::*};
use rstest::rstest;

fn toolchain(platform: &str) -> Toolchain {
    let tool = |name: &str| {
        let said = "rustc 1.95.0 (59807616e 2026-04-14)\nhost: x86_64-unknown-linux-gnu\n";
        let (path, facts) = (format!("/opt/rust/bin/{name}").into(), json!({ "said": said }));
        (name.to_string(), Tool { path, version: "1.95.0".into(), facts, ..Tool::default() })
    };
    Toolchain { tools: ["rustc", "cargo", "cc"].map(tool).into(), platform: platform.into() }
}

fn spec(code: &str, dependencies: &[&str]) -> ServerSpec {
    ServerSpec {
        language: "rust".into(),
        code: code.into(),
        dependencies: Dependencies::List(dependencies.iter().map(ToString::to_string).collect()),
        ..ServerSpec::default()
    }
}

fn plan_with(config: Value, spec: &ServerSpec) -> Result<Plan> {
    let config: Config = serde_json::from_value(config)?;
    let home = Home { data_dir: "/nonexistent".into() };
    let rust = ready(Rust::init(config, home))?;
    rust.plan(&Cx::detached(), spec, &toolchain("linux-x86_64-gnu"))
}

fn plan(spec: &ServerSpec) -> Result<Plan> {
    plan_with(json!({}), spec)
}

/// `init` of this plugin waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("the plugin waits for something"),
    }
}

/// The program is as long as it is dull, and is tested by running it.
fn without_recorder(mut plan: Plan) -> Plan {
    let steps = plan.environment.iter_mut().flat_map(|environment| &mut environment.install);
    for file in steps.flat_map(|step| &mut step.files).filter(|file| file.path == "record.rs") {
        file.contents = "…".into();
    }
    plan
}

/// The names of what is required.
fn requirements(plan: &Plan) -> Vec<&str> {
    let text = plan.environment.as_ref().map(|environment| environment.requirements.as_str()).unwrap_or_default();
    text.lines().map(|line| line.split('@').next().unwrap_or_default()).collect()
}

#[test]
fn the_standard_library_alone() {
    insta::assert_json_snapshot!(plan(&spec("fn main() {}\n", &[])).unwrap());
}

#[test]
fn with_crates() {
    let spec = spec("fn main() { regex::Regex::new(\"a\"); }\n", &["regex@1.10 [unicode, -default]", "itoa"]);
    insta::assert_json_snapshot!(without_recorder(plan(&spec).unwrap()));
}

#[rstest]
#[case("use serde_json::Value;", &[], &["serde", "serde_json"])]
#[case("use serde_json::Value;", &["itoa"], &["itoa", "serde_json"])]
#[case("use rmcp::ServiceExt;", &[], &["anyhow", "rmcp", "schemars", "serde", "serde_json", "tokio"])]
#[case("fn main() {}", &["rmcp@3 [server, macros]"], &["anyhow", "rmcp", "schemars", "serde", "serde_json", "tokio"])]
#[case("mod serde_json; use serde_json::A;", &[], &[])]
fn crates_that_the_code_uses_are_there(#[case] code: &str, #[case] given: &[&str], #[case] expected: &[&str]) {
    assert_eq!(requirements(&plan(&spec(code, given)).unwrap()), expected);
}

#[test]
fn a_lock_decides_while_it_covers_the_code() {
    let locked = "# dependency: itoa = { version = \"^1.0\" }\nversion = 4\n";
    let mut spec = spec("fn main() { itoa::Buffer::new(); }", &["itoa@1"]);
    spec.lock = Some(locked.into());
    let plan_of_lock = plan(&spec).unwrap();
    assert!(!plan_of_lock.resolve_again);
    assert!(plan_of_lock.environment.unwrap().requirements.contains("itoa@^1.0\n"));

    spec.code.push_str("use serde_json::Value;");
    let changed = plan(&spec).unwrap();
    assert!(changed.resolve_again);
    assert_eq!(requirements(&changed), ["itoa", "serde_json"]);

    spec.lock = Some(locked.replace("version = 4", "[patch]"));
    assert_eq!(plan(&spec).unwrap_err().code, ErrorCode::Invalid);
}

#[rstest]
#[case(&["tools.rs", "words.txt"], "main.rs")]
#[case(&["src/tools.rs", "words.txt"], "src/main.rs")]
fn modules_are_where_cargo_or_the_author_has_them(#[case] files: &[&str], #[case] main: &str) {
    let mut spec = spec("mod tools;", &[]);
    spec.files = files.iter().map(|path| (path.to_string(), String::new())).collect();
    let plan = plan(&spec).unwrap();
    assert!(plan.files.iter().any(|file| file.path == main));
    assert_eq!(plan.build[0].command.args.last().unwrap(), &format!("{{server}}/{main}"));
}

#[rstest]
#[case("main.rs")]
#[case("src/main.rs")]
#[case("Cargo.toml")]
#[case("Cargo.lock")]
#[case("build.rs")]
#[case("target/server")]
fn files_in_the_place_of_others_are_refused(#[case] path: &str) {
    let mut spec = spec("", &[]);
    spec.files = BTreeMap::from([(path.into(), String::new())]);
    let error = plan(&spec).unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.hint.is_some());
}

#[test]
fn the_configuration_decides_on_edition_and_optimisation() {
    let plan = plan_with(json!({"edition": "2021", "optimize": 3}), &spec("", &["rmcp@3"])).unwrap();
    let args = plan.build[0].command.args.join(" ");
    assert!(args.contains("--edition 2021") && args.contains("opt-level=3"), "{args}");
    assert!(plan_with(json!({"optimize": 4}), &spec("", &[])).is_err());
}
