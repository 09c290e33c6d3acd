//! What the host itself has at hand for a chat: prompts, and resources of servers.

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server};

fn prompt(host: &mut TestHost, name: &str, arguments: Value) -> Value {
    host.request("prompts/get", json!({"name": name, "arguments": arguments}))
}

fn text(prompt: &Value) -> String {
    assert_eq!(prompt["result"]["messages"][0]["role"], "user", "{prompt}");
    prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap().to_owned()
}

fn read(host: &mut TestHost, uri: &str) -> Value {
    host.request("resources/read", json!({"uri": uri}))
}

fn contents(host: &mut TestHost, uri: &str) -> String {
    let answer = read(host, uri);
    assert_eq!(answer["result"]["contents"][0]["uri"], uri, "{answer}");
    answer["result"]["contents"][0]["text"].as_str().unwrap().to_owned()
}

fn complete(host: &mut TestHost, reference: Value, argument: &str, value: &str) -> Value {
    let params = json!({"ref": reference, "argument": {"name": argument, "value": value}});
    host.request("completion/complete", params)["result"]["completion"]["values"].clone()
}

#[test]
fn the_prompts_of_the_host_say_what_a_model_is_to_do() {
    let home = TestHome::new();
    let mut host = home.start();
    let listed = host.request("prompts/list", json!({}))["result"]["prompts"].clone();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|prompt| prompt["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["new-server", "my-library", "fix-server"]);
    let told = text(&prompt(&mut host, "new-server", json!({"purpose": "tell the tide", "language": "rust"})));
    assert!(told.contains("in rust") && told.contains("tell the tide") && told.contains("`save-server`"), "{told}");
    assert!(text(&prompt(&mut host, "my-library", json!({}))).contains("none yet"));

    let id = host.create_python(&format!("import sys\nprint('started', file=sys.stderr)\n{}", echo_server()));
    host.call("save-server", json!({"serverId": id, "name": "echoes"})).ok();
    let told = text(&prompt(&mut host, "my-library", json!({})));
    assert!(told.contains(&format!("- echoes (`{id}`, python)")) && told.contains("`echo`"), "{told}");
    let told = text(&prompt(&mut host, "fix-server", json!({"server": "echoes", "problem": "it is too loud"})));
    assert!(told.contains("\"echoes\": it is too loud") && told.contains("started"), "{told}");

    let missing = prompt(&mut host, "fix-server", json!({}));
    assert!(missing["error"]["message"].as_str().unwrap().contains("needs `server`"), "{missing}");
    let unknown = prompt(&mut host, "fix-server", json!({"server": "nobody"}));
    assert!(unknown["error"]["message"].as_str().unwrap().contains("nobody"), "{unknown}");
    assert_eq!(
        complete(&mut host, json!({"type": "ref/prompt", "name": "fix-server"}), "server", "EC"),
        json!(["echoes"])
    );
    assert_eq!(
        complete(&mut host, json!({"type": "ref/prompt", "name": "new-server"}), "language", "py"),
        json!(["python"])
    );
}

#[test]
fn a_server_can_be_looked_at_by_its_address_without_being_started() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "two words"})).ok();
    host.close();

    let mut host = home.start();
    let templates = host.request("resources/templates/list", json!({}))["result"]["resourceTemplates"].clone();
    let templates: Vec<_> =
        templates.as_array().unwrap().iter().map(|one| one["uriTemplate"].as_str().unwrap()).collect();
    assert_eq!(
        templates,
        ["source", "logs", "tools", "history"].map(|part| format!("perennial://servers/{{server}}/{part}"))
    );
    let listed = host.request("resources/list", json!({}))["result"]["resources"].clone();
    let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["uri"].as_str().unwrap()).collect();
    assert_eq!(listed, ["source", "tools", "history"].map(|part| format!("perennial://servers/{id}/{part}")));

    assert_eq!(contents(&mut host, &format!("perennial://servers/{id}/source")), echo_server());
    assert_eq!(contents(&mut host, "perennial://servers/two%20words/source"), echo_server());
    let tools: Value = serde_json::from_str(&contents(&mut host, "perennial://servers/two%20words/tools")).unwrap();
    assert!(tools.as_array().unwrap().iter().any(|tool| tool["name"] == "add"), "{tools}");
    let history: Value =
        serde_json::from_str(&contents(&mut host, &format!("perennial://servers/{id}/history"))).unwrap();
    assert_eq!((&history["total"], &history["versions"][0]["name"]), (&json!(1), &json!("two words")));
    let servers = host.call("list-servers", json!({})).ok().facts()["servers"].clone();
    assert_eq!(servers, json!([]), "reading starts nobody");

    let stopped = read(&mut host, &format!("perennial://servers/{id}/logs"));
    assert!(stopped["error"]["message"].as_str().unwrap().contains("`load-saved-server`"), "{stopped}");
    let unknown = read(&mut host, "perennial://servers/nobody/source");
    assert!(unknown["error"]["message"].as_str().unwrap().contains("nobody"), "{unknown}");
    let template = json!({"type": "ref/resource", "uri": "perennial://servers/{server}/source"});
    assert_eq!(complete(&mut host, template, "server", "two"), json!(["two words"]));
}
