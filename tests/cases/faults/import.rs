//! Files from elsewhere that somebody imports.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    cases::moving::{bundle, refuse, text},
    support::TestHome,
};

#[rstest]
#[case::above(json!({"files": {"../evil.py": "x"}}), "not a path inside")]
#[case::absolute(json!({"files": {"/etc/evil": "x"}}), "not a path inside")]
#[case::windows(json!({"files": {"C:\\evil": "x"}}), "not a path inside")]
#[case::twice(json!({"files": {"a.py": "x", "A.py": "y"}}), "twice")]
#[case::file_and_folder(json!({"files": {"a": "x", "a/b": "y"}}), "as if that were a folder")]
#[case::id(json!({"serverId": "../../evil"}), "serverId")]
#[case::alias(json!({"aliases": ["../evil"]}), "not a server id")]
#[case::name(json!({"name": "a\nb"}), "invisible character")]
#[case::empty(json!({"code": " "}), "empty")]
#[case::large(json!({"code": "x".repeat(60_000_000)}), "the limit is")]
#[case::secret(json!({"permissions": {"env": ["TOKEN=s3cret"]}}), "permissions.env")]
#[case::permissions(json!({"permissions": {"root": true}}), "root")]
#[case::no_text(json!({"code": 5}), "expected a string")]
fn fault_39_a_record_that_no_library_may_hold_is_refused(#[case] fields: Value, #[case] told: &str) {
    let home = TestHome::new();
    let mut bundle = bundle();
    bundle["record"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    refuse(&home, bundle.to_string().as_bytes(), told);
}

#[rstest]
#[case::out_of_order(json!([{"version": 2, "digest": "a"}, {"version": 1, "digest": "b"}]), "not in its place")]
#[case::twice(json!([{"version": 1, "digest": "a"}, {"version": 1, "digest": "a"}]), "not in its place")]
#[case::after_the_record(json!([{"version": 9, "digest": "a"}]), "not in its place")]
#[case::deleted_twice(json!([{"version": 1, "deleted": true}, {"version": 2, "deleted": true}]), "cannot be a deletion")]
#[case::deleted_and_not(json!([{"version": 1, "deleted": true, "digest": "a"}]), "cannot be a deletion")]
#[case::empty(json!([{"version": 1}]), "says nothing")]
#[case::unknown(json!([{"version": 1, "run": "rm"}]), "unknown field")]
#[case::of_another(json!([{"version": 1, "record": {
    "name": "a", "code": "x", "language": "python", "savedAt": "", "serverId": "server-other"}}]), "not of one server")]
#[case::not_what_it_says(json!([{"version": 1, "digest": "a", "record": {
    "name": "a", "code": "x", "language": "python", "savedAt": "", "serverId": "server-abc123"}}]), "not what its digest says")]
#[case::worse_than_the_newest(json!([{"version": 1, "record": {"files": {"../x": ""},
    "name": "a", "code": "x", "language": "python", "savedAt": "", "serverId": "server-abc123"}}]), "not a path inside")]
fn fault_39_a_history_that_cannot_be_is_refused(#[case] history: Value, #[case] told: &str) {
    let mut bundle = bundle();
    bundle["record"]["version"] = json!(5);
    bundle["history"] = history;
    refuse(&TestHome::new(), bundle.to_string().as_bytes(), told);
}

#[rstest]
#[case::nothing(b"", "JSON")]
#[case::binary(b"\x1f\x8b\x08\0\0\0", "JSON")]
#[case::another_file(b"{\"server-abc123\": {\"name\": \"a\"}}", "not an exported server")]
#[case::half(b"{\"format\": \"perennial-server\", \"form", "JSON")]
#[case::newer(b"{\"format\": \"perennial-server\", \"formatVersion\": 2, \"parts\": []}", "newer version")]
#[case::no_number(b"{\"format\": \"perennial-server\", \"formatVersion\": \"1\"}", "formatVersion")]
#[case::no_record(b"{\"format\": \"perennial-server\", \"formatVersion\": 1}", "record")]
#[case::key_twice(b"{\"format\": \"a\", \"format\": \"perennial-server\"}", "`format` is there twice")]
fn fault_39_a_file_that_is_something_else_is_refused(#[case] file: &[u8], #[case] told: &str) {
    refuse(&TestHome::new(), file, told);
}

#[test]
fn fault_39_bombs_are_refused_before_anything_is_written() {
    let home = TestHome::new();
    let many: serde_json::Map<_, _> = (0..1_000_000).map(|number| (format!("f{number}"), "".into())).collect();
    let mut bombed = bundle();
    bombed["record"]["files"] = many.into();
    refuse(&home, bombed.to_string().as_bytes(), "values");
    bombed["record"]["files"] =
        (0..201).map(|number| (format!("f{number}"), json!(""))).collect::<serde_json::Map<_, _>>().into();
    refuse(&home, bombed.to_string().as_bytes(), "more than 200 files");
    refuse(&home, "[".repeat(100_000).as_bytes(), "JSON");
    let endless = home.run(&["import", "/dev/zero"]);
    assert!(text(&endless.stderr).contains("more than 128 MiB"), "{endless:?}");
}
