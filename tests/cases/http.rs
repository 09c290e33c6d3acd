//! One host behind an address: many clients, each with what is its own.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::Command,
    thread,
};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{HttpClient, HttpHost, TestHome, TestHost, echo_server, installed, tests_dir, wait_until};

const STEPS: &str = include_str!("../fixtures/steps_server.py");
const ASKING: &str = include_str!("../fixtures/asking_server.py");
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// What the fixture's tool `verbatim` answers.
fn verbatim() -> &'static str {
    STEPS.lines().find_map(|line| line.strip_prefix("VERBATIM = r'")?.strip_suffix('\'')).unwrap()
}

/// A client of either era.
fn client(host: &HttpHost, token: &str, era: &str) -> HttpClient {
    match era {
        "2025-11-25" => host.client(token).initialise(),
        _ => host.client(token),
    }
}

/// Parameters of a call that takes so long.
fn pause(server: &str, seconds: u32) -> Value {
    let arguments = json!({ "serverId": server, "toolName": "pause", "args": { "seconds": seconds } });
    json!({ "name": "execute-tool", "arguments": arguments })
}

#[rstest]
fn a_result_is_what_the_child_sent_byte_for_byte(#[values("2025-11-25", "2026-07-28")] era: &str) {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = client(&host, &token, era);
    let server = client.create_python(STEPS);
    let call = json!({ "name": "execute-tool", "arguments": { "serverId": server, "toolName": "verbatim" } });
    let (_, answer) = client.begin("tools/call", call).whole();
    // what this era asks of every result, in front of what the child sent
    let wanted = match era {
        "2025-11-25" => verbatim().to_owned(),
        _ => verbatim().replacen('{', "{\"resultType\":\"complete\",", 1),
    };
    assert_eq!(answer.trim(), format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{wanted}}}", client.last_id));
    assert!(host.terminate().success());
}

#[rstest]
fn progress_comes_in_order_and_before_its_result(#[values("2025-11-25", "2026-07-28")] era: &str) {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = client(&host, &token, era);
    let server = client.create_python(STEPS);
    let call = json!({
        "name": "execute-tool",
        "arguments": { "serverId": server, "toolName": "steps", "args": { "count": 20 } },
        "_meta": { "progressToken": "mine" }
    });
    let (before, answer) = client.begin("tools/call", call).whole();
    let steps: Vec<_> = before.iter().map(|message| &message["params"]).collect();
    assert!(steps.iter().all(|params| params["progressToken"] == "mine"), "{steps:?}");
    let wanted: Vec<_> = (1..=20).map(|step| format!("step {step}")).collect();
    assert_eq!(steps.iter().filter_map(|params| params["message"].as_str()).collect::<Vec<_>>(), wanted);
    assert!(answer.contains("done"), "{answer}");
}

#[test]
fn two_clients_and_a_chat_share_the_library_and_nothing_else() {
    let home = TestHome::new();
    let (ada, bob) = (home.token("ada"), home.token("bob"));
    let host = HttpHost::spawn(&home, &[]);
    let (mut ada, mut bob) = (host.client(&ada).initialise(), host.client(&bob).initialise());
    let mut chat = home.start();

    // what one runs is none of the other's business, by its id, its name or a list
    let hers = ada.create_python(STEPS);
    let his = bob.create_python(echo_server());
    for reply in [
        bob.execute(&hers, "verbatim", json!({})),
        bob.call("get-server", json!({ "serverId": hers })),
        bob.call("delete-server", json!({ "serverId": hers })),
        bob.call("save-server", json!({ "serverId": hers, "name": "stolen" })),
    ] {
        let error = reply.error();
        assert!(error.contains(&format!("no server `{hers}`")), "{error}");
    }
    let listed = ada.call("list-servers", json!({})).text();
    assert!(listed.contains(&hers) && !listed.contains(&his), "{listed}");
    // nor is a session
    let mut thief = bob.clone();
    thief.session = ada.session.clone();
    assert_eq!(thief.begin("tools/list", json!({})).status, 404);

    // both with the same ids and the same progress token at once: each hears of its own call alone
    let call = |server: &str| {
        json!({
            "name": "execute-tool",
            "arguments": { "serverId": server, "toolName": "steps", "args": { "count": 5 } },
            "_meta": { "progressToken": 1 }
        })
    };
    let (mut second, third) = (host.client(ada.token.as_ref().unwrap()).initialise(), call(&hers));
    let at_once = thread::spawn(move || second.begin("tools/call", third).whole());
    let (mine, _) = ada.begin("tools/call", call(&hers)).whole();
    let (theirs, _) = at_once.join().unwrap();
    for steps in [mine, theirs] {
        let told: Vec<_> = steps.iter().filter_map(|step| step["params"]["message"].as_str()).collect();
        assert_eq!(told, ["step 1", "step 2", "step 3", "step 4", "step 5"]);
    }

    // a call that is given up is nobody else's loss
    let pause = pause(&hers, 1);
    let given_up = ada.begin("tools/call", pause);
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": ada.last_id } });
    assert_eq!(ada.post(&cancel).status, 202);
    assert_eq!(bob.execute(&his, "echo", json!({ "message": "still here" })).ok().text(), "still here");
    drop(given_up);
    assert_eq!(ada.execute(&hers, "pause", json!({ "seconds": 0 })).ok().text(), "rested");

    // what is saved is everybody's, and says by whom
    ada.call("save-server", json!({ "serverId": hers, "name": "shared" })).ok();
    assert_eq!(bob.execute("shared", "pause", json!({ "seconds": 0 })).ok().text(), "rested");
    assert_eq!(chat.execute("shared", "pause", json!({ "seconds": 0 })).ok().text(), "rested");
    let history = String::from_utf8(home.run(&["history", "shared"]).stdout).unwrap();
    assert!(history.contains("ada on ") && history.contains("http-tests 1"), "{history}");
    assert!(host.terminate().success());
    let audited = String::from_utf8(home.run(&["audit", "--json"]).stdout).unwrap();
    let entries: Vec<Value> = serde_json::from_str(&audited).unwrap();
    let by = |token: &str| entries.iter().filter(|entry| entry["token"] == token).count();
    assert!(by("ada") > 3 && by("bob") > 3 && entries.iter().any(|entry| entry.get("token").is_none()), "{audited}");
}

#[test]
fn who_cancels_who_is_told_of_progress_and_who_is_asked_hear_nothing_of_each_other() {
    let home = TestHome::new();
    let mut chat = home.start();
    for (name, code) in [("asking", ASKING), ("steps", STEPS)] {
        let id = chat.create_python(code);
        chat.call("save-server", json!({ "serverId": id, "name": name })).ok();
    }
    let (ada, bob) = (home.token("ada"), home.token("bob"));
    let host = HttpHost::spawn(&home, &[]);
    let able = || json!({ "elicitation": {} });
    let (mut ada, mut bob) = (host.client(&ada).initialise_with(able()), host.client(&bob).initialise_with(able()));
    let streams = [ada.listen(), bob.listen()];

    // she is asked, and lets it wait
    let question = json!({
        "method": "elicitation/create",
        "params": { "message": "Your name?", "requestedSchema": { "type": "object", "properties": {} } }
    });
    let call = json!({ "name": "asking__ask", "arguments": { "requests": [question] } });
    let mut hers = ada.begin("tools/call", call);
    let asked = hers.next().unwrap();
    assert_eq!((&asked["method"], &asked["params"]["message"]), (&json!("elicitation/create"), &json!("Your name?")));

    // he hears of his progress, by a token that is also an id of hers
    let token = json!(ada.last_id);
    let call = json!({ "name": "steps__steps", "arguments": { "count": 5 }, "_meta": { "progressToken": token } });
    let (before, answer) = bob.begin("tools/call", call).whole();
    let his = |one: &Value| one["method"] == "notifications/progress" && one["params"]["progressToken"] == token;
    assert!(before.iter().all(his), "{before:?}");
    // his call started the server, which is told as well
    let told: Vec<_> = before.iter().filter_map(|one| one["params"]["message"].as_str()).collect();
    let steps: Vec<_> = told.into_iter().filter(|told| told.starts_with("step ")).collect();
    assert_eq!(steps, ["step 1", "step 2", "step 3", "step 4", "step 5"]);
    assert!(answer.contains("done"), "{answer}");

    // the chat gives a call up, and so does he; what he says of her call and her question counts for nothing
    let held = chat.begin_call("asking__hold", json!({}));
    assert_eq!(chat.execute("steps", "pause", json!({ "seconds": 0 })).ok().text(), "rested");
    chat.notify("notifications/cancelled", json!({ "requestId": held }));
    let heard = |chat: &mut TestHost| chat.call("asking__recall", json!({})).ok().text();
    assert!(wait_until(SOON, || heard(&mut chat).contains("cancelled")), "{}", heard(&mut chat));
    let call = json!({ "name": "steps__pause", "arguments": { "seconds": 1 } });
    let given_up = bob.begin("tools/call", call);
    for id in [bob.last_id, ada.last_id] {
        let params = json!({ "requestId": id });
        let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params });
        assert_eq!(bob.post(&cancel).status, 202);
    }
    drop(given_up);
    bob.answer(&asked, json!({ "action": "accept", "content": { "name": "Eve" } }));
    assert_eq!(bob.call("steps__pause", json!({ "seconds": 0 })).ok().text(), "rested");

    let answer = json!({ "action": "accept", "content": { "name": "Ada" }, "vendor": { "kept": 1.5 } });
    ada.answer(&asked, answer.clone());
    let (between, result) = hers.whole();
    assert_eq!(between, [] as [Value; 0]);
    let result: Value = serde_json::from_str(&result).unwrap();
    let text =
        |result: &Value| -> Value { serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap() };
    assert_eq!(text(&result["result"]), json!([answer]));
    let recalled = ada.call("asking__recall", json!({}));
    assert_eq!(text(recalled.raw())["heard"], json!([answer]), "nobody else was heard");

    assert!(host.terminate().success());
    chat.close_stdin();
    let told = streams.into_iter().flat_map(|mut stream| std::iter::from_fn(move || stream.next()).collect::<Vec<_>>());
    for message in told.chain(chat.rest()) {
        let method = message["method"].as_str().unwrap_or_default();
        assert!(method.ends_with("/list_changed"), "{message}");
    }
}

#[test]
fn a_token_is_shown_once_counts_at_once_and_no_longer_once_it_is_revoked() {
    let home = TestHome::new();
    let output = home.run(&["serve", "--http", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("perennial token create"));

    let ada = home.token("ada");
    let kept = home.path().join("state/perennial/tokens.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&kept).unwrap().contains(&ada));
    let host = HttpHost::spawn(&home, &[]);
    let bob = home.token("bob");
    let mut with_session = host.client(&bob).initialise();
    assert_eq!(host.client(&ada).begin("tools/list", json!({})).status, 200);
    assert_eq!(with_session.begin("tools/list", json!({})).status, 200);
    assert!(home.run(&["token", "revoke", "bob"]).status.success());
    let refused = with_session.begin("tools/list", json!({}));
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    let listed = String::from_utf8(home.run(&["token", "list", "--json"]).stdout).unwrap();
    assert!(listed.contains("ada") && !listed.contains("bob") && !listed.contains(&ada), "{listed}");
    assert_eq!(home.run(&["token", "revoke", "bob"]).status.code(), Some(4));
    assert_eq!(home.run(&["token", "create", "ada"]).status.code(), Some(1));
    assert_eq!(home.run(&["token", "create", "-x/y"]).status.code(), Some(2));
}

#[test]
fn tokens_of_the_configuration_count_and_are_never_shown() {
    let token = "0123456789abcdef0123456789abcdef";
    let home = TestHome::new().config("[http]\ntokens = { grace = \"${file:grace.token}\" }\n");
    fs::write(home.path().join("grace.token"), format!("{token}\n")).unwrap();
    let host = HttpHost::spawn(&home, &[]);
    assert_eq!(host.client(token).begin("tools/list", json!({})).status, 200);
    let shown = home.run(&["config", "show"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("grace") && !shown.contains(token), "{shown}");
    fs::write(home.path().join("grace.token"), "short").unwrap();
    let checked = home.run(&["config", "check"]);
    let told = String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(3));
    assert!(told.contains("perennial.toml:2:") && told.contains("grace"), "{told}");
}

#[test]
fn what_is_no_request_is_told_so() {
    let home = TestHome::new().config("[http]\nbody_mb = 1\nsessions = 2\n");
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let client = host.client(&token);
    let json = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    let large = vec![b' '; 2 << 20];
    for (body, status, says) in [
        (&b"{"[..], 400, "not JSON"),
        (b"[]", 400, "batches"),
        (b"7", 400, "not a JSON-RPC message"),
        (b"{}", 400, "`method` is missing"),
        (br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":7}"#, 400, "`tools/call` do not fit"),
        (&large, 413, "body_mb"),
    ] {
        let answer = client.send("POST", "/mcp", &json, body);
        assert_eq!(answer.status, status);
        let said = answer.error();
        assert!(said.contains(says), "{said}");
    }
    assert_eq!(client.send("POST", "/", &json, b"{}").status, 404);
    assert_eq!(client.send("POST", "/mcp", &[("content-type", "text/plain")], b"{}").status, 406);
    assert_eq!(client.send("GET", "/mcp", &[("accept", "text/event-stream")], b"").status, 400);
    // whoever watches over it needs no token, and learns nothing else
    let watcher = HttpClient { token: None, ..client.clone() };
    let health = watcher.send("GET", "/healthz", &[], b"");
    assert_eq!((health.status, health.text().trim()), (200, r#"{"status":"ok"}"#));
    // sessions that were used a moment ago keep their place
    let _open: Vec<_> = (0..2).map(|_| client.clone().initialise()).collect();
    let full = client.clone().begin(
        "initialize",
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } }),
    );
    assert_eq!((full.status, full.header("retry-after").is_some()), (503, true));
    assert_eq!(client.clone().begin("tools/list", json!({})).status, 200);
}

#[test]
fn a_session_ends_when_it_is_left_alone_or_ended() {
    let home = TestHome::new().config("[http]\nsession_idle_s = 0.1\n");
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut left_alone = host.client(&token).initialise();
    // one whose stream is open is not left alone
    let listening = host.client(&token).initialise();
    let session = listening.session.clone().unwrap();
    let stream = listening.send(
        "GET",
        "/mcp",
        &[("accept", "text/event-stream"), ("mcp-session-id", &session), ("mcp-protocol-version", "2025-11-25")],
        b"",
    );
    assert_eq!(stream.status, 200);
    // a look would keep it alive
    thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(left_alone.begin("tools/list", json!({})).status, 404);
    assert_eq!(listening.clone().begin("tools/list", json!({})).status, 200);
    let ended = listening.send("DELETE", "/mcp", &[("mcp-session-id", &session)], b"");
    assert!((200..300).contains(&ended.status), "{}", ended.status);
    assert_eq!(listening.clone().begin("tools/list", json!({})).status, 404);
}

/// What became of the calls of tools, as the audit log has it.
fn outcomes(home: &TestHome) -> Vec<String> {
    let audited = home.run(&["audit", "--json", "--event", "execute"]);
    let entries: Vec<Value> = serde_json::from_slice(&audited.stdout).unwrap();
    entries.iter().filter_map(|entry| entry["outcome"].as_str()).map(str::to_owned).collect()
}

#[test]
fn without_a_session_whoever_hangs_up_gives_up() {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = host.client(&token);
    let server = client.create_python(STEPS);
    let call = pause(&server, 100);
    let asked = client.ask("tools/call", call);
    assert!(wait_until(SOON, || home.path().join("state/perennial/audit").exists()));
    thread::sleep(std::time::Duration::from_millis(300));
    drop(asked);
    assert!(wait_until(SOON, || outcomes(&home).contains(&"cancelled".to_owned())), "{:?}", outcomes(&home));
    assert!(host.terminate().success());
}

#[test]
fn a_server_that_nobody_calls_rests_and_comes_back() {
    let home = TestHome::new().config("[exposure]\nidle_s = 0.5\n");
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = host.client(&token).initialise();
    let server = client.create_python(echo_server());
    let state =
        |client: &mut HttpClient| client.call("get-server", json!({ "serverId": server })).facts()["state"].clone();
    assert!(wait_until(SOON, || state(&mut client) == "stopped"), "{}", state(&mut client));
    assert_eq!(client.execute(&server, "echo", json!({ "message": "back" })).ok().text(), "back");
}

#[test]
fn a_host_that_is_asked_to_end_answers_what_was_asked_before() {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = host.client(&token).initialise();
    let server = client.create_python(STEPS);
    let call = pause(&server, 2);
    let asked = client.clone().begin("tools/call", call);
    assert_eq!(asked.status, 200);
    host.signal(Signal::TERM);
    assert!(wait_until(SOON, || client.clone().begin("tools/list", json!({})).status == 503));
    let health = client.send("GET", "/healthz", &[], b"");
    assert_eq!((health.status, health.text().contains("ending")), (503, true));
    assert_eq!(asked.result()["content"][0]["text"], "rested");
    assert!(host.wait().success());
}

#[test]
fn a_call_that_takes_too_long_does_not_keep_the_host_from_ending() {
    let home = TestHome::new().config("[http]\ndrain_s = 0.5\n");
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let mut client = host.client(&token).initialise();
    let server = client.create_python(STEPS);
    let call = pause(&server, 50);
    let asked = client.begin("tools/call", call);
    assert!(host.terminate().success());
    let _ = asked;
}

#[test]
fn an_address_that_others_reach_must_be_meant() {
    let home = TestHome::new();
    home.token("ada");
    let output = home.run(&["serve", "--http", "0.0.0.0:0"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{told}");
    assert!(told.contains("--remote"), "{told}");
    let output = home.run(&["serve", "--http", "0.0.0.0:0", "--remote", "--without-token"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_page_of_an_allowed_origin_may_ask_and_read_the_answer() {
    let home = TestHome::new().config("[http]\nallowed_origins = [\"https://chat.example.com\"]\n");
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let client = host.client(&token);
    let origin = ("origin", "https://chat.example.com");
    let asked = HttpClient { token: None, ..client.clone() }.send("OPTIONS", "/mcp", &[origin], b"");
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (204, Some(origin.1)));
    let answer = client.send("POST", "/mcp", &[origin, ("content-type", "application/json")], b"{}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(origin.1));
    let other = client.send("OPTIONS", "/mcp", &[("origin", "https://other.example.com")], b"");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
}

#[rstest]
fn the_official_clients_work_over_http(
    #[values("python_sdk_2_http.py", "typescript_sdk_2_http.cjs")] driver: &str,
    #[values("legacy", "2026-07-28")] protocol: &str,
) {
    let home = TestHome::new().env("NODE_PATH", installed("node/node_modules")).env("PROTOCOL", protocol);
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let program = match driver.ends_with(".py") {
        true => installed("python").join("bin/python"),
        false => "node".into(),
    };
    let mut client: Command = home.program(program);
    client.arg(tests_dir().join("clients").join(driver)).arg(tests_dir().join("fixtures/echo_server.py"));
    client.arg(host.url()).arg(token).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = client.output().unwrap();
    assert!(output.status.success(), "{driver} failed\n{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["echoed_again"], "Hello again");
    assert_eq!(report["emptied"], "📂 No saved servers found");
    assert!(host.terminate().success());
}

#[test]
fn a_file_of_tokens_that_others_may_write_lets_nobody_in() {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let kept = home.path().join("state/perennial/tokens.json");
    let text = fs::read_to_string(&kept).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(&kept, format!("{text}\n")).unwrap();
    drop(File::open(&kept).unwrap());
    assert_eq!(host.client(&token).begin("tools/list", json!({})).status, 401);
    let told = || host.stderr().contains("chmod") || host.stderr().contains("others than its owner");
    assert!(wait_until(SOON, told), "{}", host.stderr());
}
