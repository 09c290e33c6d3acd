//! What `perennial plugin …` does for those who write plugins and those who run them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use rstest::rstest;
use serde_json::{Value, json};

use super::plugins::{compiled, sha256, storage_py};
use crate::support::TestHome;

const FILE: &str = "# The team's plugins.\n\n[log] # quiet\nlevel   =   'warn'\n\n# ours\n[plugins.s3]   # a bucket\n\
                    config = { bucket = 'team' }\n";

fn file(home: &TestHome) -> PathBuf {
    home.path().join("perennial.toml")
}

fn text(home: &TestHome) -> String {
    fs::read_to_string(file(home)).unwrap()
}

/// `perennial plugin …` on the home's file, which may be missing.
fn kit(home: &TestHome, arguments: &[&str]) -> Output {
    let mut command = home.program(TestHome::binary());
    command.arg("plugin").args(arguments).env("PERENNIAL_CONFIG", file(home)).stdin(Stdio::null());
    command.current_dir(home.path()).output().unwrap()
}

fn done(home: &TestHome, arguments: &[&str]) -> String {
    let output = kit(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    shown(home, &output.stdout)
}

/// The exit code and what is told.
fn refused(home: &TestHome, arguments: &[&str]) -> String {
    let output = kit(home, arguments);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    format!("{}: {}", output.status.code().unwrap(), shown(home, &output.stderr))
}

/// Without what is different from run to run and from machine to machine.
fn shown(home: &TestHome, said: &[u8]) -> String {
    let mut said = String::from_utf8_lossy(said).replace(&home.path().display().to_string(), "HOME");
    for (library, name) in [("hello.so", "HASH"), ("good.so", "GOOD")] {
        let library = home.path().join(library);
        if library.exists() {
            said = said.replace(&sha256(&library), name);
        }
    }
    said.replace(&platform(), "PLATFORM")
}

fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

fn json_of(home: &TestHome, arguments: &[&str]) -> Value {
    serde_json::from_slice(&kit(home, arguments).stdout).unwrap()
}

/// Why a plugin is not loaded, as `plugin list` tells it.
fn problem(home: &TestHome, name: &str) -> Option<String> {
    let rows = json_of(home, &["list", "--json"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    row["problem"].as_str().map(|problem| shown(home, problem.as_bytes()))
}

#[test]
fn a_library_is_looked_at_and_not_run() {
    let home = TestHome::new();
    let marker = format!("-DMARKER=\"{}\"", home.path().join("it-ran").display());
    let manifest = r#"-DMANIFEST="{\"id\":\"odd\",\"version\":\"2.1\",\"provides\":[\"storage\",\"tools\"],\"sdk\":\"0.1.0\",\"bodies\":true,\"panic\":\"unwind\"}""#;
    compiled(&home, "odd.c", "good", &[&marker, manifest]);
    compiled(&home, "hello.c", "hello", &[]);
    let size = |text: String| {
        let sized = |line: &str| if line.starts_with("size") { "size       SIZE".into() } else { line.to_owned() };
        text.lines().map(sized).collect::<Vec<_>>().join("\n")
    };
    let both = ["good.so", "hello.so"].map(|library| size(done(&home, &["inspect", library])));
    insta::assert_snapshot!(both.join("\n=====\n"));
    let told = json_of(&home, &["inspect", "good.so", "--json"]);
    let library = home.path().join("good.so");
    assert_eq!(told["sha256"], json!(sha256(&library)));
    assert_eq!(told["bytes"], json!(fs::metadata(&library).unwrap().len()));
    assert_eq!((&told["platform"], &told["abi"]), (&json!(platform()), &json!(1)));
    let plugin = json!({"id": "odd", "version": "2.1", "provides": ["storage", "tools"], "sdk": "0.1.0",
                        "bodies": true, "panic": "unwind"});
    assert_eq!(told["plugins"], json!([plugin]));
    assert!(!home.path().join("it-ran").exists(), "code of a plugin ran");

    fs::write(home.path().join("text.so"), "int main() {}\n").unwrap();
    fs::copy(&library, home.path().join("writable.so")).unwrap();
    fs::set_permissions(home.path().join("writable.so"), fs::Permissions::from_mode(0o666)).unwrap();
    let refusals = ["text.so", "missing.so", "writable.so"].map(|library| refused(&home, &["inspect", library]));
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn a_plugin_is_tried_by_itself() {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    fs::write(file(&home), "[plugins.hello]\npath = 'hello.so'\ntrust = 'unpinned'\n").unwrap();
    // its one tool has no description, and the C plugin of the documentation is what it is
    for subject in ["./hello.so", "hello"] {
        let output = kit(&home, &["check", subject, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let tried: Value = serde_json::from_slice(&output.stdout).unwrap();
        let tried = &tried[0];
        assert_eq!((&tried["name"], &tried["version"]), (&json!("hello"), &json!("1.0.0")));
        assert_eq!(tried["provides"], json!(["tools"]));
        assert_eq!(tried["library"]["sha256"], json!(sha256(&home.path().join("hello.so"))));
        assert_eq!(tried["tools"][0], json!({"name": "hello", "inputSchema": {"type": "object"}}));
        let problem = "the tool `hello` has no description: no model knows what it is for";
        assert_eq!(tried["problems"], json!([problem]));
    }
    compiled(&home, "odd.c", "good", &[]);
    let output = kit(&home, &["check", "good.so"]);
    assert_eq!(output.status.code(), Some(1));
    let told = shown(&home, &output.stdout);
    assert!(told.contains("wrong: the tool `list-servers` is left out: Perennial has one of that name"), "{told}");
    let told = done(&home, &["check", "python"]);
    assert!(
        told.contains("language  python, also called py, python3: ") && told.ends_with("nothing wrong\n"),
        "{told}"
    );
}

#[rstest]
#[case::signal(
    "AT_CREATE=*(volatile int *)0 = 1",
    "1: perennial: the plugin `odd` took its process down while it was opened: the process was killed by SIGSEGV"
)]
#[case::exit(
    "AT_CREATE=exit(0)",
    "1: perennial: the plugin `odd` took its process down while it was opened: the process exited with code 0"
)]
#[case::nothing("AT_CREATE=return 0", "1: perennial: the plugin `odd` makes no instance of itself")]
fn a_plugin_takes_its_own_process_down_alone(#[case] option: &str, #[case] told: &str) {
    let home = TestHome::new();
    compiled(&home, "odd.c", "odd", &[&format!("-D{option}")]);
    fs::write(file(&home), "").unwrap();
    let said = refused(&home, &["check", "odd.so"]);
    assert!(said.starts_with(told), "{said}");
}

#[test]
fn settings_are_tried_before_they_are_written_down() {
    let home = TestHome::new();
    let storage = storage_py();
    fs::write(
        file(&home),
        format!("[plugins.notes]\ncommand = ['python3', '{storage}']\nconfig = {{ foldr = 'x' }}\n"),
    )
    .unwrap();
    let told = refused(&home, &["check", "notes"]);
    assert!(told.starts_with("3: ") && told.contains("HOME/perennial.toml:3:12"), "{told}");
    let told = refused(&home, &["check", "notes", "--set", "folder.a=5"]);
    assert!(told.starts_with("2: perennial: `notes` does not take these settings: "), "{told}");

    fs::write(file(&home), format!("[plugins.notes]\ncommand = ['python3', '{storage}']\n")).unwrap();
    let told = done(&home, &["check", "notes", "--set", "folder=tried", "--try-storage"]);
    assert!(
        told.contains("location      tried\n") && told.contains("trial         put, read, list and delete of server-"),
        "{told}"
    );
    assert!(told.ends_with("nothing wrong\n"), "{told}");
    let library: Value = serde_json::from_slice(&fs::read(home.path().join("tried/library.json")).unwrap()).unwrap();
    let versions = library.as_object().unwrap().values().next().unwrap().as_array().unwrap();
    assert_eq!(versions.len(), 2, "a record and its tombstone");
    // nothing is written unless that is asked for
    done(&home, &["check", "notes", "--set", "folder=untouched"]);
    assert!(!home.path().join("untouched/library.json").exists());
    let told = done(&home, &["check", "json", "--try-storage"]);
    assert!(told.contains("several hosts may write, versions are kept") && told.ends_with("nothing wrong\n"), "{told}");
}

#[test]
fn a_process_that_dies_is_told_of() {
    let home = TestHome::new();
    fs::write(
        home.path().join("dies.py"),
        "import json, os, signal, sys\n\
         for line in sys.stdin:\n\
         \x20   request = json.loads(line)\n\
         \x20   if request['method'] == 'storage/put':\n\
         \x20       os.kill(os.getpid(), signal.SIGSEGV)\n\
         \x20   results = {'plugin/init': {'provides': ['storage']},\n\
         \x20              'storage/describe': {'capabilities': {'shared': False, 'versions': True}, 'location': 'nowhere'}}\n\
         \x20   answer = {'jsonrpc': '2.0', 'id': request['id'], 'result': results.get(request['method'])}\n\
         \x20   print(json.dumps(answer), flush=True)\n",
    )
    .unwrap();
    fs::write(file(&home), "[plugins.dies]\ncommand = ['python3', 'dies.py']\n").unwrap();
    let told = done(&home, &["check", "dies"]);
    assert!(told.contains("location      nowhere\ncapabilities  versions are kept\n"), "{told}");
    let output = kit(&home, &["check", "dies", "--try-storage"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("wrong: a new record cannot be put: the plugin `dies` was killed by SIGSEGV"), "{told}");
}

#[test]
fn a_plugin_is_added_pinned_again_and_removed() {
    let home = TestHome::new();
    let library = compiled(&home, "hello.c", "hello", &[]);
    fs::write(file(&home), FILE).unwrap();
    fs::set_permissions(file(&home), fs::Permissions::from_mode(0o640)).unwrap();
    let mut told = vec![done(&home, &["add", "hello", "--path", "hello.so"])];
    let added = text(&home);
    assert_eq!(added, format!("{FILE}\n[plugins.hello]\npath = \"hello.so\"\nsha256 = \"{}\"\n", sha256(&library)));
    assert_eq!(problem(&home, "hello"), None);

    let old = sha256(&library);
    compiled(&home, "hello.c", "hello", &["-DOTHER", "-O2"]);
    assert_ne!(sha256(&library), old);
    told.push(problem(&home, "hello").unwrap().replace(&old, "OLD"));
    told.push(refused(&home, &["check", "hello"]).replace(&old, "OLD"));
    told.push(done(&home, &["pin", "hello"]).replace(&old, "OLD"));
    assert_eq!(text(&home), added.replace(&old, &sha256(&library)));
    assert_eq!(problem(&home, "hello"), None);
    told.push(done(&home, &["pin", "hello"]));

    told.push(done(&home, &["remove", "hello"]));
    assert_eq!(text(&home), FILE);
    assert_eq!(fs::metadata(file(&home)).unwrap().permissions().mode() & 0o777, 0o640);
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_is_not_done_is_told_with_what_to_do() {
    let home = TestHome::new();
    let mut told = vec![refused(&home, &["pin", "hello"]).replace("HOME/perennial.toml", "FILE")];
    compiled(&home, "hello.c", "hello", &[]);
    fs::write(home.path().join("text.so"), "text\n").unwrap();
    let toml = "[storage]\nuse = 'notes'\n[plugins.notes]\ncommand = ['true']\n[plugins.hello]\npath = 'text.so'\n\
                trust = 'unpinned'\n[plugins.python]\n[plugins.elsewhere]\npath = { plan9-mips = 'no.so' }\n\
                trust = 'unpinned'\n";
    fs::write(file(&home), toml).unwrap();
    for arguments in [
        &["pin", "helo"][..],
        &["pin", "notes"],
        &["pin", "python"],
        &["pin", "hello"],
        &["pin", "elsewhere"],
        &["add", "hello", "--path", "hello.so"],
        &["add", "other", "--path", "missing.so"],
        &["add", "other", "--path", "text.so"],
        &["remove", "notes"],
        &["remove", "zzz"],
        &["check", "pyhton"],
        &["check", "./missing.so"],
        &["new", "hello", "--kind", "tools", "--sdk", "."],
    ] {
        told.push(format!("{}\n{}", arguments.join(" "), refused(&home, arguments)));
        assert_eq!(text(&home), toml, "{arguments:?}");
    }
    insta::assert_snapshot!(told.join("\n"));
    for arguments in
        [&["add", "Hello", "--path", "hello.so"][..], &["add", "other"], &["new", "a_b", "--kind", "tools"]]
    {
        assert!(refused(&home, arguments).starts_with("2: "), "{arguments:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_written_stays_as_it_is() {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    let broken = "[plugins.hello\npath = 'hello.so'\n";
    fs::write(file(&home), broken).unwrap();
    for arguments in [&["pin", "hello"][..], &["remove", "hello"], &["add", "more", "--path", "hello.so"]] {
        assert!(refused(&home, arguments).starts_with("3: "), "{arguments:?}");
        assert_eq!(text(&home), broken);
    }
    let fine = "[plugins.hello]\npath = 'hello.so'\ntrust = 'unpinned'\n";
    fs::write(file(&home), fine).unwrap();
    fs::set_permissions(file(&home), fs::Permissions::from_mode(0o444)).unwrap();
    let told = refused(&home, &["pin", "hello"]);
    assert_eq!(
        told,
        "5: perennial: failed to pin `hello`: `HOME/perennial.toml` is read-only\n\
         nothing was changed: make it writable first\n"
    );
    assert_eq!(text(&home), fine);
    // a link that leads nowhere is not replaced by a file
    fs::remove_file(file(&home)).unwrap();
    symlink("nowhere.toml", file(&home)).unwrap();
    let told = refused(&home, &["add", "hello", "--path", "hello.so"]);
    assert!(told.starts_with("3: "), "{told}");
    assert!(!home.path().join("nowhere.toml").exists());
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    let real = home.path().join("elsewhere/real.toml");
    fs::write(&real, "[plugins.hello]\npath = 'hello.so'\ntrust = 'unpinned'\n").unwrap();
    symlink("elsewhere/real.toml", file(&home)).unwrap();
    done(&home, &["pin", "hello"]);
    assert!(fs::symlink_metadata(file(&home)).unwrap().is_symlink());
    let hash = sha256(&home.path().join("hello.so"));
    let pinned = format!("[plugins.hello]\npath = 'hello.so'\nsha256 = \"{hash}\"\n");
    assert_eq!(fs::read_to_string(&real).unwrap(), pinned);
    assert_eq!(fs::read_dir(home.path().join("elsewhere")).unwrap().count(), 1);
}

#[test]
fn each_platform_has_its_own_hash() {
    let home = TestHome::new();
    let library = compiled(&home, "hello.c", "hello", &[]);
    let (platform, new) = (platform(), sha256(&library));
    let paths = format!("[plugins.hello]\npath = {{ {platform} = 'hello.so', plan9-mips = 'hello.plan9' }}\n");
    fs::write(file(&home), format!("{paths}trust = 'unpinned' # for now\n")).unwrap();
    let told = done(&home, &["pin", "hello"]);
    assert!(
        told.contains("old   none\n") && told.contains("not pinned yet: plan9-mips; pin it there, too\n"),
        "{told}"
    );
    assert_eq!(text(&home), format!("{paths}sha256 = {{ {platform} = \"{new}\" }} # for now\n"));
    assert_eq!(problem(&home, "hello"), None);
    let theirs = "1".repeat(64);
    fs::write(file(&home), format!("{paths}sha256 = {{ plan9-mips = '{theirs}' }}\n")).unwrap();
    let told = json_of(&home, &["pin", "hello", "--json"]);
    assert_eq!((&told["old"], &told["new"], &told["unpinned"]), (&Value::Null, &json!(new), &json!([])));
    assert!(text(&home).contains(&theirs) && text(&home).contains(&new), "{}", text(&home));
    assert_eq!(problem(&home, "hello"), None);
}

#[test]
fn a_file_is_made_for_the_first_plugin() {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    let run = |arguments: &[&str]| {
        let mut command = home.program(TestHome::binary());
        command.arg("plugin").args(arguments).stdin(Stdio::null()).output().unwrap()
    };
    let library = home.path().join("hello.so");
    let output = run(&["add", "hello", "--path", library.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(", which was made for it\n"), "{output:?}");
    let made = home.path().join("config/perennial/perennial.toml");
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&made).unwrap().contains(&format!("path = {library:?}\n")));
    let output = run(&["list"]);
    assert!(
        String::from_utf8_lossy(&output.stdout).lines().any(|row| row.starts_with("hello") && row.ends_with("ready"))
    );
}

#[test]
fn a_command_is_added_as_it_will_be_run() {
    let home = TestHome::new();
    fs::create_dir_all(home.path().join("bin")).unwrap();
    fs::copy(storage_py(), home.path().join("bin/notes.py")).unwrap();
    let told = done(&home, &["add", "notes", "--set", "folder=library", "--", "python3", "bin/notes.py", "--config"]);
    assert!(told.contains("`perennial plugin check notes` tries it\n"), "{told}");
    let table =
        "[plugins.notes]\ncommand = [\"python3\", \"bin/notes.py\", \"--config\"]\nconfig = { folder = \"library\" }\n";
    assert_eq!(text(&home), table);
    assert!(done(&home, &["check", "notes"]).contains("location      library\n"));
    // from another folder
    let mut command = home.program(TestHome::binary());
    command.current_dir(home.path().join("bin")).env("PERENNIAL_CONFIG", file(&home));
    let output = command.args(["plugin", "add", "more", "--", "./notes.py", "notes.py"]).output().unwrap();
    let told = shown(&home, &output.stdout);
    assert!(told.contains("from    bin/notes.py notes.py\n"), "{told}");
    assert!(told.contains("note: `notes.py` is looked for in `HOME`, where the process runs"), "{told}");
    assert!(Path::new(&home.path().join("perennial.toml")).exists());
}
