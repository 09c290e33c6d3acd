//! One library in a bucket for several hosts, on a real store.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    TestHome, TestHost, echo_server,
    s3::{Fault, Proxy, Store},
};

/// A machine of its own whose library is in the bucket at `endpoint`.
fn machine(endpoint: &str, deadline_s: f64) -> TestHome {
    machine_with("s3", endpoint, deadline_s)
}

/// A machine of its own that knows the bucket, with its library in the storage of this name.
fn machine_with(storage: &str, endpoint: &str, deadline_s: f64) -> TestHome {
    TestHome::new().env("STORE_SECRET", "secret-of-everything").config(&format!(
        "[storage]\nuse = \"{storage}\"\n[plugins.s3.config]\nbucket = \"servers\"\nprefix = \"team\"\n\
         endpoint = \"{endpoint}\"\naccess_key_id = \"everything\"\nsecret_access_key = \"${{env:STORE_SECRET}}\"\n\
         timeout_s = {deadline_s}\ndeadline_s = {deadline_s}\n"
    ))
}

fn save(host: &mut TestHost, id: &str, name: &str) -> Value {
    host.call("save-server", json!({"serverId": id, "name": name})).ok().facts()
}

fn load(host: &mut TestHost, saved: &str) -> String {
    let text = host.call("load-saved-server", json!({"savedServerId": saved})).ok().first_line();
    text.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn what_one_host_saves_another_lists_loads_and_executes() {
    let store = Store::seaweedfs();
    let (here, there) = (machine(&store.endpoint(), 20.0), machine(&store.endpoint(), 20.0));
    let (mut a, mut b) = (here.start(), there.start());
    let id = a.create_python(echo_server());
    let saved = save(&mut a, &id, "shared");
    assert_eq!(saved["location"], format!("s3://servers/team at {}", store.endpoint()));
    a.close();
    let listed = b.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 shared ("), "{listed}");
    let loaded = load(&mut b, &id);
    assert_eq!(b.execute(&loaded, "echo", json!({"message": "hello"})).ok().text(), "hello");
    assert_eq!(save(&mut b, &loaded, "shared")["version"], 2);
    b.close();
    let shown = String::from_utf8(here.run(&["show", "shared", "--json"]).stdout).unwrap();
    assert!(shown.contains(&id), "{shown}");
    assert!(!here.saved_servers().exists(), "the bucket is the only library");
}

#[test]
fn two_hosts_that_save_the_same_server_at_once_lose_nothing_and_are_told() {
    let store = Store::seaweedfs();
    let (here, there) = (machine(&store.endpoint(), 20.0), machine(&store.endpoint(), 20.0));
    let (mut a, mut b) = (here.start(), there.start());
    let id = a.create_python(echo_server());
    save(&mut a, &id, "shared");
    let (in_a, in_b) = (load(&mut a, &id), load(&mut b, &id));
    let (call_a, call_b) = (
        a.begin_call("save-server", json!({"serverId": in_a, "name": "shared"})),
        b.begin_call("save-server", json!({"serverId": in_b, "name": "shared"})),
    );
    let (answer_a, answer_b) = (a.answer(&call_a)["result"].clone(), b.answer(&call_b)["result"].clone());
    let refused: Vec<_> = [&answer_a, &answer_b].into_iter().filter(|answer| answer["isError"] == true).collect();
    assert_eq!(refused.len(), 1, "{answer_a} {answer_b}");
    let told = refused[0]["content"][0]["text"].as_str().unwrap();
    assert!(told.contains("version 2") && told.contains("load-saved-server"), "{told}");
    let (loser, server) = if answer_a["isError"] == true { (&mut a, in_a) } else { (&mut b, in_b) };
    assert_eq!(save(loser, &server, "shared")["version"], 3, "the loser goes on top when it says so again");
}

#[test]
fn a_library_moves_into_the_bucket_and_back_with_all_its_versions() {
    let store = Store::seaweedfs();
    let (old, new) = (machine_with("json", &store.endpoint(), 20.0), machine(&store.endpoint(), 20.0));
    let mut host = old.start();
    let (kept, gone) = (host.create_python(echo_server()), host.create_python(echo_server()));
    save(&mut host, &kept, "first");
    save(&mut host, &kept, "moved");
    save(&mut host, &gone, "gone");
    host.call("delete-saved-server", json!({"savedServerId": gone})).ok();
    host.close();
    let copy = |from: &str, to: &str| -> Value {
        let copied = old.run(&["copy", "--from", from, "--to", to, "--json"]);
        assert!(copied.status.success(), "{copied:?}");
        serde_json::from_slice::<Value>(&copied.stdout).unwrap()["tally"].clone()
    };
    let tally = copy("json", "s3");
    assert_eq!((&tally["copied"], &tally["versions"]), (&json!(2), &json!(4)), "{tally}");
    assert_eq!(copy("json", "s3")["unchanged"], 2);
    let called = new.run(&["call", "moved", "echo", r#"{"message": "there"}"#]);
    assert_eq!(String::from_utf8(called.stdout).unwrap(), "there\n");
    assert!(new.run(&["history", &gone, "--restore", "1"]).status.success());
    assert_eq!(copy("s3", "json:path=back.json")["versions"], 5);
    let back: Value = serde_json::from_slice(&std::fs::read(old.path().join("run/back.json")).unwrap()).unwrap();
    assert_eq!((&back[&kept]["name"], &back[&gone]["name"]), (&json!("moved"), &json!("gone")));
}

#[test]
fn while_the_store_is_away_servers_go_on_and_afterwards_nothing_is_lost() {
    let mut store = Store::seaweedfs();
    let (elsewhere, home) = (machine(&store.endpoint(), 20.0), machine(&store.endpoint(), 4.0));
    let mut patient = elsewhere.start();
    let first = patient.create_python(echo_server());
    save(&mut patient, &first, "before");
    patient.close();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    store.stop();
    let error = host.call("save-server", json!({"serverId": id, "name": "meanwhile"})).error();
    assert!(error.contains(&store.endpoint()) && error.contains("`servers`"), "{error}");
    assert!(!error.contains("secret-of"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "still");
    let another = host.create_python(echo_server());
    assert_eq!(host.execute(&another, "echo", json!({"message": "new"})).ok().text(), "new");
    let error = host.call("list-saved-servers", json!({})).error();
    assert!(error.contains(&store.endpoint()), "{error}");
    store.start_again();
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let reply = host.call("save-server", json!({"serverId": id, "name": "meanwhile"}));
        if reply.raw()["isError"] != true {
            break;
        }
        assert!(Instant::now() < deadline, "the store is not used again: {}", reply.error());
    }
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 before (") && listed.contains("📄 meanwhile ("), "{listed}");
    let loaded = load(&mut host, &first);
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "back"})).ok().text(), "back");
}

#[test]
fn the_host_is_there_at_once_though_the_store_never_answers() {
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = machine(&format!("http://{}", hole.local_addr().unwrap()), 600.0);
    let mut host = home.start();
    let tools = host.request("tools/list", json!({}));
    assert!(tools["result"]["tools"].as_array().unwrap().len() > 5, "{tools}");
    let id = host.create_python(echo_server());
    assert_eq!(host.execute(&id, "echo", json!({"message": "alive"})).ok().text(), "alive");
    host.begin_call("save-server", json!({"serverId": id, "name": "never"}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "beside"})).ok().text(), "beside");
    assert!(host.close().success(), "it ends though a save still waits");
}

#[test]
fn a_save_whose_answer_was_lost_is_there_once() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let home = machine(&proxy.endpoint(), 20.0);
    let mut host = home.start();
    let id = host.create_python(echo_server());
    save(&mut host, &id, "first");
    for (version, fault) in (2..).zip([Fault::AppliedThenStatus(500), Fault::AppliedThenCut, Fault::TornUpload]) {
        proxy.plan("PUT", &id, fault);
        assert_eq!(save(&mut host, &id, "again")["version"], version, "{fault:?}");
    }
}

#[test]
fn a_mistake_in_the_configuration_is_shown_at_its_line() {
    let home = TestHome::new().config(
        "[storage]\nuse = \"s3\"\n[plugins.s3.config]\nbucket = \"b\"\nendpoint = \"http://storage.example.com\"\n",
    );
    let checked = home.run(&["config", "check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(3), "{said}");
    assert!(said.contains("perennial.toml:5:") && said.contains("allow_http"), "{said}");
    let home = TestHome::new().config("[storage]\nuse = \"s3\"\n");
    let listed = home.run(&["list"]);
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(!listed.status.success() && said.contains("`bucket`"), "{said}");
}
