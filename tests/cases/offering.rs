//! Prompts, resources and completions of saved servers, as the host's own.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::protocol::modern;
use crate::support::{TestHome, TestHost, wait_until};

const ONE: &str = include_str!("../fixtures/offering_server.py");

fn two() -> String {
    ONE.replace("NAME = \"one\"", "NAME = \"two\"")
}

fn saved(host: &mut TestHost, name: &str, code: &str) -> String {
    let id = host.create_python(code);
    host.call("save-server", json!({"serverId": id, "name": name})).ok();
    id
}

/// What a list says that its members are called, but for the host's own.
fn called(host: &mut TestHost, method: &str, member: &str, key: &str) -> Vec<String> {
    let listed = host.request(method, json!({}))["result"].clone();
    let members = listed[member].as_array().unwrap_or_else(|| panic!("no `{member}` in {listed}"));
    let names = members.iter().map(|one| one[key].as_str().unwrap().to_owned());
    names
        .filter(|name| !name.ends_with("-server") && name != "my-library" && !name.starts_with("perennial://servers/"))
        .collect()
}

/// The prompt of that name in a list.
fn listed_prompt(host: &mut TestHost, name: &str) -> Value {
    let listed = host.request("prompts/list", json!({}))["result"]["prompts"].clone();
    listed.as_array().unwrap().iter().find(|prompt| prompt["name"] == name).unwrap().clone()
}

fn resources(host: &mut TestHost) -> Vec<String> {
    called(host, "resources/list", "resources", "uri")
}

fn read(host: &mut TestHost, uri: &str) -> Value {
    host.request("resources/read", json!({"uri": uri}))
}

fn running(host: &mut TestHost) -> usize {
    host.call("list-servers", json!({})).ok().facts()["servers"].as_array().unwrap().len()
}

fn home() -> TestHome {
    home_of(ONE, &two())
}

/// A home with two servers saved, both of which a host of it knows.
fn home_of(one: &str, two: &str) -> TestHome {
    let home = TestHome::new();
    let mut host = home.start();
    assert!(resources(&mut host).is_empty());
    saved(&mut host, "one", one);
    saved(&mut host, "two", two);
    host.notification("notifications/prompts/list_changed");
    host.notification("notifications/resources/list_changed");
    assert!(wait_until(Duration::from_secs(20), || resources(&mut host).len() == 4));
    assert!(host.close().success());
    home
}

const SHARED: [&str; 2] = ["perennial://resources/one/note://same", "perennial://resources/two/note://same"];

#[rstest]
fn they_are_listed_before_any_server_runs_and_start_it_when_needed(
    #[values("MODERN = False", "MODERN = True")] era: &str,
) {
    let of_era = |code: &str| code.replace("MODERN = False", era);
    let home = home_of(&of_era(ONE), &of_era(&two()));
    let mut host = home.start();
    assert_eq!(called(&mut host, "prompts/list", "prompts", "name"), ["one__greet", "two__greet"]);
    assert_eq!(resources(&mut host), ["note://one", "note://two", SHARED[0], SHARED[1]]);
    let templates = called(&mut host, "resources/templates/list", "resourceTemplates", "uriTemplate");
    assert_eq!(templates, ["note://one/{id}", "note://two/{id}"]);
    let prompt = listed_prompt(&mut host, "one__greet");
    assert_eq!((&prompt["title"], &prompt["vendor"]), (&json!("Greet"), &json!({"kept": 1.5})));
    assert_eq!(running(&mut host), 0, "no list starts anybody");

    let got = host.request("prompts/get", json!({"name": "two__greet", "arguments": {"who": "Ada"}}))["result"].clone();
    assert_eq!(got["messages"][0]["content"]["text"], "two: greet Ada None");
    assert_eq!(got["vendor"], json!([100.0, "\u{2028}"]));
    assert_eq!(running(&mut host), 1);
    let contents = |answer: Value| answer["result"]["contents"][0].clone();
    for (uri, own, text) in [
        ("note://one", "note://one", "one"),
        (SHARED[1], "note://same", "two"),
        ("note://two/7", "note://two/7", "two"),
        ("perennial://resources/one/note://two", "note://two", "one"),
    ] {
        let told = contents(read(&mut host, uri));
        assert_eq!((&told["uri"], &told["text"]), (&json!(own), &json!(text)), "{uri}");
    }
    assert_eq!(running(&mut host), 2);
    let ambiguous = read(&mut host, "note://same")["error"].clone();
    assert_eq!(ambiguous["data"]["uris"], json!(SHARED), "{ambiguous}");
    let refused = read(&mut host, "perennial://resources/one/note://none")["error"].clone();
    assert_eq!(refused, json!({"code": -32002, "message": "no such note", "data": {"uri": "note://none"}}));
    assert_eq!(host.request("prompts/get", json!({"name": "greet"}))["error"]["code"], -32602);

    for (reference, value) in [
        (json!({"type": "ref/prompt", "name": "two__greet"}), "two greet A"),
        (json!({"type": "ref/resource", "uri": "note://one/{id}"}), "one note://one/{id} A"),
        (json!({"type": "ref/resource", "uri": "perennial://resources/two/note://two/{id}"}), "two note://two/{id} A"),
    ] {
        let params = json!({"ref": reference, "argument": {"name": "who", "value": "A"}});
        assert_eq!(host.request("completion/complete", params)["result"]["completion"]["values"], json!([value]));
    }
    assert!(host.close().success());
}

#[rstest]
fn a_server_that_does_not_tell_what_it_offers_is_taken_to_offer_what_it_did(
    #[values("ends", "is no list", "never comes")] how: &str,
) {
    let home = home();
    let known = |host: &mut TestHost| {
        assert_eq!(called(host, "prompts/list", "prompts", "name"), ["one__greet", "two__greet"]);
        assert_eq!(resources(host), ["note://one", "note://two", SHARED[0], SHARED[1]]);
    };
    let mut host = home.start();
    host.call("one__break", json!({"how": how})).ok();
    assert!(host.close().success());

    let mut host = home.start();
    known(&mut host);
    let asked = |host: &mut TestHost| host.call("one__asked", json!({})).text().contains("prompts/list");
    let died = |host: &mut TestHost| {
        let facts = host.call("list-servers", json!({})).ok().facts();
        facts["servers"].as_array().unwrap().iter().any(|server| server["state"] == "stopped")
    };
    let broke = |host: &mut TestHost| match how {
        // it may answer this before it is asked that
        "ends" => {
            host.call("one__watched", json!({}));
            died(host)
        }
        _ => asked(host),
    };
    assert!(wait_until(Duration::from_secs(20), || broke(&mut host)));
    if how != "ends" {
        assert_eq!(host.call("one__watched", json!({})).ok().text(), "[]", "it is of use all the same");
    }
    known(&mut host);
    host.close_stdin();
    let rest = host.rest();
    // the one tells that the host knows by now what is saved
    let told = rest.iter().filter(|message| message["method"] == "notifications/prompts/list_changed").count();
    assert!(told <= 1, "{rest:?}");
    assert!(host.wait().success());
    known(&mut home.start());
}

#[rstest]
fn what_changes_is_told(#[values("MODERN = False", "MODERN = True")] era: &str) {
    let of_era = |code: &str| code.replace("MODERN = False", era);
    let home = home_of(&of_era(ONE), &of_era(&two()));
    let mut host = home.start();
    assert_eq!(resources(&mut host).len(), 4);
    host.forget();
    host.call("one__grow", json!({})).ok();
    host.notification("notifications/resources/list_changed");
    // the first one tells that the host knows by now what is saved
    let grown = |host: &mut TestHost| resources(host).contains(&"note://one/0".to_owned());
    assert!(wait_until(Duration::from_secs(20), || grown(&mut host)));
    assert_eq!(host.request("resources/subscribe", json!({"uri": SHARED[0]}))["result"], json!({}));
    let watched = |host: &mut TestHost| host.call("one__watched", json!({})).ok().text();
    assert!(wait_until(Duration::from_secs(20), || watched(&mut host) == "[\"note://same\"]"));
    host.call("one__touch", json!({"uri": "note://one"})).ok();
    host.call("two__touch", json!({"uri": "note://same"})).ok();
    host.call("one__touch", json!({"uri": "note://same"})).ok();
    let updated = host.notification("notifications/resources/updated");
    assert_eq!(updated["params"], json!({"uri": SHARED[0]}), "as the client called it, and nothing else");
    assert_eq!(host.request("resources/unsubscribe", json!({"uri": SHARED[0]}))["result"], json!({}));
    host.call("one__touch", json!({"uri": "note://same"})).ok();

    let id = host.call("list-saved-servers", json!({})).ok().text();
    let id = id.split("two (ID: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    host.call("delete-saved-server", json!({"savedServerId": id})).ok();
    host.notification("notifications/prompts/list_changed");
    assert_eq!(called(&mut host, "prompts/list", "prompts", "name"), ["one__greet"]);
    assert!(resources(&mut host).contains(&"note://same".to_owned()), "it is the only one of this URI by now");
    host.close_stdin();
    let rest = host.rest();
    assert!(rest.iter().all(|message| message["method"] != "notifications/resources/updated"), "{rest:?}");
}

#[test]
fn a_watched_server_stays_up_and_hears_of_it_again_when_it_comes_back() {
    let home = home().config("[exposure]\nidle_s = 1\n");
    let mut host = home.start();
    host.request("resources/subscribe", json!({"uri": "note://two"}));
    host.call("one__watched", json!({})).ok();
    let up = |host: &mut TestHost, state: &str| {
        let facts = host.call("list-servers", json!({})).ok().facts();
        facts["servers"].as_array().unwrap().iter().filter(|server| server["state"] == state).count()
    };
    assert!(wait_until(Duration::from_secs(20), || up(&mut host, "stopped") == 1));
    assert_eq!(up(&mut host, "ready"), 1, "the watched one is still there");
    host.call("two__end", json!({})).error();
    let watched = |host: &mut TestHost| host.call("two__watched", json!({})).ok().text();
    assert!(wait_until(Duration::from_secs(20), || watched(&mut host) == "[\"note://two\"]"));
    host.request("resources/unsubscribe", json!({"uri": "note://two"}));
    assert!(wait_until(Duration::from_secs(20), || up(&mut host, "stopped") == 2));
    assert!(host.close().success());
}

#[test]
fn clients_of_2026_07_28_are_told_how_long_lists_hold_and_subscribe_to_what_changes() {
    let home = home();
    let mut host = home.spawn();
    for method in ["prompts/list", "resources/list", "resources/templates/list", "tools/list"] {
        let listed = host.request(method, modern(json!({})))["result"].clone();
        let hints = (&listed["resultType"], &listed["ttlMs"], &listed["cacheScope"]);
        assert_eq!(hints, (&json!("complete"), &json!(0), &json!("private")), "{method}");
    }
    let got = host.request("prompts/get", modern(json!({"name": "one__greet", "arguments": {"who": "Ada"}})));
    assert_eq!(got["result"]["resultType"], "complete", "{got}");
    let read = host.request("resources/read", modern(json!({"uri": "note://one"})))["result"].clone();
    assert_eq!((&read["ttlMs"], &read["_meta"]), (&json!(0), &json!({"a/b": 1})));

    let wanted =
        json!({"toolsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["note://one"]});
    let listen = host.begin("subscriptions/listen", modern(json!({"notifications": wanted})));
    let acknowledged = host.notification("notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], wanted, "{acknowledged}");
    let call = |host: &mut TestHost, name: &str, arguments: Value| {
        host.request("tools/call", modern(json!({"name": name, "arguments": arguments})))["result"].clone()
    };
    assert!(wait_until(Duration::from_secs(20), || call(&mut host, "one__watched", json!({}))
        .to_string()
        .contains("note://one")));
    call(&mut host, "one__touch", json!({"uri": "note://one"}));
    let updated = host.notification("notifications/resources/updated");
    assert_eq!(updated["params"]["uri"], "note://one");
    assert_eq!(updated["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen, "{updated}");
    call(&mut host, "one__grow", json!({}));
    let changed = host.notification("notifications/resources/list_changed");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], listen);
    let id = call(&mut host, "list-saved-servers", json!({})).to_string();
    let id = id.split("two (ID: ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    call(&mut host, "delete-saved-server", json!({"savedServerId": id}));
    host.notification("notifications/tools/list_changed");
    host.notify("notifications/cancelled", json!({"requestId": listen}));
    call(&mut host, "one__touch", json!({"uri": "note://one"}));
    host.close_stdin();
    let rest = host.rest();
    assert!(
        rest.iter().all(|message| message["method"] != "notifications/prompts/list_changed"),
        "not asked for: {rest:?}"
    );
}

#[test]
fn nothing_of_it_tells_a_secret() {
    let home = TestHome::new().config("[policy]\nenv = [\"LEAKED_KEY\"]\n").env("LEAKED_KEY", "a-value-nobody-knows");
    let mut host = home.start();
    let code = ONE.replace("\"title\": \"Greet\"", "\"title\": os.environ[\"LEAKED_KEY\"]");
    let id = host.create(json!({"language": "python", "code": code, "permissions": {"env": ["LEAKED_KEY"]}}));
    host.call("save-server", json!({"serverId": id, "name": "one"})).ok();
    host.notification("notifications/prompts/list_changed");
    assert_eq!(listed_prompt(&mut host, "one__greet")["title"], "[secret LEAKED_KEY]");
    let got = host.request("prompts/get", json!({"name": "one__greet", "arguments": {"who": "Ada"}}))["result"].clone();
    assert_eq!(got["messages"][0]["content"]["text"], "one: greet Ada [secret LEAKED_KEY]");
    assert!(host.close().success());
    let kept = std::fs::read_dir(home.path().join("state/perennial/offers")).unwrap().next().unwrap().unwrap().path();
    for file in std::fs::read_dir(kept).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.contains("greet") && !text.contains("a-value-nobody-knows"), "{text}");
    }
}
