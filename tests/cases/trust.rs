//! What comes back from a library that others can write: nothing of it runs unnoticed, or with rights that nobody gave.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use super::protocol::modern;
use crate::support::{TestHome, TestHost, echo_server, misbehaving_server};

const HOST: &str = "api.example.com:443";

#[test]
fn a_version_that_does_not_match_its_hash_is_set_aside() {
    let home = TestHome::new();
    let mut host = home.start();
    let [flipped, edited, whole] = ["flipped", "edited", "whole"].map(|name| {
        let id = host.create_python(echo_server());
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
        id
    });
    host.close();
    let (bit, text) = (object(&home, &flipped, 1), object(&home, &edited, 1));
    let mut bytes = fs::read(&bit).unwrap();
    let place = bytes.windows(4).position(|window| window == b"echo").unwrap();
    bytes[place] ^= 1;
    overwrite_unnoticed(&bit, &bytes);
    let changed = fs::read_to_string(&text).unwrap().replace("Gives the message back", "Gives the message away");
    fs::write(&text, &changed).unwrap();

    let mut host = home.start();
    for id in [&flipped, &edited] {
        for tool in ["load-saved-server", "execute-tool"] {
            let arguments = match tool {
                "load-saved-server" => json!({"savedServerId": id}),
                _ => json!({"serverId": id, "toolName": "echo", "args": {"message": "x"}}),
            };
            let error = host.call(tool, arguments).error();
            assert!(error.contains("checksum does not match: it was changed after it was saved"), "{error}");
            assert!(error.contains("load an older version, or save the server again"), "{error}");
        }
    }
    assert!(host.call("list-servers", json!({})).ok().facts()["servers"].as_array().unwrap().is_empty());
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains(&edited) && listed.contains("📄 whole ("), "{listed}");
    assert!(listed.contains("cannot be loaded: its checksum does not match"), "{listed}");
    let loaded = load(&mut host, json!({"savedServerId": whole})).0;
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "well"})).ok().text(), "well");
    host.close();
    assert_eq!((fs::read(&bit).unwrap(), fs::read_to_string(&text).unwrap()), (bytes, changed));
}

#[test]
fn what_another_installation_saved_waits_for_an_approval() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let id = saved(&mut host, "weather", echo_server());
    let (loaded, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(!told.contains("withheld"), "{told}");
    assert_eq!(permissions(&mut host, &loaded), json!({"network": [HOST]}));

    let mut other = there.start();
    let listed = other.call("list-saved-servers", json!({})).ok();
    let lines: Vec<_> = listed.text().lines().map(str::to_owned).collect();
    assert!(lines[1].starts_with("📄 weather (ID: "), "{lines:?}");
    assert_eq!(lines[2], format!("   approval pending: network {HOST}: `perennial approve {id}`"));
    assert_eq!(listed.facts()["servers"][0]["approvalPending"], true);
    let (loaded, told) = load(&mut other, json!({"savedServerId": id}));
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told[0], format!("✅ Saved server loaded as new server: {loaded}"));
    assert!(told.contains(&format!("withheld: network {HOST}").as_str()), "{told:?}");
    let facts = other.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!(facts["permissions"], json!({"network": "none"}));
    let remedy = format!("perennial approve {id}");
    assert_eq!(facts["withheld"], json!({"permissions": {"network": [HOST]}, "remedy": remedy}));
    assert_eq!(other.execute(&loaded, "echo", json!({"message": "runs"})).ok().text(), "runs");

    let shown = text(&there.run(&["show", "weather"]).stdout);
    assert!(shown.contains(&format!("pending: {remedy}")), "{shown}");
    let listing = text(&there.run(&["list"]).stdout);
    assert!(listing.contains("(approval pending)"), "{listing}");
    let refused = there.run(&["approve", "weather"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let asked = text(&refused.stderr);
    assert!(asked.contains(&format!("network {HOST}")) && asked.contains("--yes"), "{asked}");
    assert!(asked.contains("no version of it was approved before"), "{asked}");
    let approved = text(&there.run(&["approve", "weather", "--yes"]).stdout);
    assert!(
        approved.starts_with("approved version 1 of \"weather\"") && approved.contains("load it again"),
        "{approved}"
    );
    let again = text(&there.run(&["approve", "weather"]).stdout);
    assert!(again.contains("is approved already, by `perennial approve`"), "{again}");

    // the host that runs already takes it from the next load on
    let running = other.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!(running["permissions"], json!({"network": "none"}));
    let (loaded, told) = load(&mut other, json!({"savedServerId": id}));
    assert!(!told.contains("withheld"), "{told}");
    assert_eq!(permissions(&mut other, &loaded), json!({"network": [HOST]}));
    assert!(!other.call("list-saved-servers", json!({})).ok().text().contains("approval"));
    let mode = fs::metadata(approvals(&there)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn new_code_needs_a_new_approval_whoever_it_says_that_saved_it() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = saved(&mut host, "weather", echo_server());
    let ours = view(&home)[&id]["savedBy"].clone();
    assert!(ours["host"]["id"].is_string(), "{ours}");
    edit(&home, &id, |record| record["code"] = echo_server().replace("Adds two", "Adds all").into());
    let (loaded, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(told.contains("withheld: network"), "{told}");
    assert_eq!(permissions(&mut host, &loaded), json!({"network": "none"}));
    let record = json_of(&home.run(&["show", &id, "--json"]));
    assert_eq!((&record["version"], &record["savedBy"]), (&json!(2), &ours), "it claims to be ours");
    let review = home.run(&["approve", &id]);
    let review = text(&review.stderr);
    assert!(review.contains("since version 1, which was approved: code +1 -1 lines"), "{review}");
    assert!(review.contains("\n-        \"description\": \"Adds two integers\""), "{review}");
    let (_, told) = load(&mut host, json!({"savedServerId": id, "version": 1}));
    assert!(!told.contains("withheld"), "what was saved here is what it was: {told}");
}

#[test]
fn an_import_that_says_it_is_ours_is_from_outside() {
    let (home, other) = (TestHome::new(), TestHome::new());
    let mut host = home.start();
    let id = saved(&mut host, "weather", echo_server());
    let mut own = other.start();
    let _ = saved(&mut own, "own", echo_server());
    own.close();
    let ours = view(&other).as_object().unwrap().values().next().unwrap()["savedBy"].clone();
    let mut bundle = json_of(&home.run(&["export", &id]));
    bundle["record"]["savedBy"] = ours;
    let file = other.path().join("bundle.json");
    fs::write(&file, bundle.to_string()).unwrap();
    let imported = other.run(&["import", "--edited", file.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    let rows = json_of(&other.run(&["approve", "--list", "--json"]));
    let pending: Vec<_> = rows.as_array().unwrap().iter().map(|row| (&row["name"], &row["pending"])).collect();
    assert!(
        pending.contains(&(&json!("weather"), &json!(true))) && pending.contains(&(&json!("own"), &json!(false))),
        "{rows}"
    );
    // back where it was saved it is the very same content
    let back = home.run(&["approve", &id]);
    assert!(text(&back.stdout).contains("approved already, it was saved here"), "{back:?}");
}

#[test]
fn an_approval_holds_for_its_content_alone_until_it_is_taken_back() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = saved(&mut host, "weather", echo_server());
    host.call("update-server", json!({"serverId": id, "code": echo_server().replace("Adds two", "Adds 2")})).ok();
    host.call("save-server", json!({"serverId": id, "name": "weather"})).ok();

    // somebody puts the first version back on top: it was approved, and is what it was
    edit(&home, &id, |record| record["code"] = echo_server().into());
    let (_, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(!told.contains("withheld"), "{told}");
    // the same under another id is not that server
    let mut servers = view(&home);
    servers["server-other"] = servers[&id].clone();
    servers["server-other"]["serverId"] = json!("server-other");
    servers["server-other"]["name"] = json!("copied");
    fs::write(home.saved_servers(), serde_json::to_string_pretty(&servers).unwrap()).unwrap();
    assert!(load(&mut host, json!({"savedServerId": "server-other"})).1.contains("withheld"));
    // nor with other permissions, be they fewer beside more
    edit(&home, &id, |record| record["permissions"] = json!({"network": ["elsewhere.example.com:443"]}));
    let (_, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(told.contains("withheld: network elsewhere.example.com:443"), "{told}");

    let revoked = home.run(&["approve", &id, "--revoke", "--version", "1"]);
    assert!(text(&revoked.stdout).starts_with("took back 1 approval of"), "{revoked:?}");
    let (_, told) = load(&mut host, json!({"savedServerId": id, "version": 1}));
    assert!(told.contains("withheld") && told.contains(&format!("`perennial approve {id} --version 1`")), "{told}");
    assert!(!load(&mut host, json!({"savedServerId": id, "version": 2})).1.contains("withheld"));
    let revoked = json_of(&home.run(&["approve", &id, "--revoke", "--json"]));
    assert_eq!(revoked["revoked"], 1, "{revoked}");
    assert!(load(&mut host, json!({"savedServerId": id, "version": 2})).1.contains("withheld"));
}

#[test]
fn saving_what_is_withheld_approves_nothing() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let id = saved(&mut host, "weather", echo_server());
    let mut other = there.start();
    let (loaded, _) = load(&mut other, json!({"savedServerId": id}));
    let told = other.call("save-server", json!({"serverId": loaded, "name": "weather"})).ok();
    assert!(told.text().contains(&format!("`perennial approve {id}`")), "{}", told.text());
    assert_eq!(told.facts()["approvalPending"], true);
    let renamed = other.call("save-server", json!({"serverId": loaded, "name": "mine"})).ok().facts();
    let mine = renamed["savedServerId"].as_str().unwrap().to_owned();
    let record = json_of(&there.run(&["show", &mine, "--json"]));
    assert_eq!(record["permissions"], json!({"network": [HOST]}), "what it needs is not lost");
    for saved in [&id, &mine] {
        let (loaded, told) = load(&mut other, json!({"savedServerId": saved}));
        assert!(told.contains("withheld"), "{told}");
        assert_eq!(permissions(&mut other, &loaded), json!({"network": "none"}));
    }
    // whoever grants it here, within what the operator allows, and saves that, stands behind it
    other
        .call("update-server", json!({"serverId": loaded, "permissions": {"network": ["other.example.com:443"]}}))
        .ok();
    let facts = other.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!(
        (&facts["withheld"], &facts["permissions"]),
        (&Value::Null, &json!({"network": ["other.example.com:443"]}))
    );
    other.call("save-server", json!({"serverId": loaded, "name": "mine"})).ok();
    assert!(!load(&mut other, json!({"savedServerId": mine})).1.contains("withheld"));
}

#[test]
fn approvals_that_cannot_be_read_approve_nothing_and_are_kept() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = saved(&mut host, "weather", echo_server());
    let torn = fs::read_to_string(approvals(&home)).unwrap().replace("}", "");
    fs::write(approvals(&home), &torn).unwrap();
    let (loaded, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(told.contains("approvals.json` cannot be read") && told.contains("repair it, or move it away"), "{told}");
    assert_eq!(permissions(&mut host, &loaded), json!({"network": "none"}));
    for arguments in [&["approve", &id, "--yes"][..], &["approve", &id, "--revoke"], &["approve", "--list"]] {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains("approvals.json` cannot be read"), "{output:?}");
    }
    // a save is never lost for it
    let told = host.call("save-server", json!({"serverId": id, "name": "weather"})).ok().text();
    assert!(told.contains("version 2") && told.contains("could not be noted as approved"), "{told}");
    assert_eq!(fs::read_to_string(approvals(&home)).unwrap(), torn);
    fs::remove_file(approvals(&home)).unwrap();
    assert!(home.run(&["approve", &id, "--yes"]).status.success());
    assert!(!load(&mut host, json!({"savedServerId": id})).1.contains("withheld"));
}

#[test]
fn approvals_at_the_same_time_are_all_kept() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let ids = ["a", "b", "c", "d"].map(|name| saved(&mut host, name, echo_server()));
    let running = ids.each_ref().map(|id| {
        let mut command = there.command(&["approve", id, "--yes"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for process in running {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let rows = json_of(&there.run(&["approve", "--list", "--json"]));
    assert!(
        rows.as_array().unwrap().len() == 4 && rows.as_array().unwrap().iter().all(|row| row["pending"] == false),
        "{rows}"
    );
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let id = saved(&mut host, "weather", echo_server());
    for (answer, code, told) in [("n", 1, "not approved"), ("", 1, "not approved"), ("y", 0, "approved version 1")] {
        let output = at_a_terminal(&there, answer, &["approve", &id]);
        let screen = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{screen}");
        assert!(screen.contains("approve it? [y/N]") && screen.contains(told), "{screen}");
        assert!(screen.contains(&format!("network {HOST}")), "{screen}");
    }
    let rows = json_of(&there.run(&["approve", "--list", "--json"]));
    assert_eq!(rows[0]["pending"], false, "{rows}");
}

#[test]
fn a_client_that_can_ask_asks_the_person() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let id = saved(&mut host, "weather", echo_server());
    let mut other = there.spawn();
    let hello = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "asking", "version": "1"}
    });
    other.request("initialize", hello);
    other.notify("notifications/initialized", json!({}));
    let mut load_with = |answer: Value| {
        let call = other.begin_call("load-saved-server", json!({"savedServerId": id}));
        let question = other.expect("a question", |message| message["method"] == "elicitation/create");
        let asked = question["params"]["message"].as_str().unwrap();
        assert!(asked.contains("\"weather\"") && asked.contains(&format!("asks for: network {HOST}.")), "{asked}");
        other.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer}));
        other.reply(&call)
    };
    let error = load_with(json!({"action": "cancel"})).error();
    assert!(error.contains("the person cancelled it"), "{error}");
    for unwilling in [
        json!({"action": "decline"}),
        json!({"action": "accept", "content": {"decision": "default"}}),
        json!({"action": "accept", "content": {}}),
        json!({"action": "accept"}),
    ] {
        assert!(load_with(unwilling).ok().text().contains("withheld: network"));
    }
    let approved = load_with(json!({"action": "accept", "content": {"decision": "approve"}})).ok().text();
    assert!(!approved.contains("withheld"), "{approved}");
    // it is not asked twice
    assert!(!load(&mut other, json!({"savedServerId": id})).1.contains("withheld"));
    let again = text(&there.run(&["approve", &id]).stdout);
    assert!(again.contains("approved already, in a chat client"), "{again}");
}

#[test]
fn a_client_without_a_handshake_asks_the_person_too() {
    let (here, there) = two_installations();
    let mut host = here.start();
    let id = saved(&mut host, "weather", echo_server());
    let mut other = there.spawn();
    let mut params = modern(json!({"name": "load-saved-server", "arguments": {"savedServerId": id}}));
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {"form": {}}});
    let asks = other.request("tools/call", params.clone())["result"].clone();
    let (key, question) = asks["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert!(question["params"]["message"].as_str().unwrap().contains(&format!("network {HOST}.")), "{question}");
    params["inputResponses"] = json!({key: {"action": "accept", "content": {"decision": "approve"}}});
    params["requestState"] = asks["requestState"].clone();
    let loaded = other.request("tools/call", params)["result"].to_string();
    assert!(loaded.contains("Saved server loaded") && loaded.contains("\"withheld\":null"), "{loaded}");
}

#[test]
fn tools_that_are_not_those_of_the_record_are_served_and_flagged() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "calc"})).ok();
    let (loaded, told) = load(&mut host, json!({"savedServerId": id}));
    assert!(!told.contains("recorded"), "{told}");
    let tools = host.call("get-server-tools", json!({"serverId": loaded})).ok();
    edit(&home, &id, |record| {
        let recorded = record["tools"].as_array_mut().unwrap();
        recorded[0]["description"] = json!("Gives nothing back");
        recorded[0]["inputSchema"]["properties"]["message"]["maxLength"] = json!(3);
        recorded[1]["name"] = json!("gone");
    });
    let (loaded, told) = load(&mut host, json!({"savedServerId": id}));
    let difference = "+add, -gone, ~echo (description, inputSchema.properties.message.maxLength)";
    assert!(
        told.contains(&format!("its tools are not those that were recorded when it was saved: {difference}")),
        "{told}"
    );
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "longer"})).ok().text(), "longer");
    let facts = host.call("get-server", json!({"serverId": loaded})).ok().facts();
    let field = json!({"field": "description", "recorded": "Gives nothing back", "now": "Gives the message back"});
    assert_eq!((&facts["drift"]["added"], &facts["drift"]["removed"]), (&json!(["add"]), &json!(["gone"])), "{facts}");
    assert_eq!(facts["drift"]["changed"][0]["fields"][0], field, "{facts}");
    let marked = host.call("get-server-tools", json!({"serverId": loaded})).ok();
    assert_eq!(marked.text(), tools.text(), "the definitions are as the server has them");
    assert_eq!(marked.facts()["marks"], json!({"echo": "changed", "add": "added"}));
    assert!(tools.facts().get("marks").is_none());
    host.wait_for_stderr(difference);
    assert_eq!(host.stderr().matches(difference).count(), 1, "once for an instance");

    host.call("save-server", json!({"serverId": loaded, "name": "calc"})).ok();
    let facts = host.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!(facts["drift"], Value::Null, "what was saved is what is recorded");
}

#[test]
fn what_the_older_system_saved_has_nothing_to_approve_and_nothing_to_differ_from() {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    let record =
        json!({"name": "old", "code": echo_server(), "language": "python", "savedAt": "", "serverId": "server-old"});
    fs::write(home.saved_servers(), json!({"server-old": record}).to_string()).unwrap();
    let mut host = home.start();
    let (loaded, told) = load(&mut host, json!({"savedServerId": "server-old"}));
    assert!(!told.contains("withheld") && !told.contains("recorded"), "{told}");
    let facts = host.call("get-server", json!({"serverId": loaded})).ok().facts();
    assert_eq!((&facts["withheld"], &facts["drift"]), (&Value::Null, &Value::Null));
    let told = home.run(&["approve", "old"]);
    assert!(told.status.success() && text(&told.stdout).contains("asks for nothing"), "{told:?}");
}

#[test]
fn a_tool_of_a_child_never_stands_in_for_one_of_the_host() {
    let home = TestHome::new();
    let mut host = home.start();
    let before = host.request("tools/list", json!({}))["result"]["tools"].clone();
    let id = host.create_python(&misbehaving_server("wicked_tools"));
    assert_eq!(host.request("tools/list", json!({}))["result"]["tools"], before);
    let saved = host.call("save-server", json!({"serverId": id, "name": "the host's own"})).ok();
    assert!(saved.first_line().starts_with("✅"), "{}", saved.text());
    assert_eq!(host.execute(&id, "save-server", json!({"message": "the child's"})).ok().text(), "the child's");
    let notes = host.call("get-server", json!({"serverId": id})).ok().facts()["toolNotes"].clone();
    let note = notes[0].as_str().unwrap();
    assert!(note.starts_with("tool `shout`: ") && note.contains("cannot be seen") && note.contains("cut"), "{notes}");
}

/// Two installations, each with a state of its own, that share one library.
fn two_installations() -> (TestHome, TestHome) {
    let here = TestHome::new();
    let there = TestHome::new().env("PERENNIAL_DATA_DIR", here.data_dir());
    (here, there)
}

/// Creates and saves a server that may reach [`HOST`], and returns its id, running and saved.
fn saved(host: &mut TestHost, name: &str, code: &str) -> String {
    let id = host.create(json!({"language": "python", "code": code, "permissions": {"network": [HOST]}}));
    let facts = host.call("save-server", json!({"serverId": id, "name": name})).ok().facts();
    assert_eq!(facts["approvalPending"], false, "{facts}");
    id
}

/// Loads a saved server: the id of the new one, and all that was said.
fn load(host: &mut TestHost, arguments: Value) -> (String, String) {
    let reply = host.call("load-saved-server", arguments).ok();
    (reply.facts()["serverId"].as_str().unwrap().to_owned(), reply.text())
}

fn permissions(host: &mut TestHost, id: &str) -> Value {
    host.call("get-server", json!({"serverId": id})).ok().facts()["permissions"].clone()
}

fn object(home: &TestHome, id: &str, version: u64) -> PathBuf {
    home.data_dir().join(format!("saved_servers.d/s/{id}/{version:010}.json"))
}

fn approvals(home: &TestHome) -> PathBuf {
    home.path().join("state/perennial/approvals.json")
}

/// Changes a file so that its length and its times tell nothing of it.
fn overwrite_unnoticed(path: &PathBuf, bytes: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

fn view(home: &TestHome) -> Value {
    serde_json::from_slice(&fs::read(home.saved_servers()).unwrap()).unwrap()
}

/// Changes a record in the file that users know, as an editor does.
fn edit(home: &TestHome, id: &str, change: impl FnOnce(&mut Value)) {
    assert!(home.run(&["list"]).status.success(), "the file shows what was saved");
    let mut servers = view(home);
    change(&mut servers[id]);
    fs::write(home.saved_servers(), serde_json::to_string_pretty(&servers).unwrap()).unwrap();
}

/// Runs the binary at a terminal of its own, where somebody answers its question.
fn at_a_terminal(home: &TestHome, answer: &str, arguments: &[&str]) -> Output {
    let typing = "import os, pty, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0:\n    os.execv(sys.argv[2], sys.argv[2:])\n\
        screen = b''\n\
        while True:\n\
        \x20   try:\n        part = os.read(terminal, 4096)\n\
        \x20   except OSError:\n        break\n\
        \x20   if not part:\n        break\n\
        \x20   screen += part\n\
        \x20   if screen.endswith(b'[y/N] '):\n        os.write(terminal, sys.argv[1].encode() + b'\\n')\n\
        sys.stdout.buffer.write(screen)\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let mut command = home.program("python3");
    command.args(["-c", typing, answer]).arg(TestHome::binary()).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
