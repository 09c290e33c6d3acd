//! Builds that nobody waits for any more.

use std::time::Duration;

use serde_json::json;

use crate::support::{TestHome, carrying, echo_server, wait_until};

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

/// A home whose installer never ends.
pub(super) fn home_with_a_hanging_installer() -> TestHome {
    let home = TestHome::new().own_cache();
    let config = format!("[plugins.python]\nconfig = {{ uv = {:?} }}\n", home.hanging_uv());
    home.config(&config)
}

#[test]
fn a_client_has_no_more_servers_at_once_than_it_may_have() {
    let home = TestHome::new().config("[limits]\nservers = 2\n");
    let mut host = home.start();
    let first = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": first, "name": "kept"})).ok();
    host.create_python(echo_server());
    for (tool, arguments) in [
        ("create-server-from-template", json!({"language": "python", "code": echo_server()})),
        ("load-saved-server", json!({"savedServerId": "kept"})),
    ] {
        let error = host.call(tool, arguments).error();
        assert!(error.contains("there are 2 servers already") && error.contains("`delete-server`"), "{error}");
    }
    host.call("delete-server", json!({"serverId": first})).ok();
    host.create_python(echo_server());
    // what a call brings up by itself ends by itself
    assert_eq!(host.execute("kept", "echo", json!({"message": "back"})).ok().text(), "back");
}
