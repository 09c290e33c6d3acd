//! A configuration that is wrong, at the start and while the host runs, and a host that is asked for much at once.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    cases::config::told,
    support::{TestHome, echo_server, misbehaving_server},
};

#[rstest]
#[case::unknown_key("[limits]\ncall_timeot_s = 5\n", ":2:1", "call_timeout_s")]
#[case::unknown_table("[limitz]\nmemory_mb = 5\n", ":1:2", "limits")]
#[case::wrong_type("[limits]\ncall_timeout_s = \"soon\"\n", ":2:18", "call_timeout_s")]
#[case::not_toml("[limits\n", ":1:8", "")]
#[case::unknown_storage("[storage]\nuse = \"jason\"\n", ":2:7", "json")]
#[case::unknown_plugin_key("[plugins.python]\nconfig = { instaler = \"uv\" }\n", ":2:12", "installer")]
#[case::unset_variable(
    "[plugins.python]\nconfig = { python = \"${env:PERENNIAL_TEST_UNSET}\" }\n",
    ":2:",
    "PERENNIAL_TEST_UNSET"
)]
fn fault_40_a_mistake_ends_with_its_place_and_a_suggestion(
    #[case] toml: &str,
    #[case] place: &str,
    #[case] suggestion: &str,
) {
    let home = TestHome::new().config(toml);
    for command in ["serve", "list"] {
        let output = home.run(&[command]);
        assert_eq!(output.status.code(), Some(3), "{}", told(&output));
        assert!(output.stdout.is_empty(), "{}", told(&output));
        let place = format!("perennial.toml{place}");
        assert!(told(&output).contains(&place) && told(&output).contains(suggestion), "{place}: {}", told(&output));
    }
}

#[test]
fn fault_40_a_hang_up_puts_all_of_a_changed_file_in_force_or_nothing() {
    let home = TestHome::new().config("[limits]\ncall_timeout_s = 100\n");
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("hangs"));

    host.hang_up();
    host.wait_for_stderr("nothing changed");

    let home = home.config("[limits]\ncall_timeout_s = 0.2\npatience_s = 5\ncall_timeot_s = 3\n");
    host.hang_up();
    host.wait_for_stderr("the configuration stays as it was");
    host.wait_for_stderr(
        "perennial.toml:4:1: unknown key `call_timeot_s` in `[limits]` (did you mean `call_timeout_s`?)",
    );

    let home = home.config(
        "[storage]\nuse = \"archive\"\n[limits]\ncall_timeout_s = 0.2\n[log]\nlevel = \"info\"\n\
         [registries]\nproxy = \"http://me:s3cr3t@127.0.0.1:9\"\n\
         [plugins.archive]\nplugin = \"json\"\nconfig = { path = \"${folder}/archive.json\" }\n",
    );
    host.hang_up();
    host.wait_for_stderr("changes that need a restart");
    let said = host.stderr();
    // what was refused before has had no effect: the older value is still 100, and `patience_s` is not mentioned
    let changed = "read again: limits.call_timeout_s 100.0 → 0.2, log.level \"warn\" → \"info\", registries.proxy\n";
    assert!(said.contains(changed), "{said}");
    assert!(said.contains("restart: plugins.archive.config.path, plugins.archive.plugin, storage.use \""), "{said}");
    assert!(!said.contains("s3cr3t"), "{said}");

    let error = host.execute(&id, "echo", json!({"message": "hang"})).error();
    assert!(error.contains("0.2"), "{error}");
    host.call("save-server", json!({"serverId": id, "name": "saved"})).ok();
    assert!(home.saved_servers().exists(), "the storage is the one of the start");
    assert!(host.close().success());
}

#[test]
fn fault_43_a_thousand_calls_at_once_are_all_answered_and_no_descriptor_is_left() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    assert_eq!(host.execute(&id, "echo", json!({"message": "warm"})).ok().text(), "warm");
    let folder = format!("/proc/{}/fd", host.pid());
    let descriptors = || fs::read_dir(&folder).unwrap().count();
    let before = descriptors();
    let calls: Vec<(String, Value)> = (0..1000)
        .map(|number| {
            let text = number.to_string();
            let arguments = json!({"serverId": id, "toolName": "echo", "args": {"message": text}});
            (text, host.begin_call("execute-tool", arguments))
        })
        .collect();
    for (text, call) in calls {
        assert_eq!(host.reply(&call).ok().text(), text);
    }
    assert!(descriptors() <= before, "{} instead of {before}", descriptors());
}
