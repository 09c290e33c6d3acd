//! Plans as data, without an interpreter.

use std::collections::BTreeMap;

use perennial_runtime_python::{Config, Python};
use perennial_sdk::{Tool, prelude::*};
use rstest::rstest;

fn toolchain(programs: &[&str], platform: &str) -> Toolchain {
    let tool = |name: &&str| {
        let tool = Tool { path: format!("/usr/bin/{name}").into(), version: "3.12.1".into(), ..Tool::default() };
        (name.to_string(), tool)
    };
    Toolchain { tools: programs.iter().map(tool).collect(), platform: platform.into() }
}

fn spec(code: &str, dependencies: &[&str]) -> ServerSpec {
    ServerSpec {
        language: "python".into(),
        code: code.into(),
        dependencies: Dependencies::List(dependencies.iter().map(ToString::to_string).collect()),
        ..ServerSpec::default()
    }
}

fn plan(spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    plan_as(Config::default(), spec, toolchain)
}

fn plan_as(config: Config, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    let home = Home { data_dir: "/nonexistent".into() };
    let python = ready(Python::init(config, home))?;
    python.plan(&Cx::detached(), spec, toolchain)
}

/// `init` of this plugin waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("the plugin waits for something"),
    }
}

/// The script is as long as it is dull, and is tested by running it.
fn without_script(mut plan: Plan) -> Plan {
    let environment = plan.environment.iter_mut();
    for step in environment.flat_map(|environment| environment.resolve.steps.iter_mut().chain(&mut environment.install))
    {
        step.files.iter_mut().filter(|file| file.path == "pip.py").for_each(|file| file.contents = "…".into());
    }
    plan
}

#[test]
fn the_standard_library_alone() {
    let plan = plan(&spec("print()\n", &[]), &toolchain(&["python", "uv"], "linux-x86_64-gnu")).unwrap();
    insta::assert_json_snapshot!(plan);
}

#[rstest]
#[case("with_uv", &["python", "uv"], "linux-x86_64-gnu")]
#[case("with_pip", &["python"], "linux-x86_64-gnu")]
#[case("on_windows", &["python", "uv"], "windows-x86_64")]
fn with_packages(#[case] name: &str, #[case] programs: &[&str], #[case] platform: &str) {
    let spec = spec("import requests\n", &["requests ^2.31", "Flask_Cors"]);
    let plan = without_script(plan(&spec, &toolchain(programs, platform)).unwrap());
    insta::assert_json_snapshot!(name, plan);
}

#[rstest]
#[case::uv(&["python", "uv"])]
#[case::pip(&["python"])]
fn only_wheels_unless_the_operator_says_otherwise(#[case] programs: &[&str]) {
    let spec = spec("import docopt\n", &["docopt"]);
    let only_wheels = |sdists| {
        let config = Config { sdists, ..Config::default() };
        let plan = plan_as(config, &spec, &toolchain(programs, "linux-x86_64-gnu")).unwrap();
        let environment = plan.environment.unwrap();
        let steps = environment.resolve.steps.iter().chain(&environment.install);
        steps.filter(|step| step.command.args.iter().any(|argument| argument == "--only-binary")).count()
    };
    assert_eq!((only_wheels(false), only_wheels(true)), (2, 0));
}

#[test]
fn code_for_the_first_sdk_gets_the_first_sdk() {
    let spec = spec("from mcp.server.fastmcp import FastMCP\n", &[]);
    let plan = plan(&spec, &toolchain(&["python", "uv"], "linux-x86_64-gnu")).unwrap();
    assert_eq!(plan.environment.unwrap().requirements, "mcp<2\n");
    assert_eq!(plan.notes.len(), 1);
}

#[test]
fn inline_metadata_counts() {
    let code = "# /// script\n# dependencies = [\"rich\"]\n# ///\nimport rich\n";
    let plan = plan(&spec(code, &["requests"]), &toolchain(&["python", "uv"], "linux-x86_64-gnu")).unwrap();
    assert_eq!(plan.environment.unwrap().requirements, "requests\nrich\n");
}

#[test]
fn inline_metadata_is_as_suspect_as_any_other() {
    let code = "# /// script\n# dependencies = [\"rich @ file:///etc/passwd\"]\n# ///\n";
    let error = plan(&spec(code, &[]), &toolchain(&["python", "uv"], "linux-x86_64-gnu")).unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
}

#[test]
fn a_newer_python_is_asked_for_in_vain() {
    let code = "# /// script\n# requires-python = \">=3.99\"\n# ///\n";
    let error = plan(&spec(code, &[]), &toolchain(&["python"], "linux-x86_64-gnu")).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unsupported);
    assert!(error.message.contains("3.99") && error.message.contains("3.12.1"), "{error}");
}

#[test]
fn further_files_are_kept_and_read_for_imports() {
    let mut spec = spec("import tools\n", &[]);
    spec.files = BTreeMap::from([("tools/__init__.py".into(), "import fastmcp\n".into())]);
    let plan = plan(&spec, &toolchain(&["python", "uv"], "linux-x86_64-gnu")).unwrap();
    assert_eq!(plan.files.len(), 2);
    assert_eq!(plan.environment.unwrap().requirements, "fastmcp\n");
}

#[test]
fn a_second_main_file_is_refused() {
    let mut spec = spec("", &[]);
    spec.files = BTreeMap::from([("main.py".into(), String::new())]);
    assert_eq!(plan(&spec, &toolchain(&["python"], "linux-x86_64-gnu")).unwrap_err().code, ErrorCode::Invalid);
}

#[test]
fn a_python_that_cannot_make_environments_says_so() {
    let mut toolchain = toolchain(&["python"], "linux-x86_64-gnu");
    toolchain.tools.get_mut("python").unwrap().facts = json!({"venv": true, "ensurepip": false});
    let error = plan(&spec("", &["requests"]), &toolchain).unwrap_err();
    assert!(error.message.contains("ensurepip") && error.hint.unwrap().contains("python3-venv"));
    assert!(plan(&spec("", &[]), &toolchain).is_ok());
}
