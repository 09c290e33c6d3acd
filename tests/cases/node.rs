//! TypeScript and JavaScript servers: dialects, packages, and what their authors are told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, installed, serve_file};

/// A server with one tool that tells the version of its dependency `semver`.
const SEMVER: &str = "import semver from 'semver';\nimport { serve } from './serve';\n\
                      await serve({ version: () => semver.valid('v1.2.3') });\n";

#[rstest]
#[case("typescript")]
#[case("ts")]
#[case("javascript")]
#[case("js")]
#[case("node")]
fn the_guide_works(#[case] language: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create(json!({"language": language}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "Hello"})).ok().text(), "Hello");
    host.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).ok();
    host.close();

    let mut host = home.start();
    let main = if language.starts_with('t') { "typescript" } else { "javascript" };
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains(&format!("Language: {main}")), "{listed}");
    let loaded = load(&mut host, &id);
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "à nouveau"})).ok().text(), "à nouveau");
    host.call("delete-saved-server", json!({"savedServerId": id})).ok();
}

#[test]
fn a_server_with_packages_comes_back_with_the_registry_unreachable() {
    let home = TestHome::new().own_cache();
    let mut host = home.start();
    let arguments = with_serve("typescript", SEMVER, json!({"semver": "^7.5"}));
    let id = host.create(arguments.clone());
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "1.2.3");
    host.call("save-server", json!({"serverId": id, "name": "versions"})).ok();
    host.close();

    let mut host = home.start_offline();
    let loaded = load(&mut host, &id);
    assert_eq!(host.execute(&loaded, "version", json!({})).ok().text(), "1.2.3");
    let again = host.create(arguments);
    assert_eq!(host.execute(&again, "version", json!({})).ok().text(), "1.2.3");
    host.close();

    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let lock: Value = serde_json::from_str(record["record"]["lock"].as_str().unwrap()).unwrap();
    let locked = &lock["packages"]["node_modules/semver"];
    assert!(locked["version"].as_str().unwrap().starts_with("7.") && locked.get("resolved").is_none(), "{locked}");
}

#[test]
fn the_lock_restores_the_same_versions_without_the_cache() {
    let home = TestHome::new().own_cache();
    let mut host = home.start();
    let code = "const { version } = require('semver/package.json');\n\
                import('./serve.ts').then(({ serve }) => serve({ version: () => version }));\n";
    let id = host.create(with_serve("javascript", code, json!(["semver@7.5.1"])));
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "7.5.1");
    host.call("save-server", json!({"serverId": id, "name": "versions"})).ok();
    host.close();
    fs::rename(home.path().join("cache"), home.path().join("old cache")).unwrap();

    let mut host = home.start();
    let loaded = load(&mut host, &id);
    assert_eq!(host.execute(&loaded, "version", json!({})).ok().text(), "7.5.1");
}

#[test]
fn where_there_is_no_npm_pnpm_installs_and_its_lock_needs_it() {
    let pnpm = installed("node/node_modules/pnpm/bin/pnpm.cjs");
    let with = |npm: &str, pnpm: &Path| format!("[plugins.node]\nconfig = {{ npm = {npm:?}, pnpm = {pnpm:?} }}\n");
    let home = TestHome::new().own_cache().config(&with("no-such-npm", &pnpm));
    let code = "import { serve } from './serve';\nconst { version } = require('semver/package.json');\n\
                await serve({ version: () => version });\n";
    let arguments = with_serve("typescript", code, json!({"semver": "~7.5.1"}));
    let mut host = home.start();
    let id = host.create(arguments.clone());
    let version = host.execute(&id, "version", json!({})).ok().text();
    assert!(version.starts_with("7.5."), "{version}");
    host.call("save-server", json!({"serverId": id, "name": "versions"})).ok();
    host.close();
    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let lock = record["record"]["lock"].as_str().unwrap();
    assert!(lock.starts_with("lockfileVersion: '9.0'") && !lock.contains("tarball"), "{lock}");

    let mut host = home.start_offline();
    let loaded = load(&mut host, &id);
    assert_eq!(host.execute(&loaded, "version", json!({})).ok().text(), version);
    host.close();

    fs::rename(home.path().join("cache"), home.path().join("old cache")).unwrap();
    let mut host = home.start();
    let loaded = load(&mut host, &id);
    assert_eq!(host.execute(&loaded, "version", json!({})).ok().text(), version);
    host.close();

    let home = home.config(&with("npm", Path::new("no-such-pnpm")));
    let mut host = home.start();
    let error = host.call("load-saved-server", json!({"savedServerId": id})).error();
    assert!(error.contains("the server's lock was written by pnpm, and `pnpm` was not found"), "{error}");
    assert!(error.contains("install pnpm with"), "{error}");
    let other = host.create(arguments);
    assert_eq!(host.execute(&other, "version", json!({})).ok().text(), version);
}

#[rstest]
#[case::module(
    "javascript",
    "import { sep } from 'path'; import { serve } from './serve.js'; await serve({ it: () => sep });"
)]
#[case::common(
    "javascript",
    "const { sep } = require('path');\nimport('./serve.js').then(({ serve }) => serve({ it: () => sep }));"
)]
#[case::both(
    "javascript",
    "import { serve } from './serve';\nconst { sep } = require('path');\nserve({ it: () => sep });"
)]
#[case::a_type_error(
    "typescript",
    "import { serve } from './serve.ts';\nconst a: number = '/';\nawait serve({ it: () => a });"
)]
#[case::an_enum(
    "typescript",
    "import { serve } from './serve';\nenum Kind { Root = '/' }\nserve({ it: (): Kind => Kind.Root });"
)]
#[case::parameter_properties(
    "typescript",
    "import { serve } from './serve';\nclass A { constructor(private a: string) {} it() { return this.a } }\n\
     const a = new A('/');\nserve({ it: () => a.it() });"
)]
#[case::decorators(
    "typescript",
    "import { serve } from './serve';\nconst root = (t: any, k: string, d: any) => ({ ...d, value: () => '/' });\n\
     class A { @root it() { return 'undecorated' } }\nserve({ it: () => new A().it() });"
)]
#[case::assigned_modules(
    "typescript",
    "import path = require('path');\nimport('./serve').then(({ serve }) => serve({ it: () => path.sep }));"
)]
#[case::main("javascript", "import { serve } from './serve';\nif (require.main === module) serve({ it: () => '/' });")]
#[case::json(
    "typescript",
    "import { serve } from './serve';\nimport words from './data/words.json';\nserve({ it: () => words.root });"
)]
fn every_kind_of_module_runs(#[case] language: &str, #[case] code: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let mut arguments = with_serve(language, code, json!({}));
    arguments["files"]["data/words.json"] = json!("{\"root\": \"/\"}");
    let id = host.create(arguments);
    assert_eq!(host.execute(&id, "it", json!({})).ok().text(), "/");
}

#[test]
fn elements_are_rendered_and_their_package_comes_by_itself() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = "import { renderToStaticMarkup } from 'react-dom/server';\nimport { View } from './view';\n\
                import { serve } from './serve';\n\
                await serve({ it: () => renderToStaticMarkup(View({ who: 'Zoé' })) });\n";
    let mut arguments = with_serve("typescript", code, json!({"react-dom": "^19"}));
    arguments["files"]["view.tsx"] =
        json!("type Who = { who: string };\nexport const View = ({ who }: Who) => <p title=\"a\">hé {who}</p>;\n");
    let id = host.create(arguments);
    assert_eq!(host.execute(&id, "it", json!({})).ok().text(), "<p title=\"a\">hé Zoé</p>");
}

#[test]
fn elements_in_the_main_file_are_refused_at_their_place() {
    insta::assert_snapshot!(failure("typescript", "const a = 1;\nconst b = <p>{a}</p>;\n", json!({})), @r"
    failed to create the server: `main.ts:2:11`: JSX needs a file that ends in `.jsx` or `.tsx`: 
      2 | const b = <p>{a}</p>;
        |           ^

    put it into `files`, such as `view.tsx`, and import that: `import { View } from './view'`
    ");
}

#[test]
fn packages_are_compiled_once_and_no_server_writes_what_others_load() {
    let node = installed("node").join("node_modules/node/bin");
    let path = format!("{}:{}", node.display(), std::env::var("PATH").unwrap());
    let home = TestHome::new().own_cache().env("PATH", path);
    let mut host = home.start();
    let code = "import { getCompileCacheDir } from 'node:module';\nimport { z } from 'zod';\n\
                import { serve } from './serve';\ninterface Told { cache: string | null; root: boolean; trace?: string }\n\
                const told: Told = { cache: getCompileCacheDir() ?? null, root: process.getuid!() === 0 };\n\
                await serve({ it: () => JSON.stringify({ ...told, trace: new Error().stack, z: z.string().parse('') }) });\n";
    let id = host.create(with_serve("typescript", code, json!({"zod": "^4"})));
    let environments = fs::read_dir(home.cache_dir().join("environments")).unwrap().flatten();
    let attempts = environments.flat_map(|slot| slot.path().read_dir().unwrap().flatten());
    let environment = attempts.map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
    let cache = environment.join("compile-cache");
    let compiled = files_below(&cache);
    assert!(compiled.len() > 20 && !environment.join("compile").exists(), "{compiled:?}");

    let told = host.execute(&id, "it", json!({})).ok().text();
    let told: Value = serde_json::from_str(&told).unwrap();
    // root could write it, unless something else keeps it from that
    let enforced = host.call("get-server", json!({"serverId": id})).ok().facts()["enforced"].clone();
    let is_kept = |measure: &Value| measure["what"] == "files" && measure["by"].is_string();
    let could_write = told["root"] == true && !enforced.as_array().unwrap().iter().any(is_kept);
    match told["cache"].as_str() {
        None => assert!(could_write, "{told}"),
        // newer versions add a folder of their own
        Some(used) => assert!(!could_write && Path::new(used).starts_with(&cache), "{told}"),
    }
    assert!(told["trace"].as_str().unwrap().contains("main.ts:6:"), "{told}");
    host.call("delete-server", json!({"serverId": id})).ok();
    host.close();
    assert_eq!(files_below(&cache), compiled);
}

#[test]
fn nothing_of_a_package_runs_when_it_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let mark = folder.path().join("mark");
    let run = format!("import {{ writeFileSync }} from 'fs';\nwriteFileSync({:?}, '');\n", mark.display());
    write("package.json", &json!({"dependencies": {"busy": "1", "broken": "1", "missing": "1"}}).to_string());
    write("node_modules/busy/index.mjs", &format!("import './part.mjs';\n{run}await new Promise(() => {{}});\n"));
    write("node_modules/busy/part.mjs", &run);
    write("node_modules/broken/index.mjs", "import 'busy';\nlet = = 1;\n");
    for package in ["busy", "broken"] {
        write(&format!("node_modules/{package}/package.json"), r#"{"exports": "./index.mjs"}"#);
    }
    let compile = |folder: &Path| {
        let mut node = Command::new(installed("node").join("node_modules/node/bin/node"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/runtime-node/node/compile.cjs");
        assert!(node.arg(script).arg(folder).status().unwrap().success());
    };
    compile(folder.path());
    assert!(!mark.exists() && !folder.path().join("compile").exists());
    // those that import, the one that ends it, and both of the package that is in order
    assert!(files_below(&folder.path().join("compile-cache")).len() >= 6);
    compile(Path::new("/nowhere"));
}

#[rstest]
#[case::sdk_1(json!({"@modelcontextprotocol/sdk": "^1"}))]
#[case::sdk_2(json!({"@modelcontextprotocol/server": "^2"}))]
fn the_templates_on_the_sdks_work(#[case] dependencies: Value) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create(json!({"language": "typescript", "dependencies": dependencies}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "Bonjour"})).ok().text(), "Bonjour");
}

#[test]
fn an_sdk_that_is_imported_and_not_declared_is_installed_and_told() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = include_str!("../fixtures/sdk_1_server.ts");
    let created = host.call("create-server-from-template", json!({"language": "typescript", "code": code})).ok();
    let id = created.facts()["serverId"].as_str().unwrap().to_owned();
    host.wait_for_state(&id, &["ready"]);
    assert_eq!(host.execute(&id, "add", json!({"a": 40, "b": 2})).ok().text(), "42");
    assert!(host.execute(&id, "add", json!({"a": "forty", "b": 2})).error().contains("\"a\""));
    let again = host.call("create-server-from-template", json!({"language": "typescript", "code": code})).ok().text();
    assert!(again.contains("note: `@modelcontextprotocol/sdk` was added"), "{again}");
}

#[rstest]
#[case::git(json!({"a": "git+https://127.0.0.1:9/a.git"}))]
#[case::a_file(json!({"a": "file:/etc"}))]
#[case::a_link(json!({"a": "link:.."}))]
#[case::an_alias(json!({"a": "npm:b@1"}))]
#[case::a_repository(json!(["user/repo"]))]
#[case::an_address(json!(["https://127.0.0.1:9/a.tgz"]))]
#[case::an_option(json!(["--registry=http://127.0.0.1:9/"]))]
#[case::no_text(json!({"a": 1}))]
fn requirements_that_are_more_than_requirements_are_refused(#[case] dependencies: Value) {
    let home = TestHome::new().own_cache();
    let mut host = home.start();
    let arguments = json!({"language": "typescript", "dependencies": dependencies});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("dependenc") || error.contains("package"), "{error}");
    assert!(!home.path().join("cache/perennial/packages/node").exists(), "something was resolved");
}

#[test]
fn a_syntax_error_is_enough_to_repair_the_code() {
    insta::assert_snapshot!(failure("typescript", "const a = 1;\nfunction f(a: string {\n}\n", json!({})), @r#"
    failed to create the server: `main.ts:2:22`: expected `,` or `)` but found `{`: 
      2 | function f(a: string {
        |                      ^
    "#);
}

#[test]
fn types_in_javascript_are_told() {
    insta::assert_snapshot!(failure("javascript", "const a: number = 1;\n", json!({})), @r#"
    failed to create the server: `main.js:1:7`: missing initializer in const declaration: 
      1 | const a: number = 1;
        |       ^

    this is TypeScript: use `language: typescript`
    "#);
}

#[test]
fn what_typescript_cannot_be_without_its_compiler_is_refused_at_its_place() {
    insta::assert_snapshot!(failure("typescript", "namespace A {\n  export let a = 1;\n}\n", json!({})), @r#"
    failed to create the server: `main.ts:2:14`: namespaces exporting non-const are not supported: 
      2 |   export let a = 1;
        |              ^
    "#);
}

#[test]
fn a_stack_trace_names_the_lines_that_were_written() {
    insta::assert_snapshot!(failure(
        "typescript",
        "interface A {\n  a: string;\n}\n\nenum B { C }\n\nfunction fail(a: A): never {\n  throw new TypeError(a.a);\n}\n\nfail({ a: 'no' });\n",
        json!({})
    ), @r#"
    failed to create the server: the server exited with code 1 before it answered `initialize`

    --- what it wrote to standard error ---
    main.ts:8
      throw new TypeError(a.a);
            ^


    TypeError: no
        at fail (main.ts:8:9)
        at <anonymous> (main.ts:11:1)


    the server must read JSON-RPC lines from its standard input, answer them on its standard output, and keep running; `create-server-from-template` without `code` starts a working example
    "#);
}

#[test]
fn a_missing_package_is_named() {
    insta::assert_snapshot!(failure("typescript", "import express from 'express';\nexpress();\n", json!({})), @r#"
    failed to create the server: the server exited with code 1 before it answered `initialize`

    --- what it wrote to standard error ---
      throw new ERR_MODULE_NOT_FOUND(packageName, fileURLToPath(base), null);
            ^

    Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'express' imported from main.js
      code: 'ERR_MODULE_NOT_FOUND'
    }


    add the package to `dependencies`; only Node's own modules, and the MCP SDK and `zod`, are there without it
    "#);
}

#[test]
fn an_unknown_package_is_named() {
    let told = failure("javascript", "0;", json!({"perennial-no-such-package": "*"}));
    assert!(told.contains("'perennial-no-such-package@*' could not be found"), "{told}");
    assert!(told.ends_with("check the package's name on the registry"), "{told}");
}

#[test]
fn an_unknown_version_is_named() {
    let told = failure("javascript", "0;", json!({"semver": "^999"}));
    assert!(told.contains("semver@^999") && told.contains("loosen the version in `dependencies`"), "{told}");
}

#[test]
fn a_package_that_needs_its_script_says_that_none_runs() {
    let code = "import Database from 'better-sqlite3';\nnew Database(':memory:');\n";
    let told = failure("typescript", code, json!({"better-sqlite3": "*"}));
    assert!(told.contains("install scripts do not run here"), "{told}");
}

#[test]
fn node_is_found_beyond_the_path_of_a_desktop_program() {
    let home = TestHome::new();
    let bin = home.path().join("home/.nvm/versions/node/v20.1.0/bin");
    fs::create_dir_all(&bin).unwrap();
    let node =
        String::from_utf8(Command::new("node").args(["-p", "process.execPath"]).output().unwrap().stdout).unwrap();
    std::os::unix::fs::symlink(node.trim(), bin.join("node")).unwrap();
    let home = home.env("PATH", "/nowhere");
    let mut host = home.start();
    let id = host.create(json!({"language": "javascript"}));
    assert!(host.execute(&id, "echo", json!({"message": "found"})).ok().text().contains("found"));
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn with_serve(language: &str, code: &str, dependencies: Value) -> Value {
    json!({"language": language, "code": code, "dependencies": dependencies, "files": {"serve.ts": serve_file()}})
}

fn load(host: &mut TestHost, saved: &str) -> String {
    let facts = host.call("load-saved-server", json!({"savedServerId": saved})).ok().facts();
    let id = facts["serverId"].as_str().unwrap().to_owned();
    host.wait_for_state(&id, &["ready"]);
    id
}

/// What the author of `code` is told, without what changes from one version of Node to another.
fn failure(language: &str, code: &str, dependencies: Value) -> String {
    let home = TestHome::new();
    let mut host = home.start();
    let arguments = json!({"language": language, "code": code, "dependencies": dependencies});
    let text = host.call("create-server-from-template", arguments).error();
    let inner = |line: &&str| !line.contains("node:internal") && !line.starts_with("Node.js v");
    text.lines().filter(inner).collect::<Vec<_>>().join("\n")
}
