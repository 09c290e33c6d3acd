//! Twenty servers at once, from nothing.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::support::{LONGEST_BUILD, Memory, TestHome, installed, on_path, requests_server, serve_file};

/// What is asked for, and a call with its answer; none where the version decides.
type Asked = (Value, &'static str, Value, Option<&'static str>);

#[test]
fn twenty_servers_created_at_once_answer_and_install_nothing_twice() {
    let home = TestHome::new().unconfined().own_cache().with_rust();
    let npm = fs::canonicalize(on_path("npm")).unwrap();
    let sysroot = Command::new(on_path("rustc")).args(["--print", "sysroot"]).output().unwrap().stdout;
    let cargo = PathBuf::from(String::from_utf8(sysroot).unwrap().trim()).join("bin/cargo");
    let log = home.path().join("steps");
    let logged = |name: &str, text: String| -> PathBuf {
        let program = home.path().join(name);
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    };
    let script = |real: PathBuf| format!("#!/bin/sh\necho \"$0 $1 $2\" >>{log:?}\nexec {real:?} \"$@\"\n");
    let uv = logged("uv", script(installed("tools/uv")));
    let cargo = logged("cargo", script(cargo));
    let npm = format!(
        "#!/usr/bin/env node\nrequire('fs').appendFileSync({log:?}, 'npm ' + process.argv[2] + '\\n');\nrequire({npm:?});\n"
    );
    let npm = logged("npm", npm);
    let home = home.config(&format!(
        "[plugins.python]\nconfig = {{ installer = 'uv', uv = {uv:?} }}\n[plugins.node]\nconfig = {{ npm = {npm:?} \
         }}\n[plugins.rust]\nconfig = {{ cargo = {cargo:?} }}\n"
    ));

    let mut host = home.start();
    let before = Memory::of(host.pid());
    let asked = twenty();
    let calls: Vec<Value> =
        asked.iter().map(|(arguments, ..)| host.begin_call("create-server-from-template", arguments.clone())).collect();
    let mut ids = Vec::new();
    for call in calls {
        let id = host.reply(&call).ok().first_line_json()["serverId"].as_str().unwrap().to_owned();
        ids.push(id);
    }
    for (id, (arguments, tool, given, expected)) in ids.iter().zip(&asked) {
        let facts = host.wait_within(LONGEST_BUILD, id, &["ready", "failed"]);
        assert_eq!(facts["state"], "ready", "{arguments}: {}", facts["error"]);
        let told = host.execute(id, tool, given.clone()).ok().text();
        assert!(expected.map_or(!told.is_empty(), |expected| told == expected), "{arguments}: {told}");
    }

    let steps = fs::read_to_string(&log).unwrap();
    let count = |step: &str| steps.lines().filter(|line| line.contains(step)).count();
    let once = [("uv pip compile", 2), ("uv venv", 2), ("uv pip install", 2), ("npm install", 2), ("npm ci", 2)];
    let cargos = [("cargo generate-lockfile", 1), ("cargo fetch", 1), ("cargo build", 1)];
    for (step, environments) in once.into_iter().chain(cargos) {
        assert_eq!(count(step), environments, "{step}:\n{steps}");
    }
    assert_eq!(home.environments().len(), 5);
    let builds = fs::read_dir(home.cache_dir().join("builds")).unwrap().count();
    assert_eq!(builds, 3, "one for each text of a server in Rust");

    let after = Memory::of(host.pid());
    eprintln!("PSS in MiB: the host {:.1}, with twenty servers {:.1}", before.own, after.own);
    eprintln!("of the host and all {} processes below it: {:.1}", after.processes, after.tree);
    assert!(after.processes >= 40, "each server has its sidecar: {}", after.processes);
    assert!(host.close().success());
}

fn twenty() -> Vec<Asked> {
    let marked = |mark: &str, code: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{code}\n{mark} {number}\n")).collect()
    };
    let mut all: Vec<Asked> = Vec::new();
    for code in marked("#", requests_server(), 4) {
        let arguments = json!({"language": "python", "code": code, "dependencies": {"requests": "^2.31"}});
        all.push((arguments, "version", json!({}), None));
    }
    for code in marked("#", &requests_server().replace("import requests", "import idna as requests"), 2) {
        let arguments = json!({"language": "python", "code": code, "dependencies": ["idna==3.7"]});
        all.push((arguments, "version", json!({}), Some("3.7")));
    }
    let semver = "import semver from 'semver';\nimport { serve } from './serve';\n\
                  await serve({ version: () => semver.valid('v1.2.3') });";
    for code in marked("//", semver, 3) {
        let arguments = json!({
            "language": "typescript", "code": code, "dependencies": {"semver": "^7.5"}, "files": {"serve.ts": serve_file()}
        });
        all.push((arguments, "version", json!({}), Some("1.2.3")));
    }
    let hello = || json!({"message": "hé"});
    for _ in 0..2 {
        let arguments = json!({"language": "typescript", "dependencies": {"@modelcontextprotocol/sdk": "^1"}});
        all.push((arguments, "echo", hello(), Some("hé")));
    }
    for _ in 0..4 {
        all.push((json!({"language": "javascript"}), "echo", hello(), Some("hé")));
    }
    let rust = include_str!("../../plugins/runtime-rust/template/echo.rs");
    for code in [rust; 3].map(str::to_owned).into_iter().chain(marked("//", rust, 2)) {
        all.push((json!({"language": "rust", "code": code}), "echo", hello(), Some("hé")));
    }
    // no two in a row alike
    (0..20).map(|number| all[number * 7 % 20].clone()).collect()
}
