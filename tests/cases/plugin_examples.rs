//! The plugins of `examples/plugins`, which `tests/run` built outside the workspace against the packaged SDK, in use; and
//! the guides that are built around them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::clients::python_client;
use crate::support::{TestHome, echo_server, installed, tests_dir};

/// A library that was built from an example.
fn library(name: &str) -> PathBuf {
    installed(&format!("examples/target/debug/libperennial_{name}.so"))
}

/// The program that does the same.
fn program(name: &str) -> PathBuf {
    installed(&format!("examples/target/debug/perennial-{name}"))
}

/// An example that needs no building.
fn script(path: &str) -> PathBuf {
    tests_dir().join("../examples/plugins").join(path).canonicalize().unwrap()
}

/// A plugin's table, pinned.
fn pinned(name: &str, library: &Path) -> String {
    let sha256: String = Sha256::digest(fs::read(library).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[plugins.{name}]\npath = {library:?}\nsha256 = \"{sha256}\"\n")
}

fn process(name: &str, command: &[&Path]) -> String {
    format!("[plugins.{name}]\ncommand = {command:?}\n")
}

const DENO_SERVER: &str = include_str!("../fixtures/deno_server.ts");

#[test]
fn a_deno_server_with_a_package_comes_back_offline() {
    let home = TestHome::new().with_deno().own_cache().config(&pinned("deno", &library("deno")));
    let mut host = home.start();
    let id = host.create(json!({"language": "deno", "code": DENO_SERVER, "dependencies": {"ms": "^2"}}));
    assert_eq!(host.execute(&id, "milliseconds", json!({"text": "2 days"})).ok().text(), "172800000");
    let saved = host.call("save-server", json!({"serverId": id, "name": "durations"})).ok();
    assert!(saved.first_line().contains("saved as \"durations\""), "{}", saved.text());
    assert!(host.close().success());

    let mut host = home.start_offline();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok();
    let id = loaded.facts()["serverId"].as_str().unwrap().to_owned();
    assert_eq!(host.execute(&id, "milliseconds", json!({"text": "1 h"})).ok().text(), "3600000");
    assert!(host.close().success());
}

/// Deno's own permissions hold whether or not anything else does.
#[test]
fn a_deno_server_reaches_only_what_its_plan_names() {
    let home = TestHome::new().with_deno().config(&pinned("deno", &library("deno")));
    let mut host = home.start();
    let id = host.create(
        json!({"language": "deno", "code": DENO_SERVER.replace("import ms from \"ms\";", "const ms = Number;")}),
    );
    for (tool, told) in [
        ("read", "Requires read access to \"/etc/passwd\""),
        ("connect", "Requires net access to \"127.0.0.1:9\""),
        ("run", "Requires run access to \"true\""),
        ("write", "Requires write access to \"/tmp/from-a-server\""),
        ("load", "A remote specifier was requested"),
    ] {
        let answer = host.execute(&id, tool, json!({})).ok().text();
        assert!(answer.contains(told), "{tool}: {answer}");
    }
    let template = host.create(json!({"language": "deno"}));
    assert_eq!(host.execute(&template, "echo", json!({"message": "hé"})).ok().text(), "hé");
    let told = host.call("create-server-from-template", json!({"language": "deno", "code": DENO_SERVER})).error();
    assert!(
        told.contains("Import \"ms\" not a dependency") && told.contains("add the package to `dependencies`"),
        "{told}"
    );
    assert!(host.close().success());
}

#[test]
fn the_official_client_keeps_servers_in_sqlite() {
    for table in [pinned("sqlite", &library("sqlite")), process("sqlite", &[&program("sqlite")])] {
        let table = table + "config = { file = \"library.sqlite\" }\n";
        let home = TestHome::new().env("PROTOCOL", "auto").config(&format!("[storage]\nuse = \"sqlite\"\n{table}"));
        python_client(&home, "python", "python_sdk_2.py");
    }
}

#[test]
fn what_is_kept_in_memory_is_there_for_the_session() {
    for table in [pinned("memory", &library("memory")), process("memory", &[&program("memory")])] {
        let home = TestHome::new().config(&format!("[storage]\nuse = \"memory\"\n{table}"));
        let mut host = home.start();
        let id = host.create_python(echo_server());
        host.call("save-server", json!({"serverId": id, "name": "for now"})).ok();
        assert!(host.call("list-saved-servers", json!({})).ok().text().contains("for now"));
        host.call("delete-server", json!({"serverId": id})).ok();
        assert_eq!(host.execute(&id, "echo", json!({"message": "again"})).ok().text(), "again");
        assert!(host.close().success());
        let mut host = home.start();
        assert_eq!(host.call("list-saved-servers", json!({})).ok().first_line(), "📂 No saved servers found");
        assert!(host.close().success());
    }
}

#[test]
fn tools_in_c_rust_and_python_are_called() {
    let home = TestHome::new();
    let hello = home.path().join("libhello.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(installed("examples/sdk/include"))
        .arg(script("hello-c/hello.c"))
        .arg("-o")
        .arg(&hello)
        .arg("-lpthread")
        .status()
        .unwrap();
    assert!(compiled.success());
    let tables = [
        pinned("hello", &hello),
        pinned("words", &library("words")) + "config = { shortest = 2 }\n",
        process("clock", &[Path::new("python3"), &script("clock-py/clock.py")]) + "config = { format = \"%Z\" }\n",
    ];
    let home = home.config(&tables.concat());
    let mut host = home.start();
    host.wait_for_tool("clock");
    assert_eq!(host.call("hello", json!({})).ok().text(), "hello from C");
    assert_eq!(host.call("count-words", json!({"text": "a word or two"})).ok().text(), "3");
    assert_eq!(host.call("clock", json!({"zone": "UTC"})).ok().text(), "UTC");
    assert!(host.call("count-words", json!({})).error().contains("text"));
    let told = host.call("clock", json!({"zone": "../etc"})).error();
    assert!(told.contains("there is no zone `../etc`") && told.contains("Europe/Paris"), "{told}");
    assert!(host.close().success());
}

/// The folder of an example, and how many lines of it there may be, without empty ones and comments.
const SHORT: &[(&str, usize)] = &[("deno/src/lib.rs", 40), ("memory/src/lib.rs", 40), ("words/src/lib.rs", 40)];

#[test]
fn a_plugin_is_forty_lines() {
    for (path, most) in SHORT {
        let text = fs::read_to_string(script(path)).unwrap();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let count = lines.count();
        assert!(count <= *most, "`{path}` has {count} lines");
    }
    assert!(fs::read_to_string(script("hello-c/hello.c")).unwrap().lines().count() <= 59);
}

/// A guide names a file on the line before a block: `<!-- examples/plugins/… -->`.
#[test]
fn the_guides_show_the_files_as_they_are() {
    let root = tests_dir().join("..");
    let mut shown = Vec::new();
    for entry in fs::read_dir(root.join("docs/plugins")).unwrap() {
        let guide = entry.unwrap().path();
        let text = fs::read_to_string(&guide).unwrap();
        for part in text.split("<!-- examples/").skip(1) {
            let (path, rest) = part.split_once(" -->\n```").unwrap();
            let (_, rest) = rest.split_once('\n').unwrap();
            let (block, _) = rest.split_once("\n```\n").unwrap();
            let file = fs::read_to_string(root.join("examples").join(path)).unwrap();
            assert!(file.trim_end() == block, "`{}` shows another `{path}`", guide.display());
            shown.push(path.to_owned());
        }
    }
    for path in ["deno/src/lib.rs", "memory/src/lib.rs", "words/src/lib.rs", "hello-c/hello.c", "clock-py/clock.py"] {
        assert!(shown.contains(&format!("plugins/{path}")), "no guide shows `{path}`: {shown:?}");
    }
}

/// What the guides write into a configuration is what a host takes.
#[test]
fn the_configurations_of_the_guides_are_good() {
    let guides = tests_dir().join("../docs/plugins");
    for entry in fs::read_dir(guides).unwrap() {
        let guide = entry.unwrap().path();
        let text = fs::read_to_string(&guide).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("\n```").next().unwrap();
            if block.contains("[package]") || block.contains("[dependencies]") {
                continue;
            }
            let home = TestHome::new().config(&block.replace("\"…\"", &format!("{:?}", "0".repeat(64))));
            let output = home.run(&["config", "check"]);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(
                !told.contains("unknown") && output.status.code() != Some(2),
                "{}: {told}\n{block}",
                guide.display()
            );
        }
    }
}
