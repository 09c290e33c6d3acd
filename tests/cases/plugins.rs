//! Plugins of others: loaded, as processes, and as MCP servers; and what is told of those that cannot be used.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{TestHome, TestHost, carrying, echo_server, installed, tests_dir, wait_until_gone};

/// Compiles a fixture into the home's folder.
fn compiled(home: &TestHome, fixture: &str, name: &str, options: &[&str]) -> PathBuf {
    let library = home.path().join(format!("{name}.so"));
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-D_GNU_SOURCE", "-Wall", "-Werror"])
        .args(options)
        .arg("-I")
        .arg(tests_dir().join("../sdk/include"))
        .arg(tests_dir().join("fixtures/plugins").join(fixture))
        .arg("-o")
        .arg(&library)
        .arg("-lpthread")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// A first-party plugin as a library, which cargo builds beside this program.
fn first_party(name: &str) -> String {
    let library = std::env::current_exe().unwrap().with_file_name(format!("libperennial_{name}.so"));
    assert!(library.exists(), "{} is missing", library.display());
    library.display().to_string()
}

fn unpinned(name: &str, path: &str) -> String {
    format!("[plugins.{name}]\npath = {path:?}\ntrust = \"unpinned\"\n")
}

fn sha256(file: &Path) -> String {
    Sha256::digest(fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tools(host: &mut TestHost) -> Vec<String> {
    let listed = host.request("tools/list", json!({}));
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// `plugin list`, as a map from name to row.
fn listed(home: &TestHome) -> serde_json::Map<String, Value> {
    let output = home.run(&["plugin", "list", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.into_iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect()
}

#[test]
fn a_plugin_in_c_is_pinned_listed_and_called() {
    let home = TestHome::new();
    let library = compiled(&home, "hello.c", "hello", &["-Wextra"]);
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let sha256 = sha256(&library).to_uppercase();
    let home = home.config(&format!(
        "[plugins.hello]\npath = {{ {platform} = \"hello.so\", plan9-mips = \"no.so\" }}\nsha256 = \"{sha256}\"\n"
    ));
    let row = &listed(&home)["hello"];
    assert_eq!(
        (&row["version"], &row["provides"], &row["problem"]),
        (&json!("1.0.0"), &json!(["tools"]), &Value::Null)
    );
    let mut host = home.start();
    assert!(tools(&mut host).contains(&"hello".to_owned()));
    assert_eq!(host.call("hello", json!({})).ok().text(), "hello from C");
    // the file may go: what was loaded is a copy
    fs::remove_file(&library).unwrap();
    assert_eq!(host.call("hello", json!({})).ok().text(), "hello from C");
    assert!(host.close().success());
}

#[test]
fn what_is_wrong_with_a_library_is_told_before_any_of_it_runs() {
    let home = TestHome::new();
    let marker = home.path().join("it-ran");
    let mark = format!("-DMARKER=\"{}\"", marker.display());
    let odd = |name: &str, options: &[&str]| compiled(&home, "odd.c", name, &[&[mark.as_str()], options].concat());
    let good = fs::read(odd("good", &[])).unwrap();
    let file = |name: &str, bytes: &[u8]| fs::write(home.path().join(name), bytes).unwrap();

    file("text.so", b"fn main() {}\n");
    file("empty.so", b"");
    file("noise.so", &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0]);
    file("cut.so", &good[..good.len() / 2]);
    let mut foreign = good.clone();
    foreign[18..20].copy_from_slice(&[0xf3, 0]);
    file("foreign.so", &foreign);
    fs::create_dir(home.path().join("folder.so")).unwrap();
    let pipe = Command::new("mkfifo").arg(home.path().join("pipe.so")).status().unwrap();
    assert!(pipe.success());
    fs::copy(home.path().join("good.so"), home.path().join("writable.so")).unwrap();
    fs::set_permissions(home.path().join("writable.so"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::create_dir(home.path().join("open")).unwrap();
    std::os::unix::fs::symlink("open/good.so", home.path().join("link.so")).unwrap();
    fs::copy(home.path().join("good.so"), home.path().join("open/good.so")).unwrap();
    fs::set_permissions(home.path().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    odd("later", &["-DENTRY=perennial_plugin_v2__odd"]);
    odd("no-manifest", &["-DNO_MANIFEST"]);
    odd("bad-manifest", &["-DMANIFEST=\"{}\""]);
    odd("other-manifest", &[r#"-DMANIFEST="{\"id\":\"other\",\"provides\":[]}""#]);
    odd("aborts", &[r#"-DMANIFEST="{\"id\":\"odd\",\"provides\":[],\"panic\":\"abort\"}""#]);
    let libc = Command::new("cc").arg("-print-file-name=libc.so.6").output().unwrap().stdout;
    let libc = String::from_utf8(libc).unwrap();

    let mut toml: String = [
        ("missing", "missing.so"),
        ("text", "text.so"),
        ("empty", "empty.so"),
        ("noise", "noise.so"),
        ("cut", "cut.so"),
        ("foreign", "foreign.so"),
        ("folder", "folder.so"),
        ("pipe", "pipe.so"),
        ("writable", "writable.so"),
        ("open-folder", "open/good.so"),
        ("link-to-open-folder", "link.so"),
        ("later", "later.so"),
        ("no-manifest", "no-manifest.so"),
        ("bad-manifest", "bad-manifest.so"),
        ("other-manifest", "other-manifest.so"),
        ("aborts", "aborts.so"),
        ("libc", libc.trim()),
    ]
    .map(|(name, path)| unpinned(name, path))
    .concat();
    toml += &format!("[plugins.changed]\npath = \"good.so\"\nsha256 = \"{}\"\n", "0".repeat(64));
    toml += "[plugins.elsewhere]\npath = { plan9-mips = \"no.so\" }\ntrust = \"unpinned\"\n";
    toml += "[plugins.unpinned]\npath = \"good.so\"\n";
    let home = home.config(&toml);

    let rows = listed(&home);
    let folder = home.path().display().to_string();
    let shown = rows.iter().filter(|(_, row)| !row["problem"].is_null()).map(|(name, row)| {
        let problem = row["problem"].as_str().unwrap().replace(&folder, "HOME");
        let problem = problem.replace(&sha256(&home.path().join("good.so")), "SHA256").replace(libc.trim(), "LIBC");
        let problem = problem.replace(std::env::consts::ARCH, "ARCH");
        format!("{name}: {problem}\n")
    });
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"));
    assert!(!marker.exists(), "code of a plugin ran");
}

/// Some things are known only when the loader has had its turn.
#[test]
fn what_the_loader_or_the_plugin_itself_refuses_is_told_too() {
    let home = TestHome::new();
    compiled(&home, "odd.c", "lacks", &["-DLACKS=nobody_has_this"]);
    compiled(&home, "odd.c", "magic", &["-DMAGIC=7"]);
    compiled(&home, "odd.c", "two-faced", &[r#"-DDESCRIBED="{\"id\":\"odd\",\"provides\":[\"storage\"]}""#]);
    compiled(&home, "odd.c", "fine", &[]);
    let toml = ["lacks", "magic", "two-faced", "fine"].map(|name| unpinned(name, &format!("{name}.so"))).concat();
    let home = home.config(&toml);
    let rows = listed(&home);
    let folder = home.path().display().to_string();
    let problem = |name: &str| rows[name]["problem"].as_str().map(|problem| problem.replace(&folder, "HOME"));
    let lacks = problem("lacks").unwrap();
    assert!(lacks.starts_with("`HOME/lacks.so`: the system's loader refuses it: "), "{lacks}");
    assert!(lacks.contains("undefined symbol: nobody_has_this"), "{lacks}");
    let magic = "`HOME/magic.so`: its descriptor begins with 0x7, not with 0x504552454e4e0001";
    assert_eq!(problem("magic").as_deref(), Some(magic));
    let two_faced =
        "`HOME/two-faced.so`: its descriptor says something else of the plugin than the manifest in its section";
    assert_eq!(problem("two-faced").as_deref(), Some(two_faced));
    assert_eq!(problem("fine"), None);
    // one that fails does not keep the others from serving
    let mut host = home.start();
    assert_eq!(host.call("plain", json!({})).ok().text(), "odd");
    assert!(host.stderr().contains("the plugin is not loaded"), "{}", host.stderr());
}

#[test]
fn an_odd_plugin_harms_its_own_calls_alone() {
    let home = TestHome::new();
    compiled(&home, "odd.c", "odd", &[]);
    let home = home.config(&format!("[limits]\ncall_timeout_s = 1\n{}", unpinned("odd", "odd.so")));
    let mut host = home.start();
    let names = tools(&mut host);
    assert_eq!(names.iter().filter(|name| *name == "list-servers").count(), 1, "a built-in name is nobody else's");
    assert!(host.call("list-servers", json!({})).ok().raw()["structuredContent"].is_object());
    for tool in ["twice", "print", "plain"] {
        assert_eq!(host.call(tool, json!({})).ok().text(), "odd");
    }
    let told = host.call("nonsense", json!({})).error();
    assert!(told.contains("the answer of the plugin `odd` to `tools/call` does not fit"), "{told}");
    assert!(host.call("refuse", json!({})).error().contains("no more"));
    assert!(host.call("refuse-at-length", json!({})).error().contains("no more, ever"));
    let told = host.call("block", json!({})).error();
    assert!(told.contains("the plugin `odd` did not answer `tools/call` within 1 s"), "{told}");
    let id = host.create_python(echo_server());
    assert_eq!(host.execute(&id, "echo", json!({"message": "still here"})).ok().text(), "still here");
    assert!(host.close().success());
}

/// Ids of calls can be guessed; what is said about one is said by who says it.
#[test]
fn a_plugin_cannot_speak_in_the_name_of_another() {
    let home = TestHome::new();
    compiled(&home, "odd.c", "odd", &[]);
    let faulty = unpinned("faulty", &first_party("faulty_plugin"));
    let home = home.config(&format!("{faulty}{}", unpinned("odd", "odd.so")));
    let mut host = home.start();
    host.begin_call("wait", json!({}));
    assert_eq!(host.call("slander", json!({})).ok().text(), "odd");
    let told = host.stderr();
    let guesses: Vec<_> = told.lines().filter(|line| line.contains("guess who")).collect();
    assert!(!guesses.is_empty() && guesses.iter().all(|line| line.contains("odd")), "{told}");
    assert!(host.close().success());
}

#[test]
fn a_panic_and_a_print_in_rust_do_not_reach_the_wire() {
    let home = TestHome::new().config(&unpinned("faulty", &first_party("faulty_plugin")));
    let mut host = home.start();
    assert_eq!(host.call("echo", json!({"message": "é".repeat(60_000)})).ok().text(), "é".repeat(60_000));
    assert_eq!(host.call("print", json!({})).ok().text(), "printed");
    assert!(host.call("panic", json!({})).error().contains("the plugin panicked: asked to"));
    assert_eq!(host.call("count", json!({})).ok().text(), "1");
    let told = host.call("fail", json!({})).error();
    assert!(told.contains("somebody was first") && told.contains("read it again"), "{told}");
    let stderr = host.stderr();
    assert!(stderr.contains("it was told to print") && stderr.contains("asked to"), "{stderr}");
    assert!(host.close().success());
}

#[rstest]
#[case::native("faulty", "path = \"FAULTY\"\ntrust = \"unpinned\"\nconfig = { greetings = [\"a\",\n  7] }\n", ":5:3")]
#[case::native_key("faulty", "path = \"FAULTY\"\ntrust = \"unpinned\"\nconfig.greting = []\n", ":4:8")]
#[case::process("py", "command = [\"python3\", \"STORAGE\"]\nconfig = { foldr = \"x\" }\n", ":3:12")]
fn a_mistake_in_a_plugins_settings_is_shown_at_its_line(#[case] name: &str, #[case] table: &str, #[case] place: &str) {
    let table = table.replace("FAULTY", &first_party("faulty_plugin")).replace("STORAGE", &storage_py());
    let home = TestHome::new().config(&format!("[plugins.{name}]\n{table}"));
    for command in [&["serve"][..], &["config", "check"]] {
        let output = home.run(command);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains(&format!("perennial.toml{place}")), "{place}: {told}");
    }
}

#[test]
fn first_party_plugins_go_before_the_built_in_ones() {
    let toml = ["storage_json", "runtime_python"]
        .map(|library| unpinned(library.split_once('_').unwrap().1, &first_party(library)));
    let home = TestHome::new().config(&toml.concat());
    let rows = listed(&home);
    for name in ["json", "python"] {
        assert!(rows[name]["from"].as_str().unwrap().contains("libperennial_"), "{}", rows[name]);
        assert_eq!(rows[name]["problem"], Value::Null);
    }
    save_and_load(&home);
    assert!(fs::read_to_string(home.saved_servers()).unwrap().contains("Mon serveur"));
}

#[test]
fn a_storage_in_python_keeps_servers() {
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"notes\"\n[plugins.notes]\ncommand = [\"python3\", {:?}]\nconfig = {{ folder = \"library\" }}\n",
        storage_py()
    ));
    save_and_load(&home);
    // it ran in the configuration's folder
    assert!(home.path().join("library/library.json").exists());
    let output = home.run(&["list"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Mon serveur"));
    let output = home.run(&["copy", "--from", "notes", "--to", "json"]);
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("`notes` is not built in") && told.contains("perennial export"), "{told}");
}

#[test]
fn a_plugin_that_segfaults_leaves_the_host_serving() {
    let home = TestHome::new().config(&format!(
        "[storage]\nuse = \"notes\"\n[plugins.notes]\ncommand = [\"python3\", {:?}]\nenv = {{ CRASH_AT = \"storage/put\" }}\n",
        storage_py()
    ));
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let told = host.call("save-server", json!({"serverId": id, "name": "lost"})).error();
    assert!(told.contains("the plugin `notes` was killed by SIGSEGV"), "{told}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "still here"})).ok().text(), "still here");
    // the next call finds it started again
    assert_eq!(host.call("list-saved-servers", json!({})).ok().first_line(), "📂 No saved servers found");
    assert!(host.close().success());
}

#[rstest]
#[case::missing("path = \"missing.so\"\ntrust = \"unpinned\"\n", "`HOME/missing.so` cannot be read")]
#[case::ends("command = [\"sh\", \"-c\", \"echo no license >&2; exit 7\"]\n", "exited with code 7")]
#[case::no_program("command = [\"no-such-program\"]\n", "no-such-program")]
#[case::no_storage("path = \"hello.so\"\ntrust = \"unpinned\"\n", "no storage plugin `mine`")]
fn a_storage_that_is_chosen_must_be_there(#[case] table: &str, #[case] reason: &str) {
    let home = TestHome::new();
    compiled(&home, "hello.c", "hello", &[]);
    let home = home.config(&format!("[storage]\nuse = \"mine\"\n[plugins.mine]\n{table}"));
    let output = home.run(&["serve"]);
    let told = String::from_utf8_lossy(&output.stderr).replace(&home.path().display().to_string(), "HOME");
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("HOME/perennial.toml:2:7") && told.contains(reason), "{told}");
}

#[test]
fn any_mcp_server_is_a_tool_plugin() {
    let server = installed("node/node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    let home = TestHome::new().config(&format!("[plugins.everything]\ncommand = [\"node\", {server:?}]\n"));
    let row = &listed(&home)["everything"];
    assert_eq!((&row["provides"], &row["problem"]), (&json!(["tools"]), &Value::Null), "{row}");
    let mut host = home.start();
    // on a busy machine it joins later than a session waits for it
    while !tools(&mut host).contains(&"get-sum".to_owned()) {
        host.notification("notifications/tools/list_changed");
    }
    assert_eq!(host.call("echo", json!({"message": "hi"})).ok().text(), "Echo: hi");
    assert!(host.call("get-sum", json!({"a": 2, "b": 3})).ok().text().contains('5'));
    assert!(host.close().success());
}

/// It answers nobody before a file says so: the session begins without its tools, and they join.
#[test]
fn a_process_that_takes_its_time_does_not_hold_the_session_up() {
    let home = TestHome::new();
    fs::write(
        home.path().join("late.py"),
        "import json, os, sys, time\n\
         for line in sys.stdin:\n\
         \x20   request = json.loads(line)\n\
         \x20   while not os.path.exists('go'):\n\
         \x20       time.sleep(0.01)\n\
         \x20   tool = {'name': 'late', 'inputSchema': {'type': 'object'}}\n\
         \x20   results = {'plugin/init': {'provides': ['tools']}, 'tools/list': {'tools': [tool]},\n\
         \x20              'tools/call': {'content': [{'type': 'text', 'text': 'here'}]}}\n\
         \x20   answer = {'jsonrpc': '2.0', 'id': request['id'], 'result': results.get(request['method'])}\n\
         \x20   print(json.dumps(answer), flush=True)\n",
    )
    .unwrap();
    let home = home.config("[plugins.late]\ncommand = [\"python3\", \"late.py\"]\n");
    let mut host = home.start();
    assert!(!tools(&mut host).contains(&"late".to_owned()));
    fs::write(home.path().join("go"), "").unwrap();
    host.notification("notifications/tools/list_changed");
    assert!(tools(&mut host).contains(&"late".to_owned()));
    assert_eq!(host.call("late", json!({})).ok().text(), "here");
    assert!(host.close().success());
    // and one that never comes is left behind when the session ends
    fs::remove_file(home.path().join("go")).unwrap();
    let host = home.start();
    assert!(carrying(&home.mark()).iter().any(|process| process.contains("late.py")), "it is still starting");
    assert!(host.close().success());
    wait_until_gone(&home.mark());
}

fn storage_py() -> String {
    tests_dir().join("fixtures/plugins/storage.py").display().to_string()
}

/// Saves a server in one session, and loads and calls it in the next.
fn save_and_load(home: &TestHome) {
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let saved = host.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).ok();
    assert!(saved.first_line().contains("saved as \"Mon serveur\""), "{}", saved.text());
    assert!(host.close().success());
    let mut host = home.start();
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("Mon serveur"));
    let answer = host.execute(&id, "echo", json!({"message": "again"})).ok();
    assert_eq!(answer.text(), "again");
    assert!(host.close().success());
}
