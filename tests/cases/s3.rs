//! One library in a bucket for several hosts, on a real store.

use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, s3::Store};

/// A machine of its own whose library is in the bucket at `endpoint`.
pub(super) fn machine(endpoint: &str, deadline_s: f64) -> TestHome {
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

pub(super) fn save(host: &mut TestHost, id: &str, name: &str) -> Value {
    host.call("save-server", json!({"serverId": id, "name": name})).ok().facts()
}

pub(super) fn load(host: &mut TestHost, saved: &str) -> String {
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
