//! Plugins that cannot be used, and plugins that misbehave.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;

use crate::{
    cases::plugins::{compiled, first_party, listed, sha256, tools, unpinned},
    support::{TestHome, echo_server},
};

#[test]
fn fault_41_what_is_wrong_with_a_library_is_told_before_any_of_it_runs() {
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
fn fault_41_what_the_loader_or_the_plugin_itself_refuses_is_told_too() {
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
fn fault_42_an_odd_plugin_harms_its_own_calls_alone() {
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

#[test]
fn fault_42_a_panic_and_a_print_in_rust_do_not_reach_the_wire() {
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
