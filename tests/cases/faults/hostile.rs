//! The same hostile server in every language: whatever it tries is denied or bounded, and its siblings go on to answer.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{TestHome, TestHost, echo_server, wait_until_gone};

struct Attack<'a> {
    host: &'a mut TestHost,
    hostile: String,
    sibling: String,
}

impl Attack<'_> {
    /// What became of it; the sibling answers meanwhile and after it.
    fn attempt(&mut self, what: &str, target: &str) -> String {
        let args = json!({ "what": what, "target": target });
        let arguments = json!({ "serverId": self.hostile, "toolName": "attempt", "args": args });
        let call = self.host.begin_call("execute-tool", arguments);
        self.assert_serves();
        let told = self.host.reply(&call).text();
        self.assert_serves();
        told
    }

    fn assert_refused(&mut self, what: &str, target: &str) {
        let told = self.attempt(what, target);
        assert!(told.starts_with("refused: "), "{what} {target}: {told}");
    }

    fn assert_serves(&mut self) {
        assert_eq!(self.host.execute(&self.sibling, "echo", json!({ "message": "fine" })).ok().text(), "fine");
    }

    fn facts(&mut self, server: &str) -> Value {
        self.host.call("get-server", json!({ "serverId": server })).ok().facts()
    }
}

#[rstest]
#[case::python("python", include_str!("../../fixtures/hostile_server.py"))]
#[case::javascript("javascript", include_str!("../../fixtures/hostile_server.ts"))]
#[case::typescript("typescript", include_str!("../../fixtures/hostile_server.ts"))]
#[case::rust("rust", include_str!("../../fixtures/hostile_server.rs"))]
fn fault_32_a_hostile_server_gets_nowhere_in_any_language(#[case] language: &str, #[case] code: &str) {
    let home = TestHome::new().with_rust().env("PERENNIAL_TEST_SECRET", "s3cr3t-of-the-host");
    let path = |name: &str| home.path().join(name).display().to_string();
    fs::create_dir(home.path().join("home/.ssh")).unwrap();
    fs::write(home.path().join("home/.ssh/id_ed25519"), "s3cr3t-of-the-user").unwrap();
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let (_engine, _agent) =
        (UnixListener::bind(path("docker.sock")).unwrap(), UnixListener::bind(path("agent.sock")).unwrap());
    let name = format!("perennial-test-{}", home.path().file_name().unwrap().display());
    let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();

    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let dependencies = if language == "rust" { json!({ "serde_json": "1" }) } else { json!({}) };
    let limits = json!({ "pids": 40, "memory_mb": 160, "disk_mb": 16 });
    let hostile =
        host.create(json!({ "language": language, "code": code, "dependencies": dependencies, "limits": limits }));
    let mut attack = Attack { host: &mut host, hostile, sibling };
    let host_pid = attack.host.pid().to_string();
    let sibling = attack.sibling.clone();
    let sibling_pid = attack.facts(&sibling)["pid"].to_string();

    attack.assert_refused("read", &path("home/.ssh/id_ed25519"));
    attack.assert_refused("environment", &host_pid);
    let own = attack.attempt("environment", "self");
    assert!(!own.contains("s3cr3t"), "{own}");
    attack.assert_refused("write", &path("home/.bashrc"));
    attack.assert_refused("tcp", &tcp.local_addr().unwrap().to_string());
    attack.assert_refused("tcp", "169.254.169.254:80");
    attack.attempt("udp", &udp.local_addr().unwrap().to_string());
    udp.set_nonblocking(true).unwrap();
    assert!(udp.recv(&mut [0; 8]).is_err(), "a datagram came out");
    attack.assert_refused("unix", &path("docker.sock"));
    attack.assert_refused("unix", &path("agent.sock"));
    attack.assert_refused("unix", &format!("@{name}"));
    for pid in [&host_pid, &sibling_pid] {
        attack.assert_refused("signal", pid);
        attack.assert_refused("trace", pid);
    }
    attack.assert_refused("namespace", "");

    let told = attack.attempt("fork_bomb", "300");
    assert!(told.contains("EAGAIN") || told.contains("temporarily") || told.contains("too many processes"), "{told}");
    let told = attack.attempt("memory", "2000");
    assert!(told.contains("refused: MemoryError") || told.contains("out of memory"), "{told}");
    let told = attack.attempt("fill", "200");
    assert!(!told.contains("got:"), "{told}");
    attack.attempt("leave", "");
    attack.host.call("delete-server", json!({ "serverId": attack.hostile })).ok();
    attack.assert_serves();
    wait_until_gone(&attack.hostile);
    drop(host);
    wait_until_gone(&home.path().display().to_string());
}
