//! Work that takes long: how far it is, how it is given up, and what goes on without its caller.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, carrying, echo_server, requests_server, wait_until};

#[test]
fn a_creation_tells_its_stages_and_only_ever_grows() {
    let home = TestHome::obedient("");
    home.tell("wait");
    let mut host = home.start();
    let call = begin_create(&mut host, "mine");
    let mut last = -1.0;
    let stages = [
        ("resolving python packages", None),
        ("installing python packages", None),
        ("8 packages to install", Some("begin")),
        ("downloading numpy (16.1MiB), one of 8 packages", Some("middle")),
        ("installing 8 packages", Some("end")),
        ("starting the server", None),
    ];
    for (stage, next) in stages {
        loop {
            let params = host.notification("notifications/progress")["params"].clone();
            assert_eq!(params["progressToken"], "mine");
            let progress = params["progress"].as_f64().unwrap();
            assert!(progress > last && progress <= params["total"].as_f64().unwrap(), "{params} after {last}");
            last = progress;
            if params["message"] == stage {
                break;
            }
        }
        next.into_iter().for_each(|name| home.tell(name));
    }
    host.reply(&call).ok();
    assert!(last > 90.0, "{last}");
}

#[test]
fn a_real_installation_tells_its_stages() {
    let home = TestHome::new().own_cache().with_uv().config("[plugins.python]\nconfig = { installer = \"uv\" }\n");
    let mut host = home.start();
    let arguments = json!({"language": "python", "code": requests_server(), "dependencies": ["requests"]});
    let params = json!({"name": "create-server-from-template", "arguments": arguments, "_meta": {"progressToken": 7}});
    let call = host.begin("tools/call", params);
    let answer = host.answer(&call);
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    let mut told = Vec::new();
    while told.last().is_none_or(|message| message != "starting the server") {
        told.push(host.notification("notifications/progress")["params"]["message"].as_str().unwrap().to_owned());
    }
    assert_eq!(told[0], "resolving python packages");
    assert!(told.iter().any(|message| message.ends_with("packages to install")), "{told:#?}");
}

#[test]
fn a_cancelled_creation_leaves_nothing() {
    let home = TestHome::obedient("");
    home.tell("wait");
    let mut host = home.start();
    let before = carrying(&home.mark()).len();
    let call = begin_create(&mut host, "mine");
    host.expect("the installation", |message| message["params"]["message"] == "8 packages to install");
    assert_eq!(home.environments().len(), 1);
    host.notify("notifications/cancelled", json!({"requestId": call}));
    assert!(
        wait_until(Duration::from_secs(5), || carrying(&home.mark()).len() <= before),
        "{:#?}",
        carrying(&home.mark())
    );
    assert!(wait_until(Duration::from_secs(5), || home.environments().is_empty()), "{:?}", home.environments());
    assert_eq!(host.call("list-servers", json!({})).ok().facts()["servers"], json!([]));

    std::fs::remove_file(home.told().join("wait")).unwrap();
    create(&mut host);
    assert_eq!(home.steps("install"), 2);
}

#[test]
fn a_slow_creation_goes_on_without_its_caller() {
    let home = TestHome::obedient("[limits]\npatience_s = 0.3\n");
    home.tell("wait");
    let mut host = home.start();
    let facts = host.call("create-server-from-template", arguments("six")).ok().facts();
    assert_eq!(facts["status"], "building");
    let id = facts["serverId"].as_str().unwrap().to_owned();

    home.tell("begin");
    let doing = |host: &mut TestHost| host.call("get-server", json!({"serverId": id})).ok().facts();
    let told = wait_until(Duration::from_secs(10), || {
        doing(&mut host)["doing"] == "downloading numpy (16.1MiB), one of 8 packages"
    });
    assert!(told, "{}", doing(&mut host));
    assert_eq!(doing(&mut host)["state"], "building");
    let early = host.execute(&id, "echo", json!({"message": "early"})).error();
    assert!(early.contains("not up yet (downloading numpy") && early.contains("`get-server`"), "{early}");

    home.tell("middle");
    home.tell("end");
    let ready = host.wait_for_state(&id, &["ready", "failed"]);
    assert_eq!((&ready["state"], &ready["doing"]), (&json!("ready"), &Value::Null), "{ready}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "late"})).ok().text(), "late");
}

#[test]
fn a_slow_creation_that_fails_keeps_its_error_for_whoever_asks() {
    let home = TestHome::obedient("[limits]\npatience_s = 0.2\n");
    home.tell("wait");
    home.tell("fail");
    let mut host = home.start();
    let facts = host.call("create-server-from-template", arguments("six")).ok().facts();
    let id = facts["serverId"].as_str().unwrap().to_owned();
    home.tell("begin");
    home.tell("middle");
    let failed = host.wait_for_state(&id, &["failed", "ready"]);
    assert!(failed["error"].to_string().contains("the registry is on fire"), "{failed}");
    assert!(host.execute(&id, "echo", json!({})).error().contains("the registry is on fire"));
}

#[test]
fn an_update_tells_its_stages_too() {
    let home = TestHome::obedient("");
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let arguments = json!({"serverId": id, "dependencies": ["six"]});
    let params = json!({"name": "update-server", "arguments": arguments, "_meta": {"progressToken": "mine"}});
    let call = host.begin("tools/call", params);
    let mut last = -1.0;
    loop {
        let params = host.notification("notifications/progress")["params"].clone();
        let progress = params["progress"].as_f64().unwrap();
        assert!(progress > last, "{params} after {last}");
        last = progress;
        if params["message"] == "starting the server" {
            break;
        }
    }
    host.reply(&call).ok();
}

fn arguments(package: &str) -> Value {
    json!({"language": "python", "code": echo_server(), "dependencies": [package]})
}

fn begin_create(host: &mut TestHost, token: &str) -> Value {
    let params = json!({
        "name": "create-server-from-template", "arguments": arguments("six"), "_meta": {"progressToken": token}
    });
    host.begin("tools/call", params)
}

fn create(host: &mut TestHost) -> String {
    host.create(arguments("six"))
}
