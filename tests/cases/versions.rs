//! The versions of saved servers: who saved what, what changed, the way back, and two hosts that meet at one of them.

use std::{fs, process::Output};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server};

#[rstest]
#[case::with_a_handshake(false)]
#[case::without_one(true)]
fn a_version_names_who_saved_it(#[case] modern: bool) {
    let home = TestHome::new().env("USER", "ada");
    let mut host = if modern { home.spawn() } else { home.start() };
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "2"},
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let mut call = |tool: &str, arguments: Value| {
        let mut params = json!({"name": tool, "arguments": arguments});
        if modern {
            params["_meta"] = meta.clone();
        }
        let answer = host.request("tools/call", params);
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["structuredContent"].clone()
    };
    let id =
        call("create-server-from-template", json!({"language": "python", "code": echo_server()}))["serverId"].clone();
    call("save-server", json!({"serverId": id, "name": "signed"}));
    let listed = call("list-saved-servers", json!({}));
    let by = &listed["servers"][0]["savedBy"];
    let client = if modern { ("modern", "2") } else { ("perennial-tests", "1") };
    assert_eq!((&by["client"]["name"], &by["client"]["version"]), (&json!(client.0), &json!(client.1)), "{by}");
    assert_eq!(by["host"]["user"], "ada", "{by}");
    assert_eq!(record(&home, id.as_str().unwrap(), 1)["savedBy"], *by);
    host.close();

    let installation = by["host"]["id"].as_str().unwrap().to_owned();
    let kept = fs::read_to_string(home.path().join("state/perennial/installation")).unwrap();
    assert_eq!(kept.trim(), installation);
    let shown = stdout(&home.run(&["show", "signed"]));
    assert!(shown.contains(&format!("with {} {}", client.0, client.1)), "{shown}");
}

#[test]
fn a_server_shows_what_changed_in_each_version() {
    let home = TestHome::new();
    let (mut host, id) = three_versions(&home);
    let history = host.call("get-server", json!({"serverId": id})).ok().facts()["history"].clone();
    assert_eq!(history["total"], 3, "{history}");
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.iter().map(|one| one["version"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(versions[0]["changes"], json!({"renamedFrom": "calc"}), "{history}");
    assert_eq!(versions[1]["changes"]["code"], json!({"added": 1, "removed": 1}), "{history}");
    assert!(versions[2].get("changes").is_none() && versions[2]["name"] == "calc", "{history}");
    host.close();

    // a library of one host is told by another as well
    let mut host = home.start();
    let history = host.call("get-server", json!({"serverId": "calculator"})).ok().facts();
    host.wait_for_state(history["serverId"].as_str().unwrap(), &["ready"]);
    let history = host.call("get-server", json!({"serverId": "calculator"})).ok().facts()["history"].clone();
    assert_eq!((&history["total"], &history["savedServerId"]), (&json!(3), &json!(id)), "{history}");
}

#[test]
fn a_history_is_shown_in_part_however_long_it_is() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    for _ in 0..15 {
        host.call("save-server", json!({"serverId": id, "name": "often"})).ok();
    }
    let history = host.call("get-server", json!({"serverId": id})).ok().facts()["history"].clone();
    assert_eq!((&history["total"], history["versions"].as_array().unwrap().len()), (&json!(15), 10), "{history}");
    let shown = stdout(&home.run(&["history", "often", "--limit", "2"]));
    assert!(shown.contains("and 13 earlier versions"), "{shown}");
}

#[test]
fn the_command_line_shows_compares_and_restores_versions() {
    let home = TestHome::new();
    let (host, id) = three_versions(&home);
    host.close();
    let shown = stdout(&home.run(&["history", "calculator"]));
    assert!(shown.contains("code +1 -1 lines") && shown.contains("renamed from \"calc\""), "{shown}");
    let told: Value = serde_json::from_slice(&home.run(&["history", &id, "--json"]).stdout).unwrap();
    assert_eq!((&told["savedServerId"], &told["total"]), (&json!(id), &json!(3)), "{told}");

    let diff = stdout(&home.run(&["history", &id, "--diff", "1", "2"]));
    assert!(diff.starts_with("--- version 1: source\n+++ version 2: source\n@@ -"), "{diff}");
    let lines = |sign: char| diff.lines().filter(|line| line.starts_with(sign)).count();
    assert_eq!((lines('+'), lines('-')), (2, 2), "{diff}");
    assert!(diff.contains("arguments[\"message\"].upper()"), "{diff}");
    let diff: Value =
        serde_json::from_slice(&home.run(&["history", &id, "--diff", "2", "3", "--json"]).stdout).unwrap();
    assert!(diff["diff"].as_str().unwrap().contains("+  \"name\": \"calculator\""), "{diff}");

    let restored: Value =
        serde_json::from_slice(&home.run(&["history", &id, "--restore", "1", "--json"]).stdout).unwrap();
    assert_eq!((&restored["version"], &restored["name"]), (&json!(4), &json!("calc")), "{restored}");
    let called = home.run(&["call", &id, "echo", r#"{"message": "hello"}"#]);
    assert_eq!(stdout(&called), "hello\n", "{called:?}");
    let old = record(&home, &id, 1);
    let new = record(&home, &id, 4);
    assert_eq!((&new["code"], &new["tools"]), (&old["code"], &old["tools"]));
    assert_ne!(new["savedAt"], old["savedAt"]);
    assert_eq!(new["savedBy"]["client"]["name"], "perennial", "{new}");
    assert!(stdout(&home.run(&["history", &id, "--restore", "4"])).contains("is the newest already"));
    assert!(home.run(&["history", &id, "--restore", "5"]).status.code() == Some(4));
}

#[rstest]
#[case::no_such_server(&["history", "server-000000000000"], 4)]
#[case::no_such_version(&["history", "calc", "--diff", "1", "9"], 4)]
#[case::one_version_alone(&["history", "calc", "--diff", "1"], 2)]
#[case::no_number(&["history", "calc", "--restore", "first"], 2)]
#[case::two_wishes(&["history", "calc", "--restore", "1", "--diff", "1", "2"], 2)]
fn what_cannot_be_shown_is_said(#[case] arguments: &[&str], #[case] code: i32) {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    host.close();
    let output = home.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_deletion_can_be_undone_from_the_command_line() {
    let home = TestHome::new();
    let (host, id) = three_versions(&home);
    host.close();
    let removed = stdout(&home.run(&["rm", &id]));
    assert!(removed.contains(&format!("perennial history {id} --restore 3")), "{removed}");
    assert_eq!(stdout(&home.run(&["list"])), "no saved servers\n");
    let deleted: Value = serde_json::from_slice(&home.run(&["ls", "--deleted", "--json"]).stdout).unwrap();
    assert_eq!((&deleted[0]["serverId"], &deleted[0]["version"]), (&json!(id), &json!(3)), "{deleted}");
    assert!(stdout(&home.run(&["list", "--deleted"])).contains("calculator"));
    assert!(stdout(&home.run(&["history", "calculator"])).contains("deleted"));

    let restored = stdout(&home.run(&["history", "calculator", "--restore", "3"]));
    assert!(restored.contains("as version 5"), "{restored}");
    assert!(stdout(&home.run(&["list"])).contains(&id));
    assert_eq!(stdout(&home.run(&["list", "--deleted"])), "no saved servers\n");
    let called = home.run(&["call", "calculator", "echo", r#"{"message": "back"}"#]);
    assert_eq!(stdout(&called), "BACK\n", "{called:?}");
}

#[test]
fn a_deletion_can_be_undone_in_the_chat_as_its_answer_says() {
    let home = TestHome::new();
    let (mut host, id) = three_versions(&home);
    let deleted = host.call("delete-saved-server", json!({"savedServerId": id})).ok();
    assert_eq!(deleted.first_line(), format!("🗑️ Saved server {id} deleted"));
    let told = deleted.text();
    assert!(told.contains("\"version\": 3") && told.contains("load-saved-server"), "{told}");
    host.call("delete-server", json!({"serverId": id})).ok();

    let loaded = host.call("load-saved-server", json!({"savedServerId": id, "version": 3})).ok().facts();
    let loaded = loaded["serverId"].as_str().unwrap().to_owned();
    host.wait_for_state(&loaded, &["ready"]);
    let saved = host.call("save-server", json!({"serverId": loaded, "name": "calculator"})).ok();
    assert_eq!((&saved.facts()["savedServerId"], &saved.facts()["version"]), (&json!(id), &json!(5)));
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains(&format!("📄 calculator (ID: {id}")));
}

#[test]
fn each_host_sees_what_the_other_does() {
    let home = TestHome::new();
    let (mut here, mut there) = (home.start(), home.start());
    let id = here.create_python(echo_server());
    here.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    assert!(there.call("list-saved-servers", json!({})).ok().text().contains(&id));
    assert_eq!(there.execute("shared", "echo", json!({"message": "by name"})).ok().text(), "by name");
    let loaded = load(&mut there, json!({"savedServerId": id}));
    there.call("save-server", json!({"serverId": loaded, "name": "shared"})).ok();

    // the other's save, the other's alias, and at last the other's deletion
    let history = here.call("get-server", json!({"serverId": id})).ok().facts()["history"].clone();
    assert_eq!(history["total"], 2, "{history}");
    load(&mut here, json!({"savedServerId": loaded}));
    there.call("delete-saved-server", json!({"savedServerId": id})).ok();
    assert_eq!(here.call("list-saved-servers", json!({})).ok().text(), "📂 No saved servers found");
    let error = here.call("load-saved-server", json!({"savedServerId": id})).error();
    assert!(error.contains(&id) && error.contains("was deleted, as of version 3"), "{error}");
    let back = here.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    assert!(back.text().contains("deleted meanwhile"), "{}", back.text());
    assert!(there.call("list-saved-servers", json!({})).ok().text().contains(&id));
    // the other id that it had got is one still
    assert_eq!(record(&home, &id, 4)["aliases"], json!([loaded]));
}

#[test]
fn a_save_that_comes_second_is_told_with_both_versions_and_every_way_on_works() {
    let home = TestHome::new().env("USER", "ada");
    let (mut here, mut there) = (home.start(), home.start());
    let id = here.create_python(echo_server());
    here.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    let loaded = load(&mut there, json!({"savedServerId": id}));
    there.call("update-server", json!({"serverId": loaded, "code": louder()})).ok();
    there.call("save-server", json!({"serverId": loaded, "name": "theirs"})).ok();
    let apart = there.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(apart.matches("📄").count(), 2, "{apart}");

    let second = load(&mut there, json!({"savedServerId": id}));
    there.call("update-server", json!({"serverId": second, "code": louder()})).ok();
    there.call("save-server", json!({"serverId": second, "name": "shared"})).ok();
    let conflict = here.call("save-server", json!({"serverId": id, "name": "shared"}));
    let data = conflict.facts()["error"]["data"].clone();
    let error = conflict.error();
    for told in ["version 2", "version 1", "ada", "perennial-tests", "load-saved-server", "under another name", &id] {
        assert!(error.contains(told), "{told} is missing in {error}");
    }
    assert_eq!((&data["current"], &data["base"], &data["name"]), (&json!(2), &json!(1), &json!("shared")), "{data}");

    let theirs = load(&mut here, json!({"savedServerId": id, "version": 2}));
    assert_eq!(here.execute(&theirs, "echo", json!({"message": "theirs"})).ok().text(), "THEIRS");
    let own = here.call("save-server", json!({"serverId": id, "name": "mine"})).ok().facts();
    assert_ne!(own["savedServerId"], json!(id), "{own}");
    assert_eq!(own["version"], 1, "{own}");
    let listed = here.call("list-saved-servers", json!({})).ok().text();
    assert_eq!(listed.matches("📄").count(), 3, "{listed}");
    assert_eq!(here.execute("mine", "echo", json!({"message": "mine"})).ok().text(), "mine");
    let again = here.call("save-server", json!({"serverId": id, "name": "mine"})).ok().facts();
    assert_eq!((&again["savedServerId"], &again["version"]), (&own["savedServerId"], &json!(2)), "{again}");
}

#[test]
fn a_conflict_can_be_decided_by_saving_on_top() {
    let home = TestHome::new();
    let (mut here, mut there) = (home.start(), home.start());
    let id = here.create_python(echo_server());
    here.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    let loaded = load(&mut there, json!({"savedServerId": id}));
    there.call("update-server", json!({"serverId": loaded, "code": louder()})).ok();
    there.call("save-server", json!({"serverId": loaded, "name": "shared"})).ok();
    here.call("save-server", json!({"serverId": id, "name": "shared"})).error();
    let top = here.call("save-server", json!({"serverId": id, "name": "shared"})).ok().facts();
    assert_eq!((&top["savedServerId"], &top["version"]), (&json!(id), &json!(3)), "{top}");
    for (version, expected) in [(1, "a"), (2, "A"), (3, "a")] {
        let loaded = load(&mut there, json!({"savedServerId": id, "version": version}));
        assert_eq!(there.execute(&loaded, "echo", json!({"message": "a"})).ok().text(), expected);
    }
}

#[test]
fn the_answers_begin_with_the_lines_of_the_guide() {
    let home = TestHome::new().env("USER", "ada");
    let (mut here, mut there) = (home.start(), home.start());
    let id = here.create_python(echo_server());
    let mut said = vec![here.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).ok().text()];
    let loaded = there.call("load-saved-server", json!({"savedServerId": id})).ok();
    said.push(loaded.first_line());
    let loaded = loaded.facts()["serverId"].as_str().unwrap().to_owned();
    there.wait_for_state(&loaded, &["ready"]);
    said.push(there.call("save-server", json!({"serverId": loaded, "name": "Mon serveur"})).ok().text());
    said.push(here.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).error());
    said.push(here.call("list-saved-servers", json!({})).ok().text());
    said.push(here.call("list-saved-servers", json!({"query": "another"})).ok().text());
    said.push(there.call("delete-saved-server", json!({"savedServerId": id})).ok().text());
    said.push(there.call("load-saved-server", json!({"savedServerId": id})).error());
    said.push(here.call("save-server", json!({"serverId": id, "name": "Mon serveur"})).ok().text());
    let text = said.join("\n=====\n").replace(&id, "SAVED").replace(&loaded, "LOADED").replace(&machine(), "MACHINE");
    insta::assert_snapshot!(without_times(&text));
}

#[test]
fn a_large_library_is_listed_in_pages_and_searched() {
    let home = TestHome::new();
    let records: serde_json::Map<String, Value> = (0..1000)
        .map(|number| {
            let id = format!("server-{number:012x}");
            let record = json!({
                "name": format!("number {number}"), "code": "x", "language": "python",
                "savedAt": format!("2024-01-01T00:{:02}:{:02}.000Z", number / 60, number % 60), "serverId": id
            });
            (id, record)
        })
        .collect();
    fs::create_dir_all(home.data_dir()).unwrap();
    fs::write(home.saved_servers(), serde_json::to_string_pretty(&records).unwrap()).unwrap();
    let mut host = home.start();
    let first = host.call("list-saved-servers", json!({})).ok();
    let (text, facts) = (first.text(), first.facts());
    assert_eq!((facts["servers"].as_array().unwrap().len(), &facts["total"]), (50, &json!(1000)));
    assert!(text.contains("📄 number 999 (") && text.contains("📄 number 950 (") && !text.contains("number 949 ("));
    let cursor = facts["cursor"].as_str().unwrap();
    assert!(text.ends_with("`query` searches") && text.contains(cursor), "{text}");
    let second = host.call("list-saved-servers", json!({"cursor": cursor, "limit": 200})).ok().text();
    assert!(second.contains("📄 number 949 (") && second.contains("📄 number 750 ("), "{second}");
    let found = host.call("list-saved-servers", json!({"query": "python NUMBER 999"})).ok().facts();
    assert_eq!((&found["total"], &found["servers"][0]["name"]), (&json!(1), &json!("number 999")), "{found}");
    for wrong in [json!({"limit": 0}), json!({"limit": 100_000}), json!({"filter": "x"})] {
        host.call("list-saved-servers", wrong).error();
    }
}

/// A server that was saved three times: as `calc`, with another line of code, and as `calculator`.
fn three_versions(home: &TestHome) -> (TestHost, String) {
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    host.call("update-server", json!({"serverId": id, "code": louder()})).ok();
    for name in ["calc", "calculator"] {
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
    }
    (host, id)
}

fn louder() -> String {
    echo_server().replace("arguments[\"message\"]}", "arguments[\"message\"].upper()}")
}

fn load(host: &mut TestHost, arguments: Value) -> String {
    let id = host.call("load-saved-server", arguments).ok().facts()["serverId"].as_str().unwrap().to_owned();
    host.wait_for_state(&id, &["ready"]);
    id
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The text with every time in the guide's form as `TIME`.
fn without_times(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(end) = rest.find("Z") {
        let (before, after) = rest.split_at(end + 1);
        let is_time = |time: &str| time.parse::<chrono::DateTime<chrono::Utc>>().is_ok();
        match before.len().checked_sub(24).and_then(|begin| before.split_at_checked(begin)) {
            Some((text, time)) if is_time(time) => shown.extend([text, "TIME"]),
            _ => shown.push_str(before),
        }
        rest = after;
    }
    shown + rest
}

fn record(home: &TestHome, id: &str, version: u64) -> Value {
    let file = home.data_dir().join(format!("saved_servers.d/s/{id}/{version:010}.json"));
    let envelope: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    envelope["record"].clone()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
