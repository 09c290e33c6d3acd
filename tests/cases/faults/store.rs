//! A store of objects that is down, slow, refuses or forgets to answer.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    cases::s3::{load, machine, save},
    support::{
        echo_server,
        s3::{Fault, Proxy, Store},
    },
};

#[test]
fn fault_38_what_passes_is_tried_again_and_what_does_not_names_the_store() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let home = machine(&proxy.endpoint(), 20.0);
    let mut host = home.start();
    let id = host.create_python(echo_server());
    save(&mut host, &id, "first");
    let passing = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Cut,
        Fault::Delay(1500),
        Fault::TornUpload,
        Fault::AppliedThenStatus(503),
        Fault::AppliedThenCut,
    ];
    for (version, fault) in (2..).zip(passing) {
        proxy.plan("PUT", &id, fault);
        assert_eq!(save(&mut host, &id, "again")["version"], version, "{fault:?}");
    }
    proxy.plan("PUT", &id, Fault::Status(403));
    let error = host.call("save-server", json!({"serverId": id, "name": "refused"})).error();
    assert!(error.contains(&proxy.endpoint()) && error.contains("`servers`"), "{error}");
    assert!(!error.contains("secret-of"), "{error}");
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "still");
    assert_eq!(save(&mut host, &id, "again")["version"], 2 + passing.len());
    // somebody else was first, says the store
    proxy.plan("PUT", &id, Fault::Status(412));
    let reply = host.call("save-server", json!({"serverId": id, "name": "contested"}));
    assert_eq!(host.execute(&id, "echo", json!({"message": "still"})).ok().text(), "still");
    let expected = if reply.raw()["isError"] == true { 3 } else { 4 } + passing.len();
    assert_eq!(save(&mut host, &id, "again")["version"], expected, "{}", reply.text());
    host.close();
    for fault in [Fault::Status(503), Fault::TornAnswer, Fault::Cut] {
        let mut host = home.start();
        proxy.plan("GET", &id, fault);
        let loaded = load(&mut host, &id);
        assert_eq!(host.execute(&loaded, "echo", json!({"message": "back"})).ok().text(), "back", "{fault:?}");
    }
}

#[test]
fn fault_36_two_hosts_that_save_the_same_server_at_once_lose_nothing_and_are_told() {
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
fn fault_38_while_the_store_is_away_servers_go_on_and_afterwards_nothing_is_lost() {
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
fn fault_38_the_host_is_there_at_once_though_the_store_never_answers() {
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
fn fault_38_a_save_whose_answer_was_lost_is_there_once() {
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
