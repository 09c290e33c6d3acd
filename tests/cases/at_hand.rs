//! What the host itself has at hand for a chat: prompts, and resources of servers.

use serde_json::{Value, json};

use super::protocol::modern;
use crate::support::{Answer, HttpHost, TestHome, TestHost, echo_server};

const CHANGED: &str = "notifications/resources/list_changed";

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

/// The titles of what there is of one server's tools.
fn titles(host: &mut TestHost) -> Vec<String> {
    let listed = host.request("resources/list", json!({}))["result"]["resources"].clone();
    let tools = listed.as_array().unwrap().iter().filter(|one| one["uri"].as_str().unwrap().ends_with("/tools"));
    tools.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_is_told_when_there_are_other_servers_to_look_at_and_only_then() {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(titles(&mut host).is_empty());
    let id = host.create_python(echo_server());
    host.notification(CHANGED);
    assert_eq!(titles(&mut host), [format!("{id}: tools")]);
    host.call("save-server", json!({"serverId": id, "name": "echoes"})).ok();
    host.notification(CHANGED);
    assert_eq!(titles(&mut host), ["echoes: tools"]);
    // a further version of what is listed, a call and a choice of tools change nothing
    host.call("save-server", json!({"serverId": id, "name": "echoes"})).ok();
    host.call("echoes__echo", json!({"message": "hi"})).ok();
    host.call("expose-server", json!({"savedServerId": id, "hide": true})).ok();
    host.call("delete-server", json!({"serverId": id})).ok();
    host.notification(CHANGED);
    host.call("delete-saved-server", json!({"savedServerId": id})).ok();
    host.notification(CHANGED);
    assert!(titles(&mut host).is_empty());
    host.close_stdin();
    let rest = host.rest();
    assert!(rest.iter().all(|message| message["method"] != CHANGED), "{rest:?}");
}

#[test]
fn a_saved_server_that_starts_has_logs_to_look_at_and_subscriptions_hear_of_it() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "echoes"})).ok();
    assert!(host.close().success());

    let mut host = home.spawn();
    let wanted = json!({"notifications": {"resourcesListChanged": true}});
    let listen = host.begin("subscriptions/listen", modern(wanted));
    host.notification("notifications/subscriptions/acknowledged");
    let logs = format!("perennial://servers/{id}/logs");
    let listed = |host: &mut TestHost| host.request("resources/list", modern(json!({}))).to_string().contains(&logs);
    assert!(!listed(&mut host), "nothing runs");
    for _ in 0..2 {
        host.request("tools/call", modern(json!({"name": "echoes__echo", "arguments": {"message": "hi"}})));
    }
    let changed = host.notification(CHANGED);
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen, "{changed}");
    assert!(listed(&mut host));
    host.close_stdin();
    let rest = host.rest();
    assert!(rest.iter().all(|message| message["method"] != CHANGED), "{rest:?}");
}

#[test]
fn over_http_what_runs_for_one_token_is_told_to_that_one_alone() {
    let home = TestHome::new();
    let (ada, bob) = (home.token("ada"), home.token("bob"));
    let host = HttpHost::spawn(&home, &[]);
    let wanted = json!({"notifications": {"resourcesListChanged": true}});
    let listen = |token: &str| {
        let mut client = host.client(token);
        let mut events = client.begin("subscriptions/listen", wanted.clone());
        assert_eq!(events.next().unwrap()["method"], "notifications/subscriptions/acknowledged");
        client.request("resources/list", json!({}));
        (client, events)
    };
    let ((mut ada, mut hers), (mut bob, his)) = (listen(&ada), listen(&bob));
    let session = host.client(bob.token.as_ref().unwrap()).initialise();
    let in_session = session.listen();

    let id = ada.create_python(echo_server());
    assert_eq!(hers.next().unwrap()["method"], CHANGED);
    assert!(!bob.request("resources/list", json!({})).to_string().contains(&id));
    ada.call("save-server", json!({"serverId": id, "name": "echoes"})).ok();
    assert_eq!(hers.next().unwrap()["method"], CHANGED);
    assert!(bob.request("resources/list", json!({})).to_string().contains(&id));
    ada.call("delete-server", json!({"serverId": id})).ok();
    assert_eq!(hers.next().unwrap()["method"], CHANGED);
    assert!(host.terminate().success());
    // of all this the save alone changed what he sees
    let told = |mut events: Answer| {
        let messages = std::iter::from_fn(|| events.next()).filter(|message| message["method"] == CHANGED);
        messages.map(|message| message["params"]["_meta"].is_object()).collect::<Vec<_>>()
    };
    assert_eq!((told(his), told(in_session)), (vec![true], vec![false]));
}

#[test]
fn a_name_that_two_servers_have_leads_to_neither() {
    let home = TestHome::new();
    let mut host = home.start();
    let mut twin = || host.create(json!({"language": "python", "code": echo_server(), "name": "twin"}));
    let ids = [twin(), twin()];
    let answer = read(&mut host, "perennial://servers/twin/source");
    let told = answer["error"].to_string();
    assert!(ids.iter().all(|id| told.contains(id)), "{answer}");
    assert!(contents(&mut host, &format!("perennial://servers/{}/source", ids[0])).contains("echo"));
}

/// Clients that close with the last answer trip over what comes after it, such as the official Python SDK 1.x.
#[test]
fn what_a_call_changed_is_told_before_its_answer() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let mut told = Vec::new();
    for name in ["one", "two", "three", "four", "five"] {
        host.request("ping", json!({}));
        host.forget();
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
        told.extend(std::iter::from_fn(|| host.receive_aside()));
        host.request("ping", json!({}));
        assert_eq!(host.receive_aside(), None, "after `{name}`");
    }
    for method in [CHANGED, "notifications/tools/list_changed"] {
        assert!(told.iter().any(|message| message["method"] == method), "{method}: {told:?}");
    }
}
