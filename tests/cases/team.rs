//! The example for teams, as it stands: a mounted file, secrets beside it, a real store.

use std::fs;

use serde_json::json;

use crate::support::{TestHome, echo_server, s3::Store};

const EXAMPLE: &str = include_str!("../../docs/team.example.toml");
const AUTHORITY: &str = include_str!("../fixtures/authority.pem");

/// A machine with the example, its neighbours and its variables.
fn machine(endpoint: &str) -> TestHome {
    let home = TestHome::new().config(EXAMPLE);
    fs::write(home.path().join("storage.key"), "secret-of-everything\n").unwrap();
    fs::write(home.path().join("certificates.pem"), AUTHORITY).unwrap();
    home.env("STORAGE_ENDPOINT", endpoint).env("STORAGE_BUCKET", "servers").env("STORAGE_KEY_ID", "everything")
}

#[test]
fn the_file_of_a_team_works_as_it_stands() {
    let store = Store::seaweedfs();
    let (here, there) = (machine(&store.endpoint()), machine(&store.endpoint()));
    let checked = here.run(&["config", "check"]);
    assert!(checked.status.success(), "{checked:?}");
    assert!(String::from_utf8_lossy(&checked.stdout).ends_with("perennial.toml: nothing wrong\n"), "{checked:?}");

    let mut host = here.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    host.close();
    let listed = String::from_utf8(there.run(&["list"]).stdout).unwrap();
    assert!(listed.contains("shared"), "{listed}");

    let shown = there.run(&["config", "show", "--origin"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("${file:storage.key}") && !shown.contains("secret-of-everything"), "{shown}");
}

#[test]
fn what_a_team_forgot_is_told_at_its_line() {
    let home = machine("http://127.0.0.1:9");
    fs::remove_file(home.path().join("storage.key")).unwrap();
    let checked = home.run(&["config", "check"]);
    let told = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(3), "{told}");
    let line = EXAMPLE.lines().position(|line| line.starts_with("secret_access_key")).unwrap() + 1;
    assert!(told.contains("storage.key") && told.contains(&format!("perennial.toml:{line}:")), "{told}");
}
