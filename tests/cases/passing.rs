//! What children ask while they are called, passed on to whoever called them: children and clients of both eras.

use std::{thread::sleep, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use super::protocol::modern;
use crate::support::{Reply, TestHome, TestHost, installed, tests_dir};

const LEGACY: &str = include_str!("../fixtures/asking_server.py");

fn stateless() -> String {
    LEGACY.replace("MODERN = False", "MODERN = True")
}

/// A client that opens by `initialize` and offers `capabilities`.
fn client(home: &TestHome, capabilities: Value) -> TestHost {
    let mut host = home.spawn();
    let us = json!({"name": "tests", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": us});
    assert!(host.request("initialize", params)["result"].is_object());
    host.notify("notifications/initialized", json!({}));
    host
}

/// Parameters of a client of 2026-07-28 that offers `capabilities`.
fn offering(capabilities: &Value, params: Value) -> Value {
    let mut params = modern(params);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    params
}

/// A server, made by a client of 2026-07-28.
fn made(host: &mut TestHost, code: &str) -> String {
    let arguments = json!({"language": "python", "code": code});
    let call = modern(json!({"name": "create-server-from-template", "arguments": arguments}));
    let reply = Reply::new(host.request("tools/call", call)["result"].clone()).ok();
    reply.first_line_json()["serverId"].as_str().unwrap().to_owned()
}

fn everything() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

fn questions() -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    json!([
        {"method": "elicitation/create", "params": {"message": "Your name?", "requestedSchema": schema, "vendor": [1.5]}},
        {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}},
        {"method": "roots/list"},
    ])
}

fn answers() -> Value {
    json!([
        {"action": "accept", "content": {"name": "Ada"}, "vendor": {"kept": true}},
        {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"},
        {"roots": [{"uri": "file:///home", "name": "home"}]},
    ])
}

/// Answers what the host asks next.
fn answer(host: &mut TestHost, method: &str, result: &Value) -> Value {
    let asked = host.notification(method);
    host.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}));
    asked
}

fn told(reply: Reply) -> Value {
    serde_json::from_str(&reply.ok().text()).unwrap()
}

#[test]
fn a_legacy_child_asks_a_legacy_client() {
    let home = TestHome::new();
    let mut host = client(&home, everything());
    let id = host.create_python(LEGACY);
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "ask", "args": {"requests": questions()}}));
    for (question, result) in questions().as_array().unwrap().iter().zip(answers().as_array().unwrap()) {
        let asked = answer(&mut host, question["method"].as_str().unwrap(), result);
        let mut params = asked["params"].clone();
        params.as_object_mut().unwrap().remove("_meta");
        assert_eq!(params, question.get("params").cloned().unwrap_or_else(|| json!({})), "as the child sent it");
    }
    assert_eq!(told(host.reply(&call)), answers());
    let facts = told(host.execute(&id, "recall", json!({})));
    let offered = json!({"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}});
    assert_eq!(facts["client"], offered, "a child is told what some client may answer");
    assert!(host.close().success());
}

#[test]
fn what_a_client_does_not_offer_is_refused_and_so_is_what_belongs_to_no_call() {
    let home = TestHome::new();
    let mut host = client(&home, json!({}));
    let id = host.create_python(LEGACY);
    let refusals = told(host.execute(&id, "ask", json!({"requests": questions()})));
    for (refusal, lacks) in refusals.as_array().unwrap().iter().zip(["elicitation", "sampling", "roots"]) {
        let message = refusal["message"].as_str().unwrap();
        assert!(refusal["code"] == -32601 && message.contains(&format!("does not offer `{lacks}`")), "{refusal}");
    }
    host.execute(&id, "ask_later", json!({})).ok();
    sleep(Duration::from_secs(1));
    let heard = told(host.execute(&id, "recall", json!({})))["heard"].clone();
    assert!(heard[3]["message"].as_str().unwrap().contains("no call is in flight"), "{heard}");
    host.close();

    let mut host = client(&home, everything());
    let id = host.create_python(LEGACY);
    let hold = host.begin_call("execute-tool", json!({"serverId": id, "toolName": "hold", "args": {}}));
    let refused = told(host.execute(&id, "ask", json!({"requests": [{"method": "roots/list"}]})));
    assert!(refused[0]["message"].as_str().unwrap().contains("several calls are in flight"), "{refused}");
    host.execute(&id, "release", json!({})).ok();
    host.reply(&hold).ok();
    assert!(host.close().success());
}

#[test]
fn nothing_is_left_of_a_question_when_its_call_ends() {
    let home = TestHome::new();
    let mut host = client(&home, everything());
    let id = host.create_python(LEGACY);
    // the call ends first
    host.execute(&id, "ask_and_end", json!({})).ok();
    let asked = host.notification("roots/list");
    assert_eq!(host.notification("notifications/cancelled")["params"]["requestId"], asked["id"]);
    host.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}}));
    let heard = told(host.execute(&id, "recall", json!({})))["heard"].clone();
    assert!(heard[0]["message"].as_str().unwrap().contains("the call ended"), "{heard}");
    // the client cancels the call
    let ask = json!({"serverId": id, "toolName": "ask", "args": {"requests": [{"method": "roots/list"}]}});
    let call = host.begin_call("execute-tool", ask);
    let asked = host.notification("roots/list");
    host.notify("notifications/cancelled", json!({"requestId": call}));
    assert_eq!(host.notification("notifications/cancelled")["params"]["requestId"], asked["id"]);
    let heard = told(host.execute(&id, "recall", json!({})))["heard"].clone();
    assert!(heard.as_array().unwrap().contains(&json!("cancelled")), "{heard}");
    // the child cancels its question
    let call = host
        .begin_call("execute-tool", json!({"serverId": id, "toolName": "ask_and_withdraw", "args": {"answers": true}}));
    let asked = host.notification("roots/list");
    host.execute(&id, "release", json!({})).ok();
    assert_eq!(host.notification("notifications/cancelled")["params"]["requestId"], asked["id"]);
    assert_eq!(told(host.reply(&call)), "withdrawn");
    assert!(host.close().success());
}

#[test]
fn a_client_is_asked_no_more_than_so_much() {
    let home = TestHome::new();
    let mut host = client(&home, everything());
    let id = host.create_python(LEGACY);
    let requests = vec![json!({"method": "roots/list"}); 20];
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "ask", "args": {"requests": requests}}));
    let asked: Vec<Value> = (0..8).map(|_| host.notification("roots/list")).collect();
    // by now the others have been refused
    sleep(Duration::from_millis(500));
    for asked in asked {
        host.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}}));
    }
    let answers = told(host.reply(&call));
    let refused = answers.as_array().unwrap().iter().filter(|answer| answer.to_string().contains("at once")).count();
    assert_eq!(refused, 12, "{answers}");
    assert!(host.close().success());
}

#[test]
fn what_a_client_takes_to_answer_is_not_the_time_of_the_child() {
    let home = TestHome::new().config("[limits]\ncall_timeout_s = 1\n");
    let mut host = client(&home, everything());
    let id = host.create_python(LEGACY);
    let ask = json!({"serverId": id, "toolName": "ask", "args": {"requests": [{"method": "roots/list"}]}});
    let call = host.begin_call("execute-tool", ask);
    let asked = host.notification("roots/list");
    sleep(Duration::from_secs(2));
    host.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"roots": []}}));
    assert_eq!(told(host.reply(&call)), json!([{"roots": []}]));
    let told = host.execute(&id, "hold", json!({})).error();
    assert!(told.contains("no answer within 1 s"), "{told}");
    assert!(host.close().success());
}

#[test]
fn a_legacy_child_asks_a_client_of_2026_07_28() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let id = made(&mut host, LEGACY);
    let offers = everything();
    let arguments = json!({"serverId": id, "toolName": "ask", "args": {"requests": questions()}});
    let call = |more: Value| {
        let mut params = json!({"name": "execute-tool", "arguments": arguments});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        offering(&offers, params)
    };
    let asked = host.request("tools/call", call(json!({})))["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let requests = asked["inputRequests"].as_object().unwrap();
    assert_eq!(requests.values().cloned().collect::<Vec<_>>(), *questions().as_array().unwrap());
    let state = asked["requestState"].as_str().unwrap();

    // what was not given out is not taken, nor for another request
    let mut forged = state.to_owned();
    forged.replace_range(forged.len() - 2.., "AA");
    let refused = host.request("tools/call", call(json!({"inputResponses": {}, "requestState": forged})));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let mut other = call(json!({"inputResponses": {}, "requestState": state}));
    other["arguments"]["toolName"] = "hold".into();
    assert_eq!(host.request("tools/call", other)["error"]["code"], -32602);

    // some of the answers first, then the others
    let keys: Vec<&String> = requests.keys().collect();
    let answers = answers();
    let first = json!({keys[0]: answers[0]});
    let again = host.request("tools/call", call(json!({"inputResponses": first, "requestState": state})));
    let again = again["result"].clone();
    assert_eq!(again["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), keys[1..], "{again}");
    let used = host.request("tools/call", call(json!({"inputResponses": first, "requestState": state})));
    assert!(used["error"]["message"].as_str().unwrap().contains("over"), "{used}");
    let rest = json!({keys[1]: answers[1], keys[2]: answers[2]});
    let done = host.request("tools/call", call(json!({"inputResponses": rest, "requestState": again["requestState"]})));
    assert_eq!(told(Reply::new(done["result"].clone())), answers);
    assert_eq!(done["result"]["resultType"], "complete");

    // cancelled, it ends at the server, whether it waits for the client or works
    let id_of = |host: &mut TestHost, name: &str| {
        let arguments = json!({"serverId": id, "toolName": name, "args": {"requests": [{"method": "roots/list"}]}});
        host.begin("tools/call", offering(&offers, json!({"name": "execute-tool", "arguments": arguments})))
    };
    let working = id_of(&mut host, "hold");
    sleep(Duration::from_millis(300));
    host.notify("notifications/cancelled", json!({"requestId": working}));
    let recall = json!({"serverId": id, "toolName": "recall", "args": {}});
    let recall = modern(json!({"name": "execute-tool", "arguments": recall}));
    let heard = told(Reply::new(host.request("tools/call", recall)["result"].clone()))["heard"].clone();
    assert_eq!(heard.as_array().unwrap().last(), Some(&json!("cancelled")), "{heard}");

    // a client that offers nothing is not asked
    let refusals = host.request("tools/call", modern(json!({"name": "execute-tool", "arguments": arguments})));
    let refusals = told(Reply::new(refusals["result"].clone()));
    assert!(refusals[2]["message"].as_str().unwrap().contains("does not offer `roots`"), "{refusals}");
    assert!(host.close().success());
}

#[test]
fn a_stateless_child_asks_a_legacy_client() {
    let home = TestHome::new();
    let mut host = client(&home, everything());
    let id = host.create_python(&stateless());
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "ask", "args": {"requests": questions()}}));
    for (question, result) in questions().as_array().unwrap().iter().zip(answers().as_array().unwrap()) {
        answer(&mut host, question["method"].as_str().unwrap(), result);
    }
    let answers = answers();
    let answered = json!({"key0": answers[0], "key1": answers[1], "key2": answers[2]});
    assert_eq!(told(host.reply(&call)), json!({"inputResponses": answered, "requestState": "its own state"}));
    let meta = told(host.execute(&id, "recall", json!({})))["meta"].clone();
    assert_eq!(meta["io.modelcontextprotocol/clientCapabilities"], everything(), "those of this very client");
    host.close();

    let mut host = client(&home, json!({}));
    let id = host.create_python(&stateless());
    let refused = host.execute(&id, "ask", json!({"requests": questions()})).error();
    assert!(refused.contains("does not offer `elicitation`"), "{refused}");
    assert!(host.close().success());
}

#[test]
fn a_stateless_child_asks_a_client_of_2026_07_28() {
    let home = TestHome::new();
    let mut host = home.spawn();
    let id = made(&mut host, &stateless());
    let arguments = json!({"serverId": id, "toolName": "ask", "args": {"requests": questions()}});
    let params = json!({"name": "execute-tool", "arguments": arguments});
    let asked = host.request("tools/call", offering(&everything(), params.clone()))["result"].clone();
    let questions = questions();
    let requests = json!({"key0": questions[0], "key1": questions[1], "key2": questions[2]});
    assert_eq!((&asked["resultType"], &asked["inputRequests"]), (&json!("input_required"), &requests));
    assert_ne!(asked["requestState"], "its own state", "it is sealed");
    let mut retry = offering(&everything(), params);
    retry["inputResponses"] = json!({"key0": answers()[0]});
    retry["requestState"] = "its own state".into();
    assert_eq!(host.request("tools/call", retry.clone())["error"]["code"], -32602);
    retry["requestState"] = asked["requestState"].clone();
    let done = host.request("tools/call", retry)["result"].clone();
    let answered = json!({"inputResponses": {"key0": answers()[0]}, "requestState": "its own state"});
    assert_eq!(told(Reply::new(done)), answered);
    assert!(host.close().success());
}

#[test]
fn no_question_tells_a_secret() {
    let home = TestHome::new().config("[policy]\nenv = [\"LEAKED_KEY\"]\n").env("LEAKED_KEY", "a-value-nobody-knows");
    let mut host = client(&home, everything());
    let id = host.create(json!({"language": "python", "code": LEGACY, "permissions": {"env": ["LEAKED_KEY"]}}));
    let requests = json!([{"method": "elicitation/create", "params": {"message": "Is it $LEAKED_KEY?"}}]);
    let call =
        host.begin_call("execute-tool", json!({"serverId": id, "toolName": "ask", "args": {"requests": requests}}));
    let asked = answer(&mut host, "elicitation/create", &json!({"action": "decline"}));
    assert_eq!(asked["params"]["message"], "Is it [secret LEAKED_KEY]?");
    assert_eq!(told(host.reply(&call)), json!([{"action": "decline"}]));
    // what the client itself has to act on is no text for a model
    let refuse = json!({"serverId": id, "toolName": "refuse", "args": {}});
    let error = host.request("tools/call", json!({"name": "execute-tool", "arguments": refuse}))["error"].clone();
    assert_eq!((&error["code"], &error["message"]), (&json!(-32042), &json!("open it: [secret LEAKED_KEY]")));
    assert_eq!(error["data"]["elicitations"][0]["url"], "https://example.com/");
    assert!(host.close().success());
}

/// The levels of what was logged so far.
fn logged(host: &mut TestHost) -> Vec<String> {
    let mut levels = Vec::new();
    let answer = host.request("ping", json!({}));
    assert_eq!(answer["result"], json!({}));
    while let Some(message) = host.receive_aside() {
        if message["method"] == "notifications/message" {
            assert_eq!(message["params"]["logger"], "its own", "{message}");
            levels.push(message["params"]["level"].as_str().unwrap().to_owned());
        }
    }
    levels
}

#[test]
fn what_a_child_logs_reaches_the_client_of_the_call() {
    let home = TestHome::new().config("[policy]\nenv = [\"LEAKED_KEY\"]\n").env("LEAKED_KEY", "a-value-nobody-knows");
    let mut host = client(&home, json!({}));
    let id = host.create(json!({"language": "python", "code": LEGACY, "permissions": {"env": ["LEAKED_KEY"]}}));
    host.execute(&id, "log", json!({})).ok();
    assert_eq!(logged(&mut host), ["debug", "info", "error"], "in front of the result");
    assert_eq!(host.request("logging/setLevel", json!({"level": "info"}))["result"], json!({}));
    host.execute(&id, "log", json!({})).ok();
    assert_eq!(logged(&mut host), ["info", "error"]);
    let heard = told(host.execute(&id, "recall", json!({})))["heard"].clone();
    assert_eq!(heard, json!(["info"]), "the child was asked once");
    let call = host
        .begin_call("execute-tool", json!({"serverId": id, "toolName": "log", "args": {"data": "it is $LEAKED_KEY"}}));
    assert_eq!(host.notification("notifications/message")["params"]["data"], "it is [secret LEAKED_KEY]");
    host.reply(&call).ok();
    assert!(host.close().success());
}

#[test]
fn clients_of_2026_07_28_say_with_each_call_what_they_want_to_hear() {
    let home = TestHome::new();
    let mut host = home.spawn();
    for code in [LEGACY.to_owned(), stateless()] {
        let id = made(&mut host, &code);
        let mut call =
            modern(json!({"name": "execute-tool", "arguments": {"serverId": id, "toolName": "log", "args": {}}}));
        host.forget();
        host.request("tools/call", call.clone());
        assert!(host.receive_aside().is_none(), "nothing was asked for");
        call["_meta"]["io.modelcontextprotocol/logLevel"] = "info".into();
        host.request("tools/call", call.clone());
        for level in ["info", "error"] {
            assert_eq!(host.receive_aside().unwrap()["params"]["level"], level);
        }
        call["arguments"]["toolName"] = "recall".into();
        let facts = host.request("tools/call", call)["result"].clone();
        let facts = told(Reply::new(facts));
        match &facts["meta"]["io.modelcontextprotocol/logLevel"] {
            Value::Null => assert_eq!(facts["heard"], json!(["info"])),
            level => assert_eq!(level, "info"),
        }
    }
    let params = modern(json!({"level": "info"}));
    assert_eq!(host.request("logging/setLevel", params)["error"]["code"], -32601);
    assert!(host.close().success());
}

#[rstest]
fn the_official_python_sdk_2_gets_all_of_it(
    #[values("legacy", "2026-07-28")] protocol: &str,
    #[values("MODERN = False", "MODERN = True")] era: &str,
) {
    let home = TestHome::new().env("PROTOCOL", protocol);
    let mut client = home.program(installed("python").join("bin/python"));
    client.arg(tests_dir().join("clients/passing_sdk_2.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, code) in [("asking.py", LEGACY), ("offering.py", include_str!("../fixtures/offering_server.py"))] {
        let file = home.path().join(name);
        std::fs::write(&file, code.replace("MODERN = False", era)).unwrap();
        client.arg(file);
    }
    let output = client.arg(TestHome::binary()).arg("serve").output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let spoken = if protocol == "legacy" { "2025-11-25\n" } else { "2026-07-28\n" };
    assert_eq!(String::from_utf8_lossy(&output.stdout), spoken, "{complaints}");
}
