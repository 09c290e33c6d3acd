//! HTTP: who must not ask, and far too many who do.

use std::{net::TcpStream, time::Duration};

use rstest::rstest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::support::{HttpClient, HttpHost, TestHome, Vitals, echo_server, wait_until};

#[rstest]
#[case::host("host", "evil.example.com", "allowed_hosts")]
#[case::host_that_begins_like_ours("host", "localhost.evil.example.com", "allowed_hosts")]
#[case::origin("origin", "http://evil.example.com", "allowed_origins")]
#[case::origin_of_a_file("origin", "null", "allowed_origins")]
fn fault_44_another_host_or_origin_is_refused_with_the_reason(
    #[case] header: &str,
    #[case] value: &str,
    #[case] says: &str,
) {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    for method in ["POST", "GET", "DELETE", "OPTIONS"] {
        let answer = host.client(&token).send(method, "/mcp", &[(header, value)], b"{}");
        assert_eq!(answer.status, 403, "{method}");
        let said = answer.error();
        assert!(said.contains(says) && said.contains(value), "{said}");
    }
}

#[test]
fn fault_44_without_a_token_that_counts_nobody_is_answered() {
    let home = TestHome::new();
    let token = home.token("ada");
    let host = HttpHost::spawn(&home, &[]);
    let session = host.client(&token).initialise().session;
    let nobody = HttpClient { token: None, session, ..host.client("") };
    let answer = nobody.clone().begin("tools/list", json!({}));
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(r#"Bearer realm="perennial""#)));
    for wrong in ["Bearer", "Bearer ", "Basic YTpi", &format!("Bearer {token}x"), &format!("Bearer {}", &token[1..])] {
        let answer = nobody.send("POST", "/mcp", &[("authorization", wrong)], b"{}");
        assert_eq!(answer.status, 401, "{wrong}");
    }
}

#[test]
fn fault_44_another_clients_handle_is_unknown() {
    let home = TestHome::new();
    let (ada, bob) = (home.token("ada"), home.token("bob"));
    let host = HttpHost::spawn(&home, &[]);
    let mut ada = host.client(&ada).initialise();
    let server = ada.create_python(echo_server());
    let mut bob = HttpClient { session: ada.session.clone(), ..host.client(&bob) };
    for session in [ada.session.clone(), Some("no-such-session".into())] {
        bob.session = session;
        let answer = bob.begin("tools/list", json!({}));
        assert_eq!((answer.status, answer.error().contains("initialize")), (404, true));
    }
    bob.session = None;
    assert!(bob.execute(&server, "echo", json!({ "message": "mine?" })).error().contains("no server"));
    assert_eq!(ada.execute(&server, "echo", json!({ "message": "mine" })).ok().text(), "mine");
}

#[test]
fn fault_44_ten_thousand_connections_do_not_keep_the_host_from_answering() {
    let files = getrlimit(Resource::Nofile);
    let many = files.maximum.map_or(10_000, |most| most.saturating_sub(500).min(10_000));
    assert!(many >= 2000, "too few files may be open for this: {many}");
    setrlimit(Resource::Nofile, Rlimit { current: Some(many + 500), maximum: files.maximum }).unwrap();
    let home = TestHome::new();
    let token = home.token("ada");
    // the usual limit: room for a few hundred
    let mut command = home.program("sh");
    command.args(["-c", "ulimit -n 1024; exec \"$0\" serve --http 127.0.0.1:0"]).arg(TestHome::binary());
    let host = HttpHost::of(command);
    let mut client = host.client(&token).initialise();
    let server = client.create_python(echo_server());
    let session = client.session.clone().unwrap();
    let listening =
        [("accept", "text/event-stream"), ("mcp-session-id", &session), ("mcp-protocol-version", "2025-11-25")];
    let stream = client.send("GET", "/mcp", &listening, b"");
    let before = Vitals::of(host.pid());

    let connections: Vec<_> = (0..many).map(|_| TcpStream::connect(host.address).unwrap()).collect();
    let during = Vitals::of(host.pid());
    assert!(during.descriptors <= 1024.0 && during.memory < before.memory + 64.0 * 1024.0, "{before:?} {during:?}");
    assert_eq!(client.execute(&server, "echo", json!({ "message": "here" })).ok().text(), "here");
    drop(connections);
    let left = || Vitals::of(host.pid()).descriptors <= before.descriptors + 5.0;
    assert!(wait_until(Duration::from_secs(30), left), "{before:?} {:?}", Vitals::of(host.pid()));
    // whoever had shown a token lost nothing
    assert_eq!(stream.status, 200);
    client.call("save-server", json!({ "serverId": server, "name": "here" })).ok();
    let mut stream = stream;
    // what was created before is news of the session, too: it is another server to look at
    let told: Vec<_> = (0..2).map(|_| stream.next().unwrap()["method"].clone()).collect();
    assert_eq!(told, ["notifications/resources/list_changed", "notifications/tools/list_changed"]);
    drop(stream);
    assert!(host.terminate().success());
}
