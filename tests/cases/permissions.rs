//! What a server may do: asked for, granted below the operator's ceiling, kept, and told.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{FixtureRegistry, TestHome, TestHost, echo_server};

fn asking(permissions: &Value) -> Value {
    json!({"language": "python", "code": echo_server(), "permissions": permissions})
}

/// What the model is told that asked for too much, without where the test runs.
fn denied(home: &TestHome, host: &mut TestHost, arguments: Value) -> String {
    let reply = host.call("create-server-from-template", arguments);
    assert_eq!(reply.facts()["error"]["code"], "denied");
    reply.error().replace(home.path().to_str().unwrap(), "…")
}

#[test]
fn what_is_above_the_ceiling_is_denied_with_the_lines_that_would_allow_it() {
    let home = TestHome::new().config("[policy]\nnetwork = [\"hosts\", \"10.0.0.5:5432\"]\n");
    let mut host = home.start();
    let permissions =
        json!({"network": ["api.example.com:443", "10.0.0.6:5432"], "read": ["/etc"], "env": ["API_TOKEN"]});
    let mut asked = asking(&permissions);
    asked["limits"] = json!({"memory_mb": 2048});
    insta::assert_snapshot!(denied(&home, &mut host, asked));
    assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"), "nothing is left of it");
    let error = host.call("create-server-from-template", asking(&json!({"network": ["https://api.example.com/"]})));
    assert_eq!(error.facts()["error"]["code"], "invalid");
    assert!(error.error().contains("write `api.example.com:443`"));
}

#[test]
fn what_is_granted_is_told_and_kept() {
    let home = TestHome::new();
    let mut host = home.start();
    let permissions = json!({"network": ["api.example.com:443"]});
    let mut asked = asking(&permissions);
    asked["limits"] = json!({"memory_mb": 256, "call_timeout_s": 10});
    let created = host.call("create-server-from-template", asked).ok();
    assert!(created.text().lines().any(|line| line.starts_with("enforced: ")), "{}", created.text());
    let facts = created.facts();
    assert_eq!(facts["granted"], json!({"network": ["api.example.com:443"], "read": [], "write": [], "env": []}));
    assert_eq!((&facts["bounds"]["memory_mb"], &facts["withheld"]), (&json!(256), &json!([])));
    assert!(facts["enforced"].is_array());
    let id = facts["serverId"].as_str().unwrap().to_owned();
    let shown = host.call("get-server", json!({"serverId": id})).ok().facts();
    assert_eq!((&shown["granted"], &shown["denied"]), (&facts["granted"], &json!([])));
    host.call("save-server", json!({"serverId": id, "name": "asks"})).ok();
    host.close();
    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["record"]["permissions"], permissions);
    assert_eq!(record["record"]["limits"], json!({"memory_mb": 256, "call_timeout_s": 10.0}));

    let mut host = home.start();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok().facts();
    assert_eq!((&loaded["granted"], &loaded["bounds"]), (&facts["granted"], &facts["bounds"]));
}

#[test]
fn a_saved_server_gets_what_is_still_allowed_and_tells_the_rest() {
    let home = TestHome::new().config("[policy]\nnetwork = \"all\"\n");
    let mut host = home.start();
    let id = host.create(asking(&json!({"network": ["api.example.com:443", "10.0.0.5:5432"]})));
    host.call("save-server", json!({"serverId": id, "name": "asks"})).ok();
    host.close();

    let home = home.config("[policy]\nnetwork = \"hosts\"\n");
    let mut host = home.start();
    let loaded = host.call("load-saved-server", json!({"savedServerId": id})).ok();
    let facts = loaded.facts();
    assert_eq!(facts["granted"]["network"], json!(["api.example.com:443"]));
    assert_eq!(facts["withheld"][0]["asked"], "10.0.0.5:5432");
    let withheld = loaded.text();
    let withheld = withheld.split_once("withheld: ").unwrap().1;
    assert!(
        withheld.contains("network = [\"hosts\", \"10.0.0.5:5432\"]") && withheld.contains("perennial.toml"),
        "{withheld}"
    );
    // changing its code asks for nothing new, and takes nothing away for good
    let loaded = facts["serverId"].as_str().unwrap();
    let code = format!("{}# more\n", echo_server());
    let updated = host.call("update-server", json!({"serverId": loaded, "code": code})).ok();
    assert!(updated.text().contains("withheld: "), "{}", updated.text());
    host.call("save-server", json!({"serverId": loaded, "name": "asks"})).ok();
    let shown = host.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!(shown["permissions"]["network"], json!(["api.example.com:443", "10.0.0.5:5432"]));
    host.call("update-server", json!({"serverId": loaded, "permissions": {"network": ["10.0.0.5:5432"]}})).error();
}

#[test]
fn an_update_that_widens_says_so() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create(asking(&json!({"network": ["a.example.com:443"]})));
    let wider = json!({
        "serverId": id,
        "permissions": {"network": ["a.example.com:443", "b.example.com:443"]},
        "limits": {"memory_mb": 128}
    });
    let updated = host.call("update-server", wider).ok();
    let said = updated.text();
    let changed = "permissions: this gives the server more than it had\n+ network b.example.com:443\n~ memory_mb the operator's → 128";
    assert!(said.contains(changed), "{said}");
    let expected = json!({
        "added": ["network b.example.com:443"], "removed": [], "limits": ["memory_mb the operator's → 128"], "widened": true
    });
    assert_eq!(updated.facts()["permissionsChanged"], expected);
    let error = host.call("update-server", json!({"serverId": id, "permissions": {"network": "all"}})).error();
    assert!(error.contains("goes on with its former code"), "{error}");
    let same = host.call("update-server", json!({"serverId": id, "code": echo_server()})).ok();
    assert!(same.facts().get("permissionsChanged").is_none() && !same.text().contains("permissions:"));
}

#[test]
fn a_hang_up_moves_the_ceiling() {
    let home = TestHome::new().config("[policy]\nnetwork = \"none\"\n[limits]\nmemory_mb = 64\n");
    let mut host = home.start();
    let asked = asking(&json!({"network": ["api.example.com:443"]}));
    let error = denied(&home, &mut host, asked.clone());
    assert!(error.contains("network = [\"api.example.com:443\"]"), "{error}");
    let home = home.config("[policy]\nnetwork = [\"api.example.com:443\"]\n[limits]\nmemory_mb = 128\n");
    host.hang_up();
    host.wait_for_stderr("policy.network \"none\" → [\"api.example.com:443\"]");
    let created = host.call("create-server-from-template", asked).ok().facts();
    assert_eq!(created["bounds"]["memory_mb"], 128);
    host.close();
    drop(home);
}

#[test]
fn a_variable_that_goes_before_the_file_is_named() {
    let home = TestHome::new().config("").env("PERENNIAL_POLICY_NETWORK", "none");
    let mut host = home.start();
    let error = denied(&home, &mut host, asking(&json!({"network": ["api.example.com:443"]})));
    assert!(error.contains("without the environment variable `PERENNIAL_POLICY_NETWORK`"), "{error}");
}

#[test]
fn without_a_sandbox_every_result_says_so() {
    let home = TestHome::new().config("[policy]\nsandbox = \"off\"\n");
    let mut host = home.start();
    let created = host.call("create-server-from-template", asking(&json!({}))).ok();
    let line = "enforced: nothing, since the configuration says `sandbox = \"off\"`; the server runs with the rights of the user";
    assert!(created.text().contains(line), "{}", created.text());
    let id = created.facts()["serverId"].clone();
    let code = format!("{}# more\n", echo_server());
    assert!(host.call("update-server", json!({"serverId": id, "code": code})).ok().text().contains(line));
}

#[test]
fn a_sandbox_that_is_required_is_there_or_nothing_starts() {
    let home = TestHome::new().config("[policy]\nsandbox = \"require\"\n");
    let mut host = home.start();
    let reply = host.call("create-server-from-template", asking(&json!({})));
    if reply.raw()["isError"] == true {
        assert!(reply.error().contains("require"));
        assert!(!host.call("list-servers", json!({})).ok().text().contains("server-"));
    } else {
        let measures = reply.facts()["enforced"].as_array().unwrap().clone();
        assert!(!measures.is_empty() && measures.iter().all(|measure| measure["by"].is_string()), "{measures:?}");
    }
}

#[rstest]
#[case::home("~")]
#[case::library("~/../data/perennial")]
#[case::outside("/etc")]
fn folders_need_the_operator(#[case] folder: &str) {
    let home = TestHome::new();
    let folder = folder.replace("~/..", home.path().to_str().unwrap());
    fs::create_dir_all(home.data_dir()).unwrap();
    let home = home.config("[policy]\nread = [\"~/books\"]\n");
    fs::create_dir(home.path().join("home/books")).unwrap();
    let mut host = home.start();
    host.create(asking(&json!({"read": ["~/books"]})));
    let error = denied(&home, &mut host, asking(&json!({"read": [folder]})));
    assert!(error.contains("read = [\"~/books\", "), "{error}");
}

const REACHING: &str = include_str!("../fixtures/reaching_server.py");

/// Whether this machine, and this build for it, sees to a thing.
fn enforces(facts: &Value, what: &str) -> bool {
    let measures = facts["enforced"].as_array().unwrap();
    measures.iter().any(|measure| measure["what"] == what && measure["by"].is_string())
}

#[test]
fn a_server_reaches_what_it_was_granted_and_its_errors_name_what_it_was_not() {
    let (granted, other) = (FixtureRegistry::start(), FixtureRegistry::start());
    let (place, elsewhere) = (granted.host(), other.host());
    let home = TestHome::new().config(&format!("[policy]\nnetwork = [{place:?}]\n"));
    let mut host = home.start();
    let arguments = json!({"language": "python", "code": REACHING, "permissions": {"network": [place]}});
    let created = host.call("create-server-from-template", arguments).ok().facts();
    let id = created["serverId"].as_str().unwrap().to_owned();
    let page = |host: &str| json!({"url": format!("http://{host}/simple/greeting/")});
    assert!(host.execute(&id, "get", page(&place)).ok().text().contains("greeting"));
    if !enforces(&created, "network") {
        eprintln!("nothing on this machine keeps a server from the network");
        return;
    }
    let error = host.execute(&id, "get", page(&elsewhere)).error();
    let denied = format!("denied: `{elsewhere}` is not granted to this server; `update-server` with `permissions`");
    assert!(error.contains("403") && error.contains(&denied), "{error}");
    let polite = host.execute(&id, "polite", page(&elsewhere)).ok().text();
    assert!(!polite.contains("denied: `"), "what is no failure passes as it came: {polite}");
    let metadata = host.execute(&id, "get", json!({"url": "http://169.254.169.254/latest/meta-data/"})).error();
    assert!(metadata.contains("denied: `169.254.169.254:80`"), "{metadata}");
    assert!(!metadata.contains(&elsewhere), "each call tells its own: {metadata}");
    let port: u16 = elsewhere.rsplit_once(':').unwrap().1.parse().unwrap();
    let raw = host.execute(&id, "connect", json!({"host": "127.0.0.1", "port": port})).error();
    assert!(raw.contains("through the HTTP proxy that `HTTPS_PROXY`"), "{raw}");
    assert_eq!(other.requests(), [""; 0]);
    let shown = host.call("get-server", json!({"serverId": id})).ok().facts();
    let denied = shown["denied"].as_array().unwrap();
    assert_eq!((&denied[0]["to"], &denied[0]["count"]), (&json!(elsewhere), &json!(2)), "{denied:?}");

    let bare = host.create_python(REACHING);
    let error = host.execute(&bare, "get", page(&place)).error();
    assert!(error.contains("this server was granted no network") && error.contains("\"network\": ["), "{error}");
}

#[test]
fn a_server_reads_and_writes_what_it_was_granted() {
    let home = TestHome::new();
    let (books, notes) = (home.path().join("home/books"), home.path().join("home/notes"));
    for folder in [&books, &notes] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("a.txt"), "some text").unwrap();
    }
    fs::write(home.path().join("home/private"), "nobody's business").unwrap();
    let home = home.config("[policy]\nread = [\"~/books\"]\nwrite = [\"~/notes\"]\n");
    let mut host = home.start();
    let permissions = json!({"read": ["~/books"], "write": ["~/notes"]});
    let arguments = json!({"language": "python", "code": REACHING, "permissions": permissions});
    let created = host.call("create-server-from-template", arguments).ok().facts();
    let id = created["serverId"].as_str().unwrap().to_owned();
    for (tool, path) in [("read", books.join("a.txt")), ("read", notes.join("a.txt")), ("write", notes.join("b.txt"))] {
        host.execute(&id, tool, json!({ "path": path })).ok();
    }
    assert!(notes.join("b.txt").exists());
    if !enforces(&created, "files") {
        eprintln!("nothing on this machine keeps a server from files");
        return;
    }
    for (tool, path) in [("read", home.path().join("home/private")), ("write", books.join("b.txt"))] {
        host.execute(&id, tool, json!({ "path": path })).error();
    }
    assert!(!books.join("b.txt").exists());
}
