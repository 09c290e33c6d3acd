//! Servers that models write: each is wrong in one way, and none of them harms the host, its siblings or the answer.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, carrying, echo_server, misbehaving_server, wait_until_gone, with_mark};

#[rstest]
fn fault_21_what_is_printed_between_answers_is_skipped(
    #[values("banner", "json_banner", "json_log", "prints", "crlf", "returns")] mode: &str,
) {
    assert_usable(mode);
}

#[rstest]
fn fault_29_what_answers_nothing_is_never_matched_to_a_call(
    #[values("id_null", "id_one", "wrong_id", "text_id", "twice", "as_batch", "asks")] mode: &str,
) {
    assert_usable(mode);
}

#[rstest]
fn fault_30_an_odd_list_of_tools_is_used_as_far_as_it_can_be(#[values("bad_tool", "pages_forever")] mode: &str) {
    assert_usable(mode);
}

#[test]
fn fault_20_a_server_that_never_answers_its_handshake_is_ended() {
    let home = TestHome::new().config("[limits]\nstart_timeout_s = 2\n");
    let mut host = home.start();
    let code = with_mark(&misbehaving_server("silent"), &home.mark());
    let error = host.call("create-server-from-template", json!({"language": "python", "code": code})).error();
    assert!(error.contains("initialize") && error.contains("waiting for something that never comes"), "{error}");
}

#[rstest]
#[case("banner", "Welcome to my server!")]
#[case("prints", "debug: the tool was called")]
fn fault_21_stray_lines_are_kept_for_the_author(#[case] mode: &str, #[case] line: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server(mode));
    host.execute(&id, "echo", json!({"message": "hello"})).ok();
    let told = host.call("get-server", json!({"serverId": id})).ok();
    assert!(told.text().contains(line), "{}", told.text());
}

#[rstest]
#[case("stderr_flood", "hello")]
#[case("stdout_flood", "flood")]
#[case("endless_line", "flood")]
#[case("long_ids", "flood")]
fn fault_22_endless_output_keeps_the_host_small_and_its_siblings_served(#[case] mode: &str, #[case] message: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let id = host.create_python(&misbehaving_server(mode));
    begin_echo(&mut host, &id, message);
    for _ in 0..50 {
        assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
        thread::sleep(Duration::from_millis(10));
    }
    assert_stayed_small(&host);
    host.call("delete-server", json!({"serverId": id})).ok();
}

#[test]
fn fault_22_a_child_that_asks_and_never_reads_keeps_the_host_small_and_its_siblings_served() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let id = host.create_python(&misbehaving_server("ping_flood"));
    begin_echo(&mut host, &id, "flood");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
        thread::sleep(Duration::from_millis(10));
    }
    assert_stayed_small(&host);
    host.call("delete-server", json!({"serverId": id})).ok();
}

#[test]
fn fault_22_an_endless_list_of_tools_is_given_up_and_the_host_stays_small() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let code = misbehaving_server("large_pages");
    let error = host.call("create-server-from-template", json!({"language": "python", "code": code})).error();
    assert!(error.contains("`tools/list`") && error.contains("16 MiB"), "{error:.2000}");
    assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
    assert_stayed_below(&host, 200);
}

#[test]
fn fault_25_a_server_that_spins_is_timed_out_and_its_siblings_are_served() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let arguments = json!({"language": "python", "code": misbehaving_server("busy"), "limits": {"call_timeout_s": 1}});
    let id = host.create(arguments);
    let call = begin_echo(&mut host, &id, "spin");
    for _ in 0..20 {
        assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
    }
    let error = host.reply(&call).error();
    assert!(error.contains("1 s"), "{error}");
    host.call("delete-server", json!({"serverId": id})).ok();
    assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
}

#[test]
fn fault_27_a_death_in_a_call_is_told_at_once_and_the_next_call_works() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("dies"));
    let error = host.execute(&id, "echo", json!({"message": "die"})).error();
    assert!(error.contains('7') && error.contains("the last words of the server"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "again"})).ok().text(), "again");
    let told = host.call("get-server", json!({"serverId": id})).ok().text();
    assert!(told.contains('7'), "the last exit is not told: {told}");
}

#[test]
fn fault_27_a_death_by_signal_names_the_signal() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("killed"));
    let error = host.execute(&id, "echo", json!({"message": "die"})).error();
    assert!(error.contains("SIGKILL") || error.contains("signal 9"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "again"})).ok().text(), "again");
}

#[test]
fn fault_27_half_an_answer_before_the_death_is_no_answer() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("dies_after_half_a_line"));
    let error = host.execute(&id, "echo", json!({"message": "die"})).error();
    assert!(error.contains('7'), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "again"})).ok().text(), "again");
}

#[test]
fn fault_27_every_pending_call_fails_with_its_server_and_no_other() {
    let home = TestHome::new();
    let mut host = home.start();
    let dying = host.create_python(&misbehaving_server("dies"));
    let hanging = host.create_python(&misbehaving_server("hangs"));
    let sibling = host.create_python(echo_server());
    let unanswered = begin_echo(&mut host, &hanging, "hang");
    let last = begin_echo(&mut host, &dying, "die");
    assert!(host.reply(&last).error().contains("last words"));
    assert_eq!(host.execute(&sibling, "echo", json!({"message": "fine"})).ok().text(), "fine");
    assert_eq!(host.execute(&hanging, "echo", json!({"message": "fine"})).ok().text(), "fine");
    host.call("delete-server", json!({"serverId": hanging})).ok();
    host.reply(&unanswered).error();
}

#[test]
fn fault_27_a_server_that_keeps_dying_is_given_up_and_said_so() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("dies"));
    for _ in 0..5 {
        host.execute(&id, "echo", json!({"message": "die"})).error();
    }
    let state = host.call("get-server", json!({"serverId": id})).ok().facts()["state"].clone();
    assert!(state == "failed" || state == "restarting", "{state}");
    host.wait_for_state(&id, &["failed"]);
    let error = host.execute(&id, "echo", json!({"message": "again"})).error();
    assert!(error.contains("failed") && error.contains("update-server"), "{error}");
    assert!(host.call("save-server", json!({"serverId": id, "name": "to repair"})).ok().text().contains("to repair"));
}

#[test]
fn fault_28_deleting_a_server_that_ignores_everything_ends_it() {
    let home = TestHome::new();
    let mut host = home.start();
    let code = with_mark(&misbehaving_server("ignores_everything"), &home.mark());
    let before = carrying(&home.mark()).len();
    let id = host.create_python(&code);
    assert!(carrying(&home.mark()).len() > before);
    host.call("delete-server", json!({"serverId": id})).ok();
    drop(host);
    wait_until_gone(&home.mark());
}

#[test]
fn fault_30_tools_with_wicked_names_and_descriptions_are_data() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("wicked_tools"));
    let reply = host.call("get-server-tools", json!({"serverId": id})).ok();
    assert!(reply.raw().to_string().len() < 200_000, "a description is not capped");
    assert!(!reply.text().contains('\u{1b}') && !reply.text().contains('\u{200b}'));
    let saved = host.call("save-server", json!({"serverId": id, "name": "the host's own"})).ok();
    assert!(saved.first_line().starts_with("✅"), "{}", saved.text());
}

#[rstest]
#[case("not_utf8")]
#[case("huge_number")]
#[case("no_content")]
#[case("surrogate")]
fn fault_31_an_unusable_answer_fails_its_call_and_not_at_its_time_limit(#[case] mode: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let code = misbehaving_server(mode);
    let id = host.create(json!({"language": "python", "code": code, "limits": {"call_timeout_s": 5}}));
    let error = host.execute(&id, "echo", json!({"message": "hello"})).error();
    assert!(error.contains("answer") && !error.contains("5 s"), "{error}");
    assert!(host.call("list-servers", json!({})).ok().text().contains(&id));
}

/// What only a reader of the picture can find wrong is the reader's: the wire stays whole.
#[test]
fn fault_31_a_picture_that_is_none_reaches_its_reader_on_a_whole_wire() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("broken_base64"));
    let reply = host.execute(&id, "echo", json!({"message": "hello"})).ok();
    assert_eq!(reply.raw()["content"][1]["data"], "%%%", "{}", reply.raw());
    assert_eq!(host.execute(&id, "echo", json!({"message": "next"})).ok().text(), "next");
}

#[test]
fn fault_31_a_result_of_ten_megabytes_comes_through_and_one_of_twenty_is_refused_in_words() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("large"));
    assert_eq!(host.execute(&id, "echo", json!({"message": "10"})).ok().text().len(), 10 << 20);
    let error = host.execute(&id, "echo", json!({"message": "20"})).error();
    assert!(error.contains("MiB") || error.contains("limit"), "{error:.500}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "0"})).ok().text(), "");
}

/// Creates a server of this mode, and calls it as if nothing was the matter with it.
fn assert_usable(mode: &str) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server(mode));
    for message in ["one", "two", "three"] {
        assert_eq!(host.execute(&id, "echo", json!({"message": message})).ok().text(), message);
    }
    assert!(host.close().success());
}

fn assert_stayed_small(host: &TestHost) {
    assert_stayed_below(host, 100);
}

fn assert_stayed_below(host: &TestHost, mib: u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", host.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(peak.parse::<u64>().unwrap() < mib * 1024, "{peak} KiB at the peak");
}

fn begin_echo(host: &mut TestHost, server: &str, message: &str) -> Value {
    host.begin_call("execute-tool", json!({"serverId": server, "toolName": "echo", "args": {"message": message}}))
}
