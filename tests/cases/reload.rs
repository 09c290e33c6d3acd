//! SIGHUP: the configuration is read again, and otherwise the host ends.

use serde_json::json;

use crate::support::{TestHome, misbehaving_server};

#[test]
fn a_hang_up_puts_all_of_a_changed_file_in_force_or_nothing() {
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
fn a_file_that_is_gone_changes_nothing() {
    let home = TestHome::new();
    let folder = home.path().join("config/perennial");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("perennial.toml"), "[limits]\ncall_timeout_s = 5\n").unwrap();
    let host = home.start();
    std::fs::remove_dir_all(&folder).unwrap();
    host.hang_up();
    host.wait_for_stderr("perennial.toml` is gone");
    assert!(host.close().success());
}

#[test]
fn a_hang_up_ends_a_host_that_has_no_file() {
    let home = TestHome::new();
    let mut host = home.start();
    host.hang_up();
    assert!(host.wait().success());
}
