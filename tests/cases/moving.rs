//! Saved servers on the move: whole libraries from storage to storage, one server as a file.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, wait_until};

#[test]
fn a_copy_takes_every_version_along_and_is_a_library_like_the_first() {
    let home = TestHome::new();
    let (kept, deleted) = library(&home);
    let plan = json_of(&copy(&home, "new/saved_servers.json", &["--dry-run", "--json"]));
    assert_eq!((&plan["tally"]["versions"], &plan["dryRun"]), (&json!(5), &json!(true)), "{plan}");
    assert!(!home.path().join("run/new").exists());

    let copied = copy(&home, "new/saved_servers.json", &["--json"]);
    assert!(copied.status.success(), "{copied:?}");
    let tally = &json_of(&copied)["tally"];
    let expected = json!({"servers": 2, "versions": 5, "copied": 2, "unchanged": 0, "conflicts": 0, "failed": 0});
    assert_eq!(*tally, expected);
    for (id, versions) in [(&kept, 3), (&deleted, 2)] {
        let folder = |root: &Path| root.join("saved_servers.d/s").join(id);
        let (old, new) = (folder(&home.data_dir()), folder(&home.path().join("run/new")));
        for version in 1..=versions {
            let record = |folder: &Path| envelope(&folder.join(format!("{version:010}.json")))["record"].clone();
            assert_eq!(record(&old), record(&new), "version {version} of {id}");
        }
        assert_eq!(fs::read_dir(new).unwrap().count(), versions);
    }

    // what was copied is what a host makes of it, from the file of the guide to the way back of the deleted one
    let file: Value =
        serde_json::from_slice(&fs::read(home.path().join("run/new/saved_servers.json")).unwrap()).unwrap();
    assert_eq!(file[&kept]["name"], "kept");
    let data = home.path().join("run/new");
    let home = home.env("PERENNIAL_DATA_DIR", data);
    let called = home.run(&["call", "kept", "echo", r#"{"message": "there"}"#]);
    assert_eq!(text(&called.stdout), "there\n", "{called:?}");
    assert!(home.run(&["history", "gone", "--restore", "1"]).status.success());
}

#[test]
fn a_copy_that_is_run_again_copies_what_is_new_alone() {
    let home = TestHome::new();
    let (kept, deleted) = library(&home);
    copy(&home, "new.json", &[]);
    let before = contents(&home.path().join("run/new.d"));
    let again = json_of(&copy(&home, "new.json", &["--json"]));
    assert_eq!((&again["tally"]["versions"], &again["tally"]["unchanged"]), (&json!(0), &json!(2)), "{again}");
    assert!(contents(&home.path().join("run/new.d")) == before);

    // as if it had been cut off in the middle of either server
    for file in
        [format!("{kept}/0000000002.json"), format!("{kept}/0000000003.json"), format!("{deleted}/0000000002.json")]
    {
        fs::remove_file(home.path().join("run/new.d/s").join(file)).unwrap();
    }
    let resumed = json_of(&copy(&home, "new.json", &["--json"]));
    assert_eq!(resumed["tally"]["versions"], 3, "{resumed}");
    assert!(contents(&home.path().join("run/new.d")) == before);

    assert!(home.run(&["history", &kept, "--restore", "1"]).status.success());
    let more = json_of(&copy(&home, "new.json", &["--json"]));
    assert_eq!((&more["tally"]["versions"], &more["tally"]["copied"]), (&json!(1), &json!(1)), "{more}");
    let back = home.run(&["copy", "--from", "json:path=new.json", "--to", "json", "--json"]);
    assert_eq!(json_of(&back)["tally"]["unchanged"], 2, "{back:?}");
}

#[test]
fn a_copy_that_is_killed_is_continued_by_the_next() {
    let home = TestHome::new();
    let records: serde_json::Map<String, Value> = (0..400)
        .map(|number| {
            let id = format!("server-{number:012x}");
            let record = json!({
                "name": format!("number {number}"), "code": "x", "language": "python",
                "savedAt": "2024-01-15T10:30:00.000Z", "serverId": id
            });
            (id, record)
        })
        .collect();
    fs::create_dir_all(home.data_dir()).unwrap();
    fs::write(home.saved_servers(), Value::from(records).to_string()).unwrap();
    assert!(home.run(&["list"]).status.success());
    let there = || fs::read_dir(home.path().join("run/new.d/s")).map_or(0, Iterator::count);
    let mut killed = 0;
    for part in [20, 120, 250] {
        let mut process = home
            .command(&["copy", "--from", "json", "--to", "json:path=new.json"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until(Duration::from_secs(60), || there() >= part || process.try_wait().unwrap().is_some());
        killed += usize::from(process.try_wait().unwrap().is_none());
        let _ = process.kill();
        process.wait().unwrap();
    }
    assert!(killed > 0, "every copy was quicker than its end");
    let before = there();
    let resumed = json_of(&copy(&home, "new.json", &["--json"]));
    assert_eq!(
        (&resumed["tally"]["servers"], &resumed["tally"]["failed"]),
        (&json!(400), &json!(0)),
        "{}",
        resumed["tally"]
    );
    assert!(resumed["tally"]["versions"].as_u64().unwrap() <= 400 - before as u64 + 8, "{}", resumed["tally"]);
    let old: Vec<_> = contents(&home.data_dir()).into_iter().map(|(_, record)| record).collect();
    let new: Vec<_> = contents(&home.path().join("run/new.d")).into_iter().map(|(_, record)| record).collect();
    assert!(old.len() == 400 && old == new, "{} records became {}", old.len(), new.len());
}

#[test]
fn two_copies_at_once_write_every_version_once() {
    let home = TestHome::new();
    library(&home);
    let begin = || {
        home.command(&["copy", "--from", "json", "--to", "json:path=new.json", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let copies = [begin(), begin(), begin()].map(|copy| copy.wait_with_output().unwrap());
    for copy in &copies {
        assert!(copy.status.success(), "{copy:?}");
    }
    let files = contents(&home.path().join("run/new.d/s"));
    assert_eq!(files.len(), 5, "{:?}", files.iter().map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn a_target_with_versions_of_its_own_is_a_conflict_and_stays_as_it_is() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    copy(&home, "new.json", &[]);
    let there = ["import", "-", "--edited"];
    let exported = json_of(&home.run(&["export", &kept]));
    let mut other = exported.clone();
    other["record"]["version"] = json!(4);
    other["record"]["code"] = json!("another\n");
    other["history"].as_array_mut().unwrap().push(json!({"version": 3, "record": exported["record"]}));
    // the target goes its own way from version 3 on
    let target = home.path().join("run");
    let elsewhere = TestHome::new().env("PERENNIAL_DATA_DIR", target.join("data"));
    fs::create_dir(target.join("data")).unwrap();
    fs::rename(target.join("new.json"), target.join("data/saved_servers.json")).unwrap();
    fs::rename(target.join("new.d"), target.join("data/saved_servers.d")).unwrap();
    let imported = feed(&elsewhere, &there, other.to_string().as_bytes());
    assert!(imported.status.success(), "{imported:?}");
    assert!(home.run(&["history", &kept, "--restore", "1"]).status.success());

    let before = contents(&target.join("data/saved_servers.d/s"));
    let copied = copy(&home, "data/saved_servers.json", &["--json"]);
    assert_eq!(copied.status.code(), Some(1), "{copied:?}");
    let report = json_of(&copied);
    assert_eq!((&report["tally"]["conflicts"], &report["tally"]["unchanged"]), (&json!(1), &json!(1)), "{report}");
    assert!(contents(&target.join("data/saved_servers.d/s")) == before);
    let shown = text(&copy(&home, "data/saved_servers.json", &[]).stdout);
    assert!(shown.contains("CONFLICT") && shown.contains(&kept) && shown.contains("up to 4"), "{shown}");
}

#[test]
fn a_damaged_version_is_told_and_the_rest_is_copied() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let file = home.data_dir().join(format!("saved_servers.d/s/{kept}/0000000002.json"));
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("kept", "kepT")).unwrap();
    let copied = copy(&home, "new.json", &["--json"]);
    assert_eq!(copied.status.code(), Some(1), "{copied:?}");
    let report = json_of(&copied);
    assert_eq!((&report["tally"]["versions"], &report["tally"]["failed"]), (&json!(4), &json!(1)), "{report}");
    let one = report["servers"].as_array().unwrap().iter().find(|one| one["serverId"] == json!(kept)).unwrap();
    assert_eq!(one["moved"], json!([{"from": 1, "to": 1}, {"from": 3, "to": 2}]), "{one}");
    assert!(one["problems"][0].as_str().unwrap().contains("version 2"), "{one}");
    assert_eq!(fs::read_to_string(&file).unwrap(), whole.replace("kept", "kepT"));
}

#[rstest]
#[case::no_such_storage(&["copy", "--from", "nowhere", "--to", "json"], 4, "`nowhere`")]
#[case::onto_itself(&["copy", "--from", "json", "--to", "json"], 2, "the same")]
#[case::no_setting(&["copy", "--from", "json", "--to", "json:elsewhere"], 2, "KEY=VALUE")]
#[case::unknown_setting(&["copy", "--from", "json", "--to", "json:bucket=x"], 2, "bucket")]
#[case::no_target(&["copy", "--from", "json"], 2, "--to")]
fn a_copy_that_makes_no_sense_is_refused(#[case] arguments: &[&str], #[case] code: i32, #[case] told: &str) {
    let output = TestHome::new().run(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(text(&output.stderr).contains(told), "{output:?}");
}

#[test]
fn an_exported_server_comes_up_on_another_machine() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let exported = home.run(&["export", "kept", "--history"]);
    let bundle = json_of(&exported);
    assert_eq!((&bundle["format"], &bundle["formatVersion"]), (&json!("perennial-server"), &json!(1)));
    assert_eq!((&bundle["record"]["version"], bundle["history"].as_array().unwrap().len()), (&json!(3), 2));

    let other = TestHome::new();
    let trial = json_of(&feed(&other, &["import", "-", "--dry-run", "--json"], &exported.stdout));
    assert_eq!((&trial["outcome"], trial["moved"].as_array().unwrap().len()), (&json!("new"), 3), "{trial}");
    assert!(!other.data_dir().exists(), "a trial has written something");
    let imported = json_of(&feed(&other, &["import", "-", "--json"], &exported.stdout));
    assert_eq!((&imported["outcome"], &imported["newest"]), (&json!("new"), &json!(3)), "{imported}");
    let called = other.run(&["call", &kept, "echo", r#"{"message": "moved"}"#]);
    assert_eq!(text(&called.stdout), "moved\n", "{called:?}");
    let again = text(&feed(&other, &["import", "-"], &exported.stdout).stdout);
    assert!(again.contains("is there already, at version 3"), "{again}");
    assert_eq!(json_of(&other.run(&["export", "kept", "--history"])), bundle);
}

#[test]
fn a_newer_export_continues_what_was_imported_before() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let other = TestHome::new();
    let first = home.run(&["export", &kept, "--version", "1"]).stdout;
    assert!(feed(&other, &["import", "-"], &first).status.success());
    let newest = home.run(&["export", &kept]).stdout;
    let imported = json_of(&feed(&other, &["import", "-", "--json"], &newest));
    assert_eq!(
        (&imported["outcome"], &imported["moved"]),
        (&json!("updated"), &json!([{"from": 3, "to": 2}])),
        "{imported}"
    );
    // what both have is no news, and what is older neither
    for known in [&first, &newest] {
        assert!(text(&feed(&other, &["import", "-"], known).stdout).contains("is there already, at version 2"));
    }
}

#[test]
fn an_import_over_another_history_writes_nothing_but_a_new_server_if_that_is_wished() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let exported = home.run(&["export", &kept]).stdout;
    assert!(home.run(&["history", &kept, "--restore", "1"]).status.success());
    let newer = json_of(&home.run(&["export", &kept]));
    let mut other = newer.clone();
    other["history"] = json!([]);
    other["record"]["code"] = json!("another\n");
    let before = contents(&home.data_dir());
    let refused = feed(&home, &["import", "-", "--edited"], other.to_string().as_bytes());
    let error = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && error.contains("version 4") && error.contains("--as-new"), "{error}");
    assert!(text(&feed(&home, &["import", "-"], &exported).stdout).contains("is there already, at version 4"));
    assert!(contents(&home.data_dir()) == before);

    let imported = json_of(&feed(&home, &["import", "-", "--as-new", "--json"], &exported));
    let id = imported["serverId"].as_str().unwrap();
    assert_ne!(id, kept);
    assert_eq!(json_of(&home.run(&["list", "--json"])).as_array().unwrap().len(), 2);
    assert!(text(&home.run(&["call", id, "echo", r#"{"message": "new"}"#]).stdout).contains("new"));
}

#[test]
fn an_alias_of_another_server_is_not_taken_over() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let other = TestHome::new();
    let mut host = other.start();
    let own = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": own, "name": "own"})).ok();
    host.close();
    let mut bundle = json_of(&home.run(&["export", &kept]));
    bundle["record"]["aliases"] = json!([own, "server-harmless"]);
    let imported = json_of(&feed(&other, &["import", "-", "--edited", "--json"], bundle.to_string().as_bytes()));
    assert!(imported["notes"][0].as_str().unwrap().contains(&own), "{imported}");
    let shown = json_of(&other.run(&["show", &kept, "--json"]));
    assert_eq!(shown["aliases"], json!(["server-harmless"]));
}

#[test]
fn a_changed_file_is_refused_unless_it_was_changed_on_purpose() {
    let home = TestHome::new();
    let (kept, _) = library(&home);
    let exported = text(&home.run(&["export", &kept]).stdout);
    let other = TestHome::new();
    refuse_as_it_is(&other, exported.replace("kept", "kepT").as_bytes(), "checksum does not match");
    let mut bundle: Value = serde_json::from_str(&exported).unwrap();
    bundle.as_object_mut().unwrap().shift_remove("sha256");
    refuse_as_it_is(&other, bundle.to_string().as_bytes(), "no checksum");
    assert!(feed(&other, &["import", "-", "--edited"], bundle.to_string().as_bytes()).status.success());
    // spaces are no change
    let spaced: Value = serde_json::from_str(&exported).unwrap();
    assert!(feed(&TestHome::new(), &["import", "-"], spaced.to_string().as_bytes()).status.success());
}

#[test]
fn what_must_not_leave_is_not_exported() {
    let home = TestHome::new();
    let mut host = home.start();
    let error = host
        .call(
            "create-server-from-template",
            json!({
                "language": "python", "code": echo_server(), "permissions": {"env": ["TOKEN=s3cret"]}
            }),
        )
        .error();
    assert!(error.contains("permissions.env") && !error.contains("s3cret"), "{error}");
    host.close();
    let record = json!({"server-old": {
        "name": "old", "code": "x", "language": "python", "savedAt": "2024-01-15T10:30:00.000Z", "serverId": "server-old",
        "permissions": {"env": ["TOKEN=s3cret"]}
    }});
    fs::create_dir_all(home.data_dir()).unwrap();
    fs::write(home.saved_servers(), record.to_string()).unwrap();
    let refused = home.run(&["export", "old"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0), "{refused:?}");
    assert!(!text(&refused.stderr).contains("s3cret"), "{refused:?}");
}

/// A library of two servers: one that was saved three times, one that was saved and deleted.
fn library(home: &TestHome) -> (String, String) {
    let mut host: TestHost = home.start();
    let kept = host.create_python(echo_server());
    for limit in [7, 8, 9] {
        host.call("update-server", json!({"serverId": kept, "limits": {"call_timeout_s": limit}})).ok();
        host.call("save-server", json!({"serverId": kept, "name": "kept"})).ok();
    }
    let gone = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": gone, "name": "gone"})).ok();
    host.call("delete-saved-server", json!({"savedServerId": gone})).ok();
    host.close();
    (kept, gone)
}

fn copy(home: &TestHome, path: &str, more: &[&str]) -> Output {
    let target = format!("json:path={path}");
    home.run(&[&["copy", "--from", "json", "--to", &target], more].concat())
}

/// The smallest file that can be imported as one that was edited.
pub(super) fn bundle() -> Value {
    json!({
        "format": "perennial-server", "formatVersion": 1,
        "record": {"name": "a", "code": "x", "language": "python", "savedAt": "", "serverId": "server-abc123"}
    })
}

pub(super) fn refuse(home: &TestHome, file: &[u8], told: &str) {
    refused(home, &["import", "-", "--edited"], file, told);
}

fn refuse_as_it_is(home: &TestHome, file: &[u8], told: &str) {
    refused(home, &["import", "-"], file, told);
}

fn refused(home: &TestHome, arguments: &[&str], file: &[u8], told: &str) {
    let output = feed(home, arguments, file);
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains(told), "{} in\n{error}", told);
    assert!(!error.contains("s3cret"), "{error}");
    assert!(!home.data_dir().exists(), "something was written");
}

/// Runs the binary with `input` on its stdin.
fn feed(home: &TestHome, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = home.command(arguments);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let output = process.wait_with_output().unwrap();
    let _ = feeding.join().unwrap();
    output
}

/// Every version below a folder with its record, in order.
fn contents(folder: &Path) -> Vec<(String, Value)> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().contains("/s/") => {
                    files.push((path.display().to_string(), envelope(&path)["record"].clone()));
                }
                false => {}
            }
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

fn envelope(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
