//! The names that a model may use for tools and servers.

use serde_json::json;

use crate::support::{TestHome, echo_server};

#[test]
fn snake_case_names_of_tools_are_answered() {
    let home = TestHome::new();
    let mut host = home.start();
    let created =
        host.call("create_server_from_template", json!({"language": "python", "code": echo_server()})).ok().facts();
    let arguments = json!({"serverId": created["serverId"], "toolName": "echo", "args": {"message": "Hello"}});
    assert_eq!(host.call("execute_tool", arguments).ok().text(), "Hello");
    assert_eq!(host.call("list_saved_servers", json!({})).ok().text(), "📂 No saved servers found");
    let without = host.request("tools/call", json!({"name": "list-saved-servers"}));
    assert_eq!(without["result"]["content"][0]["text"], "📂 No saved servers found");
}

#[test]
fn a_server_may_be_named_by_its_saved_id_or_a_unique_name() {
    let home = TestHome::new();
    let mut host = home.start();
    let ids: Vec<String> = (0..2).map(|_| host.create_python(echo_server())).collect();
    host.call("save-server", json!({"serverId": ids[0], "name": "calc"})).ok();
    host.close();

    let mut host = home.start();
    assert_eq!(host.execute(&ids[0], "echo", json!({"message": "by id"})).ok().text(), "by id");
    assert_eq!(host.execute("calc", "echo", json!({"message": "by name"})).ok().text(), "by name");
    let twin = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": twin, "name": "calc"})).ok();
    let error = host.execute("calc", "echo", json!({"message": "whose?"})).error();
    assert!(error.contains(&twin) && error.matches("server-").count() == 2, "not the two candidates: {error}");
}

#[test]
fn a_wrong_tool_name_gets_the_right_ones() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let error = host.execute(&id, "ecko", json!({"message": "?"})).error();
    assert!(error.contains("ecko") && error.contains("echo") && error.contains("add"), "{error}");
}
