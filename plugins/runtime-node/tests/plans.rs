//! Plans as data, without an interpreter.

use std::collections::BTreeMap;

use perennial_runtime_node::{Config, Node};
use perennial_sdk::{Tool, prelude::*};
use rstest::rstest;

fn toolchain(programs: &[&str]) -> Toolchain {
    let tool = |name: &&str| {
        let tool = Tool { path: format!("/usr/bin/{name}").into(), version: "20.1.0".into(), ..Tool::default() };
        (name.to_string(), tool)
    };
    Toolchain { tools: programs.iter().map(tool).collect(), platform: "linux-x86_64-gnu".into() }
}

fn spec(language: &str, code: &str, files: &[(&str, &str)]) -> ServerSpec {
    ServerSpec {
        language: language.into(),
        code: code.into(),
        files: files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect(),
        ..ServerSpec::default()
    }
}

fn plan(spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    configured(Config::default(), spec, toolchain)
}

/// With these settings, Node and these package managers.
fn planned(config: Value, spec: &ServerSpec, managers: &[&str]) -> Result<Plan> {
    let config = serde_json::from_value(config).expect("settings");
    configured(config, spec, &toolchain(&[&["node"], managers].concat()))
}

fn configured(config: Config, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    let node = ready(Node::init(config, Home { data_dir: "/nonexistent".into() }))?;
    node.plan(&Cx::detached(), spec, toolchain)
}

/// `init` of this plugin waits for nothing.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => unreachable!("the plugin waits for something"),
    }
}

/// The files of a server, without the maps of their lines.
fn written(language: &str, code: &str, files: &[(&str, &str)]) -> BTreeMap<String, String> {
    let plan = plan(&spec(language, code, files), &toolchain(&["node", "npm"])).expect("a plan");
    let code = |text: &str| text.split("//# sourceMappingURL").next().unwrap_or_default().trim_end().to_string();
    plan.files.iter().map(|file| (file.path.clone(), code(&file.contents))).collect()
}

#[test]
fn javascript_alone_is_written_as_it_is() {
    let plan = plan(&spec("javascript", "import 'node:fs'\n\n// end", &[]), &toolchain(&["node"])).unwrap();
    insta::assert_json_snapshot!(plan);
}

#[test]
fn with_packages() {
    let mut spec = spec("typescript", "import ms from 'ms';\nconst a: number = ms('1s');\n", &[]);
    spec.dependencies = Dependencies::List(vec!["ms@^2".into(), "@types/ms".into()]);
    let mut plan = plan(&spec, &toolchain(&["node", "npm"])).unwrap();
    let steps = plan.environment.iter_mut().flat_map(|environment| environment.install.iter_mut());
    steps.flat_map(|step| &mut step.files).for_each(|file| file.contents = "…".into());
    insta::assert_json_snapshot!(plan);
}

#[rstest]
#[case::npm_comes_with_node("auto", &["npm", "pnpm"], Some("package-lock.json"))]
#[case::pnpm_where_there_is_no_npm("auto", &["pnpm"], Some("pnpm-lock.yaml"))]
#[case::pnpm_by_choice("pnpm", &["npm", "pnpm"], Some("pnpm-lock.yaml"))]
#[case::npm_by_choice("npm", &["pnpm"], None)]
#[case::neither("auto", &[], None)]
fn packages_need_a_package_manager(#[case] installer: &str, #[case] there: &[&str], #[case] lock: Option<&str>) {
    let mut spec = spec("javascript", "0", &[]);
    spec.dependencies = Dependencies::List(vec!["ms".into()]);
    match (planned(json!({"installer": installer}), &spec, there), lock) {
        (Ok(plan), Some(lock)) => assert_eq!(plan.environment.unwrap().resolve.output, format!("{{work}}/{lock}")),
        (Err(error), None) => {
            assert_eq!(error.code, ErrorCode::Unavailable);
            assert!(error.message.starts_with("`npm`") && error.hint.is_some(), "{error:?}");
        }
        (plan, _) => unreachable!("{plan:?}"),
    }
}

#[rstest]
#[case::npms("npm", r#"{"packages": {"": {}, "node_modules/ms": {"version": "2.0.0", "integrity": "sha512-a"}}}"#)]
#[case::pnpms(
    "pnpm",
    "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      ms:\n        specifier: ^2\n        version: \
     2.0.0\npackages:\n  ms@2.0.0:\n    resolution: {integrity: sha512-a}\nsnapshots:\n  ms@2.0.0: {}\n"
)]
fn a_lock_is_read_by_what_wrote_it(#[case] writer: &str, #[case] lock: &str) {
    let other = if writer == "npm" { "pnpm" } else { "npm" };
    let mut spec = spec("javascript", "0", &[]);
    spec.dependencies = Dependencies::List(vec!["ms@^2".into()]);
    spec.lock = Some(lock.into());
    let plan = planned(json!({"installer": other}), &spec, &["npm", "pnpm"]).unwrap();
    let install = plan.environment.unwrap().install;
    assert!(install.iter().any(|step| step.command.args.contains(&format!("{{{writer}}}"))), "{install:?}");
    let error = planned(json!({}), &spec, &[other]).unwrap_err();
    assert_eq!(error.message, format!("the server's lock was written by {writer}, and `{writer}` was not found"));
    assert!(error.hint.unwrap().contains("remove the lock"));
}

#[rstest]
#[case::without_an_end("./lib/words", "./lib/words.js")]
#[case::as_it_is_called("./lib/words.ts", "./lib/words.js")]
#[case::as_it_will_be_called("./lib/words.js", "./lib/words.js")]
#[case::a_folder("./lib", "./lib/index.js")]
#[case::another_kind("./old", "./old.cjs")]
#[case::explicit("./new.mts", "./new.mjs")]
#[case::none_of_ours("./elsewhere", "./elsewhere")]
#[case::a_package("lib", "lib")]
#[case::the_sdk("@modelcontextprotocol/sdk/server/mcp", "@modelcontextprotocol/sdk/server/mcp.js")]
fn imports_name_what_is_written(#[case] name: &str, #[case] expected: &str) {
    let files = [
        ("lib/words.ts", "export const words: string[] = [];"),
        ("lib/index.ts", "export {};"),
        ("old.js", "exports.a = 1;"),
        ("new.mts", "export {};"),
    ];
    let code = format!("import * as it from \"{name}\";\nconsole.log(it);\n");
    let written = written("typescript", &code, &files);
    assert!(written["main.js"].contains(&format!("from \"{expected}\"")), "{}", written["main.js"]);
    assert_eq!(written["package.json"], r#"{"type":"module"}"#);
}

#[test]
fn types_that_are_imported_without_saying_so_are_left_out() {
    let written = written("typescript", "import { A, b } from './a';\nexport const c: A = b;\n", &[]);
    assert_eq!(written["main.js"], "import { b } from \"./a\";\nexport const c = b;");
}

#[test]
fn no_line_of_javascript_moves() {
    let code =
        "#!/usr/bin/env node\n// what it is\nimport a from './a.json';\nconst fs = require('fs');\nfail(__dirname);";
    let written = written("javascript", code, &[("a.json", "{}")]);
    let lines: Vec<&str> = written["main.js"].lines().collect();
    assert_eq!((lines[0], lines[1], lines[4]), ("#!/usr/bin/env node", "// what it is", "fail(__dirname);"));
    assert!(lines[2].ends_with("import a from './a.json' with { type: \"json\" };"), "{}", lines[2]);
    assert!(lines[2].contains("var require=") && lines[2].contains("__dirname="));
}

#[rstest]
#[case("module", "main.cjs")]
#[case("commonjs", "main.js")]
fn a_package_json_says_what_js_means(#[case] kind: &str, #[case] main: &str) {
    let package = json!({ "type": kind }).to_string();
    let written = written("javascript", "require('fs');", &[("package.json", &package)]);
    assert!(written.contains_key(main) && written["package.json"] == package, "{:?}", written.keys());
}

#[rstest]
#[case::the_main_file("main.ts")]
#[case::packages("node_modules/ms/index.js")]
#[case::the_same_output("main.js")]
fn files_in_the_way_are_refused(#[case] path: &str) {
    let error = plan(&spec("typescript", "export {}", &[(path, "export {}")]), &toolchain(&["node"])).unwrap_err();
    assert!(error.code == ErrorCode::Invalid && error.message.contains(path) && error.hint.is_some(), "{error:?}");
}

#[test]
fn a_syntax_error_in_a_further_file_names_it() {
    let error = plan(&spec("typescript", "0", &[("lib/a.ts", "\nlet = = 1")]), &toolchain(&["node"])).unwrap_err();
    assert!(error.message.starts_with("`lib/a.ts:2:"), "{error}");
}

#[test]
fn a_lock_is_as_suspect_as_any_other_input() {
    let mut spec = spec("javascript", "0", &[]);
    spec.lock = Some(r#"{"packages": {"": {}, "node_modules/a": {"resolved": "file:..", "link": true}}}"#.into());
    assert_eq!(plan(&spec, &toolchain(&["node"])).unwrap_err().code, ErrorCode::Invalid);
}

#[rstest]
#[case::typed("typescript", "view.tsx", "export const View = (p: { a: string }) => <p>{p.a}</p>;", "react", "*")]
#[case::untyped("javascript", "view.jsx", "export const View = ({ a }) => <p>{a}</p>;", "react", "*")]
#[case::another(
    "javascript",
    "view.jsx",
    "/** @jsxImportSource preact */\nexport const View = ({ a }) => <p>{a}</p>;",
    "preact",
    "^10"
)]
fn elements_become_calls_of_a_package(
    #[case] language: &str,
    #[case] path: &str,
    #[case] view: &str,
    #[case] package: &str,
    #[case] range: &str,
) {
    let spec = spec(language, "import { View } from './view';\nView({ a: '' });\n", &[(path, view)]);
    let plan = plan(&spec, &toolchain(&["node", "npm"])).unwrap();
    let text =
        |path: &str| plan.files.iter().find(|file| file.path == path).map(|file| file.contents.as_str()).unwrap();
    assert!(text("main.js").contains("from \"./view.js\""), "{}", text("main.js"));
    assert!(text("view.js").contains(&format!("from \"{package}/jsx-runtime\"")), "{}", text("view.js"));
    assert!(plan.run.args.iter().any(|arg| arg == "--enable-source-maps"));
    assert_eq!(plan.environment.unwrap().requirements, format!("{package}@{range}\n"));
    assert!(plan.notes[0].contains(&format!("`{package}` was added")), "{:?}", plan.notes);
}

#[test]
fn a_file_for_elements_without_any_is_written_as_it_is() {
    let written = written("javascript", "import './view.jsx';", &[("view.jsx", "export const a  = 1;")]);
    assert_eq!(
        (written["view.js"].as_str(), written["main.js"].as_str()),
        ("export const a  = 1;", "import \"./view.js\";")
    );
}
