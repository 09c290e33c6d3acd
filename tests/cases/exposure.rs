//! Tools of saved servers in the host's own list: there from the first list on, and started when they are called.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, wait_until};

fn saved(host: &mut TestHost, name: &str) -> String {
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": name})).ok();
    id
}

fn listed(host: &mut TestHost) -> Vec<Value> {
    let answer = host.request("tools/list", json!({}));
    let tools = answer["result"]["tools"].as_array().unwrap().clone();
    tools.into_iter().filter(|tool| tool["name"].as_str().unwrap().contains("__")).collect()
}

fn names(host: &mut TestHost) -> Vec<String> {
    listed(host).iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn running(host: &mut TestHost) -> usize {
    host.call("list-servers", json!({})).ok().facts()["servers"].as_array().unwrap().len()
}

#[test]
fn a_saved_tool_is_in_the_first_list_of_the_next_session_and_callable() {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(names(&mut host).is_empty());
    saved(&mut host, "Mon serveur de calcul v1.0");
    host.notification("notifications/tools/list_changed");
    let there = ["mon-serveur-de-calcul-v1__add", "mon-serveur-de-calcul-v1__echo"];
    assert_eq!(names(&mut host), there);
    host.close();

    let mut host = home.start();
    let tools = listed(&mut host);
    let add = tools.iter().find(|tool| tool["name"] == there[0]).unwrap();
    assert_eq!(
        (&add["description"], &add["inputSchema"]["required"]),
        (&json!("Adds two integers"), &json!(["a", "b"]))
    );
    assert_eq!(running(&mut host), 0, "the list starts nobody");
    let sum = host.call(there[0], json!({"a": 2, "b": 3})).ok();
    assert_eq!((sum.text().as_str(), &sum.raw()["structuredContent"]), ("5", &json!({"total": 5})));
    assert!(host.call(there[0], json!({"a": 2})).error().contains('b'), "arguments are checked");
    let many: Vec<_> = (0..10).map(|_| host.begin_call(there[1], json!({"message": "hi"}))).collect();
    for call in many {
        assert_eq!(host.reply(&call).ok().text(), "hi");
    }
    assert_eq!(running(&mut host), 1, "one instance serves all calls");
    assert!(host.close().success());
}

#[test]
fn a_tool_that_a_client_knows_from_before_is_callable_before_any_list() {
    let home = TestHome::new();
    let mut host = home.start();
    saved(&mut host, "echoes");
    host.close();
    let mut host = home.start();
    assert_eq!(host.call("echoes__echo", json!({"message": "again"})).ok().text(), "again");
    assert!(host.close().success());
}

#[test]
fn calls_at_once_start_a_server_once() {
    let home = TestHome::new();
    let mut host = home.start();
    saved(&mut host, "calc");
    host.close();
    let mut host = home.start();
    names(&mut host);
    let calls: Vec<_> = (0..20).map(|n| host.begin_call("calc__add", json!({"a": n, "b": 1}))).collect();
    for (n, call) in calls.iter().enumerate() {
        assert_eq!(host.reply(call).ok().text(), (n + 1).to_string());
    }
    assert_eq!(running(&mut host), 1);
    assert!(host.close().success());
}

#[test]
fn names_are_told_apart_and_stay() {
    let home = TestHome::new();
    let mut host = home.start();
    saved(&mut host, "calc");
    let second = saved(&mut host, "Calc");
    let four = names(&mut host);
    assert_eq!(four.len(), 4);
    assert!(four.contains(&"calc__add".to_owned()) && four.iter().all(|name| name.starts_with("calc")), "{four:?}");
    host.close();
    let mut host = home.start();
    assert_eq!(names(&mut host), four);
    let other = four.iter().find(|name| name.starts_with("calc-") && name.ends_with("__echo")).unwrap().clone();
    host.call(&other, json!({"message": "second"})).ok();
    let facts = host.call("list-servers", json!({})).ok().facts();
    assert_eq!((facts["servers"].as_array().unwrap().len(), &facts["servers"][0]["name"]), (1, &json!("Calc")));
    host.call("delete-saved-server", json!({"savedServerId": second})).ok();
    host.notification("notifications/tools/list_changed");
    assert_eq!(names(&mut host), ["calc__add", "calc__echo"]);
    assert!(host.request("tools/call", json!({"name": other, "arguments": {"message": "x"}}))["error"].is_object());
}

#[test]
fn what_is_listed_is_chosen_and_lasts() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = saved(&mut host, "calc");
    let reply = host.call("expose-server", json!({"savedServerId": "calc", "tools": ["add"]})).ok();
    assert_eq!(reply.facts()["exposed"], json!(["calc__add"]));
    assert_eq!(names(&mut host), ["calc__add"]);
    let told = host.call("expose-server", json!({"savedServerId": id, "tools": ["nothing"]})).error();
    assert!(told.contains("no tool `nothing`") && told.contains("echo, add"), "{told}");
    host.call("expose-server", json!({"savedServerId": id, "hide": true})).ok();
    assert!(names(&mut host).is_empty());
    assert_eq!(host.execute(&id, "echo", json!({"message": "hidden"})).ok().text(), "hidden");
    host.close();
    let mut host = home.start();
    assert!(names(&mut host).is_empty());
    // beside the running host
    let output = home.run(&["expose", "calc"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "calc__add\ncalc__echo\n");
    assert!(wait_until(Duration::from_secs(20), || names(&mut host).len() == 2));
    assert_eq!(home.run(&["expose", "nobody"]).status.code(), Some(4));
    fs::write(home.path().join("state/perennial/exposure.json"), "{").unwrap();
    let told = host.call("expose-server", json!({"savedServerId": id, "hide": true})).error();
    assert!(told.contains("exposure.json") && told.contains("cannot be read"), "{told}");
    assert_eq!(fs::read_to_string(home.path().join("state/perennial/exposure.json")).unwrap(), "{");
}

#[test]
fn the_mode_and_the_ceiling_are_the_operators() {
    let mut home = TestHome::new();
    let mut host = home.start();
    saved(&mut host, "calc");
    saved(&mut host, "other");
    host.close();
    for (settings, there) in [
        ("mode = \"all\"", 4),
        ("mode = \"none\"", 0),
        ("mode = \"listed\"", 0),
        ("mode = \"all\"\nmax_tools = 3", 2),
        ("auto_tokens = 100", 2),
        ("auto_tokens = 0", 0),
    ] {
        home = home.config(&format!("[exposure]\n{settings}\n"));
        let mut host = home.start();
        assert_eq!(names(&mut host).len(), there, "{settings}");
        let found = host.call("find-tools", json!({"query": "adds integers"})).ok().facts();
        assert_eq!(found["tools"].as_array().unwrap().len(), 2);
        assert_eq!(found["tools"][0]["toolName"], "add");
        assert_eq!(found["tools"].as_array().unwrap().iter().all(|one| one["listedAs"].is_null()), there == 0);
    }
}

#[test]
fn an_idle_server_ends_and_the_next_call_brings_it_back() {
    let home = TestHome::new().config("[exposure]\nidle_s = 0.4\n");
    let mut host = home.start();
    let id = saved(&mut host, "calc");
    host.close();
    let mut host = home.start();
    names(&mut host);
    for message in ["one", "two"] {
        assert_eq!(host.call("calc__echo", json!({"message": message})).ok().text(), message);
        let stopped = wait_until(Duration::from_secs(20), || {
            let facts = host.call("list-servers", json!({})).ok().facts();
            facts["servers"][0]["state"] == "stopped"
        });
        assert!(stopped, "{message}: {id}");
    }
    assert!(host.close().success());
}

#[test]
fn what_is_eager_is_up_before_anybody_calls() {
    let home = TestHome::new().config("[exposure]\neager = [\"calc\", \"nobody\"]\n");
    let mut host = home.start();
    saved(&mut host, "calc");
    host.close();
    let mut host = home.start();
    let up = wait_until(Duration::from_secs(20), || {
        host.call("list-servers", json!({})).ok().facts()["servers"][0]["state"] == "ready"
    });
    assert!(up);
    host.wait_for_stderr("nobody");
}

/// The store is away for the whole session: what the last one knew is listed all the same.
#[test]
fn without_its_store_the_list_is_the_one_last_known() {
    let home = TestHome::new();
    let mut host = home.start();
    saved(&mut host, "calc");
    host.close();
    let mut host = home.start();
    assert_eq!(names(&mut host).len(), 2);
    host.close();
    // the folder of the library is a file now: nothing of it can be read
    fs::rename(home.data_dir(), home.path().join("away")).unwrap();
    fs::write(home.data_dir(), "").unwrap();
    let mut host = home.start();
    assert_eq!(names(&mut host), ["calc__add", "calc__echo"]);
    let told = host.call("calc__echo", json!({"message": "hi"})).error();
    assert!(told.contains("failed to call the tool"), "{told}");
    host.close();
    fs::remove_file(home.data_dir()).unwrap();
    fs::rename(home.path().join("away"), home.data_dir()).unwrap();
}

/// A server one of whose tools describes itself in other words whenever it is started.
const SHIFTING: &str = r#"import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    result = {}
    if message.get("method") == "initialize":
        result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shifting", "version": "1"}}
    elif message.get("method") == "tools/list":
        tool = lambda name, text: {"name": name, "description": text, "inputSchema": {"type": "object"}}
        result = {"tools": [tool("steady", "Always the same"), tool("shifting", f"Another one: {time.time_ns()}")]}
    elif message.get("method") == "tools/call":
        result = {"content": [{"type": "text", "text": message["params"]["name"]}]}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"#;

#[test]
fn a_tool_that_is_not_as_recorded_leaves_the_list_and_is_called_by_execute_tool() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(SHIFTING);
    host.call("save-server", json!({"serverId": id, "name": "weather"})).ok();
    host.close();

    let mut host = home.start();
    assert_eq!(names(&mut host), ["weather__shifting", "weather__steady"], "nobody has looked yet");
    let told = host.call("weather__shifting", json!({})).error();
    assert!(told.contains("is not the tool that was recorded any more") && told.contains("execute-tool"), "{told}");
    assert_eq!(host.call("weather__steady", json!({})).ok().text(), "steady");
    assert!(wait_until(Duration::from_secs(5), || names(&mut host) == ["weather__steady"]));
    host.notification("notifications/tools/list_changed");
    assert_eq!(host.execute(&id, "shifting", json!({})).ok().text(), "shifting");
    host.close();

    let mut host = home.start();
    assert_eq!(names(&mut host), ["weather__steady"], "the next session knows it");
    host.execute("weather", "steady", json!({})).ok();
    let running = host.call("get-server", json!({"serverId": id})).ok().facts()["serverId"].clone();
    host.call("save-server", json!({"serverId": running, "name": "weather"})).ok();
    assert_eq!(names(&mut host), ["weather__shifting", "weather__steady"], "it is recorded as it is");
    assert_eq!(host.call("weather__shifting", json!({})).ok().text(), "shifting");
}
