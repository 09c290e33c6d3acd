//! What must go on working: plugins that were built against the first SDK, and plugins of whoever takes older versions of
//! the crates that we take.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use perennial_sdk::abi;
use serde_json::json;

use crate::support::{TestHome, TestHost, echo_server, tests_dir};

fn kept() -> PathBuf {
    tests_dir().join("fixtures/compat")
}

/// The files that are pinned: nobody exchanges a plugin that was built long ago.
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn pinned(file: &str) -> (PathBuf, String) {
    let sums = fs::read_to_string(kept().join("SHA256SUMS")).unwrap();
    let sum = sums.lines().filter_map(|line| line.split_once("  ")).find(|(_, name)| *name == file).unwrap().0;
    (kept().join(file), sum.to_owned())
}

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn plugins_built_against_the_first_sdk_work() {
    let (rust, rust_sum) = pinned("linux-x86_64/libkept.so");
    let (c, c_sum) = pinned("linux-x86_64/libkept_c.so");
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"kept\"\n\
         [plugins.kept]\npath = {rust:?}\nsha256 = \"{rust_sum}\"\nconfig = {{ greeting = \"kept: \" }}\n\
         [plugins.kept-c]\npath = {c:?}\nsha256 = \"{c_sum}\"\n"
    ));
    let listed = home.run(&["plugin", "list", "--json"]);
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    for name in ["kept", "kept-c"] {
        let row = listed.iter().find(|row| row["name"] == name).unwrap();
        assert_eq!((&row["version"], &row["problem"]), (&json!("1.0.0"), &json!(null)), "{row}");
    }
    every_kind_of_the_kept_plugin_works(&home, |host| {
        assert_eq!(host.call("kept-hello", json!({})).ok().text(), "hello from long ago");
    });
}

/// There is no library of this platform among those that were kept, and one cannot be built any more: it would be a new one.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
#[test]
fn no_plugin_was_kept_for_this_platform() {
    eprintln!("the kept plugins are for linux-x86_64 with glibc, and this is another platform");
}

/// From outside the workspace, against the packaged SDK, as a stranger builds it: small, with LTO, and with the oldest
/// crates that the SDK takes. It works beside a plugin of today's crates.
#[test]
fn a_plugin_with_older_crates_works_beside_others() {
    let library = built_with_older_crates();
    let faulty = std::env::current_exe().unwrap().with_file_name(format!(
        "{}perennial_faulty_plugin{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"kept\"\n\
         [plugins.kept]\npath = {library:?}\ntrust = \"unpinned\"\nconfig = {{ greeting = \"kept: \" }}\n\
         [plugins.faulty]\npath = {faulty:?}\ntrust = \"unpinned\"\nconfig = {{ greetings = [\"new:\"] }}\n"
    ));
    every_kind_of_the_kept_plugin_works(&home, |host| {
        assert_eq!(host.call("echo", json!({"message": "hi"})).ok().text(), "new: hi");
        assert_eq!(host.call("kept-echo", json!({"message": "hi"})).ok().text(), "kept: hi");
    });
}

/// Runs a server in the plugin's language, keeps it in the plugin's storage over two sessions, and calls the plugin's tools.
fn every_kind_of_the_kept_plugin_works(home: &TestHome, beside: impl Fn(&mut TestHost)) {
    let mut host = home.start();
    beside(&mut host);
    for message in [String::new(), "é\"\\\n".repeat(20_000)] {
        let said = host.call("kept-echo", json!({ "message": message })).ok().text();
        assert!(said == format!("kept: {message}"), "{said:.100}");
    }
    assert!(host.stderr().contains("a tool of the kept plugin was called"), "{}", host.stderr());
    let panicked = host.call("kept-panic", json!({})).error();
    assert!(panicked.contains("the plugin panicked: asked to"), "{panicked}");

    let refused = host.call(
        "create-server-from-template",
        json!({"language": "kept", "code": echo_server(), "dependencies": {"requests": "*"}}),
    );
    let refused = refused.error();
    assert!(refused.contains("has no dependencies") && refused.contains("write it without any"), "{refused}");
    // long enough to travel beside the JSON, and to be stored apart
    let code = format!("{}\n# {}\n", echo_server(), "x".repeat(100_000));
    let id = host.create(json!({"language": "kept-python", "code": code}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "new"})).ok().text(), "new");
    host.call("save-server", json!({"serverId": id, "name": "Kept server"})).ok();
    host.call("save-server", json!({"serverId": id, "name": "Kept server"})).ok();
    assert!(host.close().success());
    assert!(home.data_dir().join("kept/s").join(&id).is_dir(), "the library is where the plugin keeps it");

    let mut host = home.start();
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("Kept server"));
    assert_eq!(host.execute(&id, "add", json!({"a": 2, "b": 3})).ok().text(), "5");
    beside(&mut host);
    assert!(host.close().success());
    let told = home.run(&["fsck"]);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

/// The packaged SDK and the plugin, side by side; what was built is kept for the next run.
fn built_with_older_crates() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("older");
    fs::create_dir_all(&folder).unwrap();
    let root = tests_dir().join("..");
    let packaging = ["package", "--package", "perennial-sdk", "--allow-dirty", "--no-verify", "--locked"];
    run(Command::new(env!("CARGO")).args(packaging).arg("--target-dir").arg(folder.join("package")).current_dir(&root));
    let version = perennial_sdk::SDK_VERSION;
    let package = folder.join(format!("package/package/perennial-sdk-{version}.crate"));
    run(Command::new("tar").arg("-xzf").arg(package).arg("-C").arg(&folder));
    let _ = fs::remove_dir_all(folder.join("perennial-sdk"));
    fs::rename(folder.join(format!("perennial-sdk-{version}")), folder.join("perennial-sdk")).unwrap();
    let plugin = folder.join("plugin");
    let _ = fs::remove_dir_all(&plugin);
    run(Command::new("cp").arg("-r").arg(kept().join("plugin")).arg(&plugin));

    let build = ["build", "--release", "--target-dir", "../target"];
    run(Command::new(env!("CARGO")).args(build).current_dir(&plugin));
    let ours = versions(&root.join("Cargo.lock"));
    let theirs = versions(&plugin.join("Cargo.lock"));
    for name in ["serde", "serde_json", "tokio"] {
        assert_ne!(ours[name], theirs[name], "`{name}` is meant to be an older one");
    }
    folder.join(format!("target/release/{}kept{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
}

fn versions(lock: &Path) -> std::collections::BTreeMap<String, String> {
    let lock = fs::read_to_string(lock).unwrap();
    let quoted = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches([' ', '=', '"']).to_owned());
    let lines: Vec<_> = lock.lines().collect();
    lines.windows(2).filter_map(|pair| Some((quoted(pair[0], "name")?, quoted(pair[1], "version")?))).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The header says what `abi.rs` says, as a C compiler understands it.
#[test]
fn the_header_is_what_the_sdk_says() {
    use std::mem::offset_of;
    let mut claims = String::from("#include <perennial.h>\n");
    let mut claim = |what: String| claims.push_str(&format!("_Static_assert({what}, {what:?});\n"));
    macro_rules! layout {
        ($c:literal, $rust:ident: $($field:ident),*) => {
            $(claim(format!("offsetof({}, {}) == {}", $c, stringify!($field), offset_of!(abi::$rust, $field)));)*
        };
    }
    layout!("perennial_bytes", Bytes: ptr, len);
    layout!("perennial_host", Host: size, abi_minor, ctx, complete, emit);
    layout!("perennial_call", Call: size, reserved, id, timeout_ms, method, json, body);
    layout!("perennial_plugin", Plugin: magic, abi_major, abi_minor, size, flags, manifest, create, call, cancel, destroy);
    for (c, size) in [
        ("perennial_bytes", size_of::<abi::Bytes>()),
        ("perennial_host", size_of::<abi::Host>()),
        ("perennial_call", size_of::<abi::Call>()),
        ("perennial_plugin", size_of::<abi::Plugin>()),
    ] {
        claim(format!("sizeof({c}) == {size}"));
    }
    for (c, value) in [
        ("MAGIC", abi::MAGIC),
        ("ABI_MAJOR", abi::MAJOR.into()),
        ("ABI_MINOR", abi::MINOR.into()),
        ("OK", abi::OK as u64),
        ("ERROR", abi::ERROR as u64),
        ("PANIC", abi::PANIC as u64),
        ("CANCELLED", abi::CANCELLED as u64),
        ("UNKNOWN_METHOD", abi::UNKNOWN_METHOD as u64),
        ("EMIT_LOG", abi::EMIT_LOG.into()),
        ("EMIT_PROGRESS", abi::EMIT_PROGRESS.into()),
        ("FLAG_PROMPT", abi::FLAG_PROMPT.into()),
    ] {
        claim(format!("PERENNIAL_{c} == {value:#x}"));
    }
    let head = format!("sizeof(PERENNIAL_MANIFEST_HEAD) == {}", perennial_sdk::Manifest::HEAD.len() + 1);
    claim(head);
    let home = TestHome::new();
    let source = home.path().join("claims.c");
    fs::write(&source, claims).unwrap();
    let include = tests_dir().join("../sdk/include");
    run(Command::new("cc").args(["-std=c11", "-fsyntax-only", "-Wall", "-Werror", "-I"]).arg(&include).arg(&source));
}
