//! Every process of a server is gone within three seconds of any end.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;

use crate::support::{TestHome, TestHost, carrying, misbehaving_server, wait_until, wait_until_gone, with_mark};

#[derive(Clone, Copy)]
enum End {
    StdinClosed,
    Sigterm,
    Sigkill,
    Deleted,
}

#[rstest]
fn no_descendant_outlives_its_host(
    #[values(End::StdinClosed, End::Sigterm, End::Sigkill)] end: End,
    #[values("family", "ignores_everything", "spins")] mode: &str,
) {
    let home = TestHome::new();
    let mut host = home.start();
    start_family(&home, &mut host, mode);
    match end {
        End::StdinClosed => assert!(host.close().success()),
        End::Sigterm => assert!(host.terminate().success()),
        _ => host.kill(),
    }
    wait_until_gone(&home.mark());
}

#[rstest]
fn no_descendant_outlives_its_server(#[values(End::Deleted)] _end: End) {
    let home = TestHome::new();
    let mut host = home.start();
    let before = carrying(&home.mark()).len();
    let id = start_family(&home, &mut host, "family");
    host.call("delete-server", json!({"serverId": id})).ok();
    let gone = wait_until(Duration::from_secs(3), || carrying(&home.mark()).len() <= before);
    assert!(gone, "{:#?}", carrying(&home.mark()));
}

#[test]
fn the_end_of_stdin_in_the_middle_of_a_build_ends_the_build() {
    let home = home_with_a_hanging_installer();
    let mut host = home.start();
    host.begin_call(
        "create-server-from-template",
        json!({
            "language": "python", "code": "import requests", "dependencies": {"requests": "*"}
        }),
    );
    let before = carrying(&home.mark()).len();
    let building = wait_until(Duration::from_secs(20), || carrying(&home.mark()).len() > before);
    assert!(building, "no installer was started\n{}", host.stderr());
    assert!(host.close().success());
    wait_until_gone(&home.mark());
}

#[test]
fn a_cancelled_build_ends_and_leaves_nothing() {
    let home = home_with_a_hanging_installer();
    let mut host = home.start();
    let before = carrying(&home.mark()).len();
    let call = host.begin_call(
        "create-server-from-template",
        json!({
            "language": "python", "code": "import requests", "dependencies": {"requests": "*"}
        }),
    );
    let building = wait_until(Duration::from_secs(20), || carrying(&home.mark()).len() > before);
    assert!(building, "no installer was started\n{}", host.stderr());
    host.notify("notifications/cancelled", json!({"requestId": call}));
    let gone = wait_until(Duration::from_secs(5), || carrying(&home.mark()).len() <= before);
    assert!(gone, "{:#?}", carrying(&home.mark()));
    assert_eq!(host.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
}

/// Creates a server of this mode and lets it start whatever it starts.
fn start_family(home: &TestHome, host: &mut TestHost, mode: &str) -> String {
    let before = carrying(&home.mark()).len();
    let id = host.create_python(&with_mark(&misbehaving_server(mode), &home.mark()));
    host.execute(&id, "echo", json!({"message": "start"})).ok();
    let expected = before + if mode == "family" { 5 } else { 1 };
    let started = wait_until(Duration::from_secs(5), || carrying(&home.mark()).len() >= expected);
    assert!(started, "{:#?}", carrying(&home.mark()));
    id
}

/// A home whose installer never ends.
fn home_with_a_hanging_installer() -> TestHome {
    let home = TestHome::new().own_cache();
    let config = format!("[plugins.python]\nconfig = {{ uv = {:?} }}\n", home.hanging_uv());
    home.config(&config)
}
