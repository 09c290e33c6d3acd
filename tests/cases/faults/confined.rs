//! What a server must not reach, and more than it may use.

use std::{fs, net::TcpListener, net::UdpSocket, os::unix::net::UnixListener, time::Duration};

use serde_json::{Value, json};

use crate::{
    cases::registries::{Cargo, arguments, home},
    support::{FixtureRegistry, Reply, TestHome, TestHost, echo_server, wait_until},
};

#[test]
fn fault_17_a_build_script_sees_neither_home_nor_the_hosts_environment() {
    let registry = FixtureRegistry::start();
    let home = home(Cargo, &registry.table()).env("PERENNIAL_TEST_SECRET", "s3cr3t-of-the-host");
    fs::write(home.path().join("home/secret"), "s3cr3t-of-the-user").unwrap();
    let mut host = home.start();
    let mut arguments = arguments(Cargo);
    let code = arguments["code"].as_str().unwrap().replace("greeting::VERSION", "greeting::SEEN");
    arguments["code"] = code.into();
    let id = host.create(arguments);
    let seen = host.execute(&id, "version", json!({})).ok().text();
    assert!(seen.contains("the build script ran") && !seen.contains("s3cr3t"), "{seen}");
}

#[test]
fn fault_19_a_server_that_fills_the_disk_is_stopped_and_its_siblings_go_on() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let id = hostile(&mut host, json!({"disk_mb": 16}));
    let reply = attempt(&mut host, &id, "fill", "200");
    assert!(!reply.text().contains("got:"), "{}", reply.text());
    assert_serves(&mut host, &sibling);
    host.call("delete-server", json!({"serverId": id})).ok();
}

#[test]
fn fault_23_a_fork_bomb_ends_at_its_limit_and_the_host_stays_responsive() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let id = hostile(&mut host, json!({"pids": 20}));
    let call = begin(&mut host, &id, "fork_bomb", "300");
    for _ in 0..20 {
        assert_serves(&mut host, &sibling);
    }
    let told = host.reply(&call).text();
    // where the kernel does not count, the tree is ended as soon as it is looked at
    let ended = || {
        let facts = host.call("get-server", json!({"serverId": id})).ok().facts();
        facts["lastExit"]["cause"].as_str().is_some_and(|cause| cause.contains("too many processes"))
    };
    let bounded = told.contains("refused: EAGAIN") || told.contains("too many processes");
    assert!(bounded || wait_until(Duration::from_secs(10), ended), "{told}");
    host.call("delete-server", json!({"serverId": id})).ok();
    assert_serves(&mut host, &sibling);
}

#[test]
fn fault_24_a_server_that_eats_memory_is_told_out_of_memory_and_its_siblings_live() {
    let home = TestHome::new();
    let mut host = home.start();
    let sibling = host.create_python(echo_server());
    let id = hostile(&mut host, json!({"memory_mb": 128}));
    let told = attempt(&mut host, &id, "memory", "2000").text();
    assert!(told.contains("refused: MemoryError") || told.contains("out of memory"), "{told}");
    assert_serves(&mut host, &sibling);
    let next = attempt(&mut host, &id, "memory", "1");
    assert_eq!(next.ok().text(), "got: 1 MiB", "it comes back");
}

#[test]
fn fault_26_a_server_that_makes_namespaces_of_its_own_is_refused() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = hostile(&mut host, json!({}));
    assert_refused(&mut host, &id, "namespace", "");
    let pid = host.pid().to_string();
    assert_refused(&mut host, &id, "signal", &pid);
}

#[test]
fn fault_32_what_a_server_has_no_business_with_is_denied_and_said_so() {
    let home = TestHome::new().env("PERENNIAL_TEST_SECRET", "s3cr3t-of-the-host");
    let key = home.path().join("home/.ssh/id_ed25519");
    fs::create_dir(key.parent().unwrap()).unwrap();
    fs::write(&key, "s3cr3t-of-the-user").unwrap();
    let mut host = home.start();
    let (id, other) = (hostile(&mut host, json!({})), hostile(&mut host, json!({})));
    let facts = host.call("get-server", json!({"serverId": other})).ok().facts();
    let others_folder = fs::read_link(format!("/proc/{}/cwd", facts["pid"])).unwrap();
    let others = others_folder.join("filling");
    assert!(attempt(&mut host, &other, "fill", "1").ok().text().starts_with("got:"), "its own folder is its own");

    assert_refused(&mut host, &id, "read", &key.display().to_string());
    assert_refused(&mut host, &id, "write", &home.path().join("home/.bashrc").display().to_string());
    assert_refused(&mut host, &id, "read", &others.display().to_string());
    assert_refused(&mut host, &id, "write", &others.display().to_string());
    let pid = host.pid().to_string();
    assert_refused(&mut host, &id, "environment", &pid);
    let told = attempt(&mut host, &id, "environment", "self").text();
    assert!(!told.contains("s3cr3t"), "{told}");
    assert!(!home.path().join("home/.bashrc").exists());
}

#[test]
fn fault_32_no_socket_leads_out_of_a_server() {
    let home = TestHome::new();
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let path = home.path().join("agent.sock");
    let _unix = UnixListener::bind(&path).unwrap();
    let mut host = home.start();
    let id = hostile(&mut host, json!({}));
    assert_refused(&mut host, &id, "tcp", &tcp.local_addr().unwrap().to_string());
    assert_refused(&mut host, &id, "tcp", "169.254.169.254:80");
    assert_refused(&mut host, &id, "unix", &path.display().to_string());
    attempt(&mut host, &id, "udp", &udp.local_addr().unwrap().to_string());
    udp.set_nonblocking(true).unwrap();
    assert!(udp.recv(&mut [0; 8]).is_err(), "a datagram came out");
}

fn hostile(host: &mut TestHost, limits: Value) -> String {
    let code = include_str!("../../fixtures/hostile_server.py");
    host.create(json!({"language": "python", "code": code, "limits": limits}))
}

fn begin(host: &mut TestHost, server: &str, what: &str, target: &str) -> Value {
    let args = json!({"what": what, "target": target});
    host.begin_call("execute-tool", json!({"serverId": server, "toolName": "attempt", "args": args}))
}

fn attempt(host: &mut TestHost, server: &str, what: &str, target: &str) -> Reply {
    let call = begin(host, server, what, target);
    host.reply(&call)
}

fn assert_refused(host: &mut TestHost, server: &str, what: &str, target: &str) {
    let reply = attempt(host, server, what, target);
    assert!(reply.text().starts_with("refused: "), "{what} {target}: {}", reply.text());
}

fn assert_serves(host: &mut TestHost, server: &str) {
    assert_eq!(host.execute(server, "echo", json!({"message": "fine"})).ok().text(), "fine");
}
