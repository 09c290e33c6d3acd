//! The one address that a confined process can connect to.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::atomic::AtomicUsize,
};

use super::{
    ways::{PYTHON, Way, host},
    *,
};

/// Counts itself while it is kept.
struct Kept(Arc<AtomicUsize>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers each connection with what it says, in capitals.
fn gate(kept: &Arc<AtomicUsize>) -> Egress {
    let kept = Arc::clone(kept);
    let keeper = Gatekeeper(Arc::new(move |listener: TcpListener| {
        kept.fetch_add(1, Ordering::SeqCst);
        listener.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut said = [0; 5];
                stream.read_exact(&mut said).unwrap();
                stream.write_all(&said.to_ascii_uppercase()).unwrap();
            }
        });
        Box::new(Kept(Arc::clone(&kept)))
    }));
    Egress::Gate(Gate { variables: [("HTTPS_PROXY".into(), "http://{gate}".into())].into(), keeper })
}

const ASK: &str = "
import os, socket, sys, time
host, port = os.environ['HTTPS_PROXY'].removeprefix('http://').split(':')
s = socket.create_connection((host, int(port)), 5)
s.sendall(b'hello')
print(s.recv(5).decode(), flush=True)
for target in [('127.0.0.1', int(sys.argv[1])), ('169.254.169.254', 80), ('1.1.1.1', 443)]:
    try:
        socket.create_connection(target, 3)
        print('reached', target)
    except OSError: pass
sys.stdin.read()
";

#[tokio::test]
async fn a_program_reaches_its_gate_and_nothing_else() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    for way in [Way::Own, Way::OwnBare, Way::User, Way::UserBare] {
        let Some(host) = host(way).await else { continue };
        let kept = Arc::new(AtomicUsize::new(0));
        let spec = || host.confined(PYTHON, &["-c", ASK, &port], |confinement| confinement.egress = gate(&kept));
        let finished = host.finished(spec()).await;
        assert_eq!(String::from_utf8_lossy(&finished.stdout), "HELLO\n", "{way:?}: {}", finished.tail);
        eventually("the keeper is dropped", || kept.load(Ordering::SeqCst) == 0).await;

        let mut child = host.supervisor.spawn(spec()).await.unwrap();
        let mut line = [0; 6];
        child.stdout.read_exact(&mut line).await.unwrap();
        assert_eq!((&line, kept.load(Ordering::SeqCst)), (b"HELLO\n", 1), "{way:?}");
        child.process.kill();
        child.process.exited().await;
        assert_eq!(kept.load(Ordering::SeqCst), 0, "{way:?}");
    }
}

#[tokio::test]
async fn two_gates_are_apart() {
    let Some(host) = host(Way::Own).await else { return };
    let kept = Arc::new(AtomicUsize::new(0));
    let first = host.confined(PYTHON, &["-c", ASK, "1"], |confinement| confinement.egress = gate(&kept));
    let mut first = host.supervisor.spawn(first).await.unwrap();
    let mut line = [0; 6];
    first.stdout.read_exact(&mut line).await.unwrap();
    let environment = fs::read_to_string(format!("/proc/{}/environ", first.process.pid())).unwrap();
    let port = environment.split('\0').find_map(|v| v.strip_prefix("HTTPS_PROXY=http://127.0.0.1:")).unwrap();
    let second = host.confined(PYTHON, &["-c", ASK, port], |confinement| confinement.egress = gate(&kept));
    let finished = host.finished(second).await;
    assert_eq!(String::from_utf8_lossy(&finished.stdout), "HELLO\n", "{}", finished.tail);
}

#[tokio::test]
async fn all_of_the_network_is_all_of_it() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port().to_string();
    let code = "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)\n\
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\nprint('fine')";
    for way in [Way::Own, Way::OwnBare, Way::User, Way::UserBare] {
        let Some(host) = host(way).await else { continue };
        let spec = host.confined(PYTHON, &["-c", code, &port], |confinement| confinement.egress = Egress::All);
        let finished = host.finished(spec).await;
        assert_eq!(finished.stdout, b"fine\n", "{way:?}: {}", finished.tail);
    }
}
