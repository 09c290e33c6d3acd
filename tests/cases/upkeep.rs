//! `perennial fsck` and `perennial gc`.

use std::{
    fs,
    path::PathBuf,
    process::Output,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use crate::support::TestHome;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn a_whole_library_is_well() {
    let home = home_with_versions(3);
    let output = home.run(&["fsck"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "2 servers, 4 versions and 0 large texts read: all is well\n");
}

#[test]
fn what_is_damaged_is_named_kept_and_mended() {
    let home = home_with_versions(3);
    let (newest, older) = (object(&home, 3), object(&home, 2));
    for path in [&newest, &older] {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, text.replace("\"code\":\"x = ", "\"code\":\"y = ")).unwrap();
    }
    fs::write(home.data_dir().join("saved_servers.d/s/notes.txt"), "mine").unwrap();
    let output = home.run(&["fsck", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = report["findings"].as_array().unwrap().iter().map(|f| (&f["kind"], &f["version"])).collect();
    let (stray, damaged) = (json!("stray_object"), json!("damaged_version"));
    assert_eq!(found, [(&stray, &Value::Null), (&damaged, &json!(2)), (&damaged, &json!(3))], "{report}");
    let damaged = fs::read(&newest).unwrap();

    let output = home.run(&["fsck", "--repair"]);
    assert_eq!(output.status.code(), Some(1), "an older version is still damaged: {output:?}");
    assert!(stdout(&output).contains("saved again as version 4"), "{output:?}");
    assert_eq!(fs::read(&newest).unwrap(), damaged, "what may hold a save is kept");
    let shown: Value = serde_json::from_slice(&home.run(&["show", "server-a", "--json"]).stdout).unwrap();
    assert_eq!((&shown["code"], &shown["version"]), (&json!("x = 3"), &json!(4)), "the file still had it");
    assert!(home.data_dir().join("saved_servers.d/s/notes.txt").exists());
}

#[test]
fn old_versions_go_when_the_configuration_says_so() {
    let home = home_with_versions(4);
    assert!(home.run(&["rm", "server-b"]).status.success());
    age(&home, 40);
    let output = home.run(&["gc", "--dry-run"]);
    assert_eq!(stdout(&output).lines().next(), Some("server-b: version 1 of a deleted server"), "{output:?}");
    assert!(object(&home, 1).exists());
    let output = home.run(&["gc", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["servers"], json!([{"serverId": "server-b", "deleted": true, "versions": [1]}]), "{report}");
    assert_eq!(versions(&home), 4, "every version of what is not deleted is kept by default");

    let home = home.env("PERENNIAL_STORAGE_KEEP_VERSIONS", "2").env("PERENNIAL_STORAGE_KEEP_DAYS", "30");
    let output = home.run(&["gc"]);
    assert!(stdout(&output).starts_with("server-a: versions 1 to 2\nremoved 2 versions"), "{output:?}");
    assert_eq!(versions(&home), 2);
    let output = home.run(&["fsck"]);
    assert!(output.status.success(), "what was collected is not missing: {output:?}");
    assert!(home.run(&["show", "server-a", "--version", "1"]).status.code() == Some(4));
}

/// A home with so many versions of `server-a`, as edits by hand, and one of `server-b`.
fn home_with_versions(count: u64) -> TestHome {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    for number in 1..=count {
        let record = |id: &str, code: String| json!({"name": id, "code": code, "language": "python", "savedAt": "", "serverId": id});
        let servers = json!({"server-a": record("server-a", format!("x = {number}")), "server-b": record("server-b", "y".into())});
        fs::write(home.saved_servers(), serde_json::to_string_pretty(&servers).unwrap()).unwrap();
        assert!(home.run(&["list"]).status.success());
    }
    home
}

fn object(home: &TestHome, version: u64) -> PathBuf {
    home.data_dir().join(format!("saved_servers.d/s/server-a/{version:010}.json"))
}

fn versions(home: &TestHome) -> usize {
    fs::read_dir(object(home, 1).parent().unwrap()).unwrap().count()
}

/// Lets every version be so many days old.
fn age(home: &TestHome, days: u32) {
    for folder in fs::read_dir(home.data_dir().join("saved_servers.d/s")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(SystemTime::now() - DAY * days).unwrap();
        }
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}
