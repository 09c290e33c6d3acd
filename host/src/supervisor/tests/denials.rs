//! What a confined process cannot do, each in every way of confining, and with the control that it could without.

use std::{net::TcpListener, os::unix::net::UnixListener};

use super::{
    ways::{PYTHON, Way, attempt, host},
    *,
};

/// Tries `code` unconfined, where that can show anything, and then in every way.
async fn denied(code: &str, control: Control) {
    denied_with(code, control, |_| ()).await;
}

async fn denied_with(code: &str, control: Control, change: impl Fn(&mut Confinement)) {
    for way in [Way::Own, Way::OwnBare, Way::User, Way::UserBare] {
        let Some(host) = host(way).await else { continue };
        let surroundings = Surroundings::new(&host);
        let code = surroundings.fill(code);
        if control == Control::Done && way == Way::Own {
            let free =
                |script: &str| ProcessSpec { confinement: None, ..host.confined(PYTHON, &["-c", script], |_| ()) };
            assert_eq!(attempt(&host, free, &code).await, "done", "unconfined");
        }
        let said = attempt(&host, |script| host.confined(PYTHON, &["-c", script], &change), &code).await;
        assert!(said.starts_with("refused"), "{way:?}: {said}");
    }
}

#[derive(PartialEq)]
enum Control {
    /// It works without confinement.
    Done,
    /// This machine or kernel might refuse it anyway.
    Unknown,
}
use Control::{Done, Unknown};

/// What stands around a confined process: each a thing to attack.
struct Surroundings {
    secret: PathBuf,
    tcp: TcpListener,
    path: PathBuf,
    _unix: UnixListener,
    sibling: std::process::Child,
}

impl Surroundings {
    #[expect(clippy::disallowed_methods, reason = "stands in for a process of somebody else")]
    fn new(host: &TestHost) -> Self {
        let secret = host.outside().join("id_rsa");
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let path = host.own().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let sibling = Command::new("sleep").arg("1000").spawn().unwrap();
        Self { secret, tcp: TcpListener::bind("127.0.0.1:0").unwrap(), path, _unix: unix, sibling }
    }

    fn fill(&self, code: &str) -> String {
        code.replace("SECRET", &format!("{:?}", self.secret))
            .replace("OUTSIDE", &format!("{:?}", self.secret.parent().unwrap()))
            .replace("SOCKET", &format!("{:?}", self.path))
            .replace("PORT", &self.tcp.local_addr().unwrap().port().to_string())
            .replace("SIBLING", &self.sibling.id().to_string())
            .replace("HOST", &std::process::id().to_string())
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        let _ = self.sibling.kill();
        let _ = self.sibling.wait();
    }
}

#[rstest]
#[case::a_key_of_the_user("open(SECRET).read()", Done)]
#[case::what_is_beside("os.listdir(OUTSIDE)", Done)]
#[case::shadow("open('/etc/shadow').read()", Unknown)]
#[case::home("os.listdir('/root')", Unknown)]
#[case::the_environment_of_the_host("open('/proc/HOST/environ').read()", Unknown)]
#[case::the_memory_of_the_host("open('/proc/HOST/mem', 'rb').read(1)", Unknown)]
#[case::the_files_of_the_host("os.readlink('/proc/HOST/fd/0')", Done)]
#[case::the_root_of_the_host("os.listdir('/proc/HOST/root/root')", Unknown)]
#[case::write_outside("open(SECRET, 'a').write('x')", Done)]
#[case::make_outside("open(OUTSIDE + '/new', 'w')", Done)]
#[case::remove_outside("os.remove(SECRET)", Done)]
#[case::cut_outside("os.truncate(SECRET, 0)", Done)]
#[case::link_in_from_outside("os.link(SECRET, 'mine'); open('mine').read()", Done)]
#[case::symlink_to_outside("os.symlink(SECRET, 'mine'); open('mine').read()", Done)]
#[case::programs("open('/usr/bin/env', 'a')", Unknown)]
#[case::settings_of_the_kernel("open('/proc/sys/kernel/core_pattern', 'w').write('|/x')", Unknown)]
#[case::its_own_score("open('/proc/self/oom_score_adj', 'w').write('0')", Unknown)]
#[case::a_terminal("open('/dev/tty')", Unknown)]
#[case::a_disk("os.mknod('disk', 0o60600, os.makedev(254, 0))", Unknown)]
#[tokio::test]
async fn files(#[case] code: &str, #[case] control: Control) {
    denied(code, control).await;
}

#[rstest]
#[case::loopback("socket.create_connection(('127.0.0.1', PORT), 2)", Done)]
#[case::cloud_metadata("socket.create_connection(('169.254.169.254', 80), 2)", Unknown)]
#[case::udp("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))", Done)]
#[case::unix("socket.socket(socket.AF_UNIX).connect(SOCKET)", Done)]
#[case::abstract_unix("s = socket.socket(socket.AF_UNIX); s.bind('\\0p' + str(os.getpid())); s.listen()", Done)]
#[case::datagram_pair("a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)", Done)]
#[case::listen("s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()", Done)]
#[case::listen_unbound("socket.socket().listen()", Done)]
#[case::routes("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", Done)]
#[case::raw("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", Unknown)]
#[case::packets("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", Unknown)]
#[case::machines("socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", Unknown)]
#[tokio::test]
async fn network(#[case] code: &str, #[case] control: Control, #[values(Egress::None, gate())] egress: Egress) {
    denied_with(code, control, |confinement| confinement.egress = egress.clone()).await;
}

/// Landlock asks for the port of TCP connections that are made by `connect`.
#[rstest]
#[case::fast_open("socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', PORT))", Unknown)]
#[case::multipath("socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(('127.0.0.1', PORT))", Unknown)]
#[case::sctp("socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)", Unknown)]
#[tokio::test]
async fn around_the_gate(#[case] code: &str, #[case] control: Control) {
    denied_with(code, control, |confinement| confinement.egress = gate()).await;
}

#[rstest]
#[case::unix("socket.socket(socket.AF_UNIX).connect(SOCKET)", Done)]
#[case::listen("s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()", Done)]
#[case::raw("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)", Unknown)]
#[tokio::test]
async fn even_with_all_of_the_network(#[case] code: &str, #[case] control: Control) {
    denied_with(code, control, |confinement| confinement.egress = Egress::All).await;
}

#[rstest]
#[case::signal_a_sibling("os.kill(SIBLING, 0)", Done)]
#[case::signal_the_host("os.kill(HOST, 0)", Done)]
#[case::signal_its_parent("os.kill(os.getppid() or 1, signal.SIGTERM)", Unknown)]
#[case::trace("call(101, 0x4206, SIBLING, 0, 0)", Done)]
#[case::read_memory("call(310, SIBLING, 0, 0, 0, 0, 0)", Done)]
#[case::write_memory("call(311, SIBLING, 0, 0, 0, 0, 0)", Done)]
#[case::take_descriptors("call(438, call(434, os.getpid(), 0), 0, 0)", Done)]
#[case::limit_a_sibling("call(302, SIBLING, 7, 0, 0)", Done)]
#[case::slow_down_the_host("os.setpriority(os.PRIO_PROCESS, HOST, 10)", Unknown)]
#[case::slow_down_the_user(
    "os.setpriority(os.PRIO_USER, os.getuid(), os.getpriority(os.PRIO_USER, os.getuid())); \
     os.setpriority(os.PRIO_USER, 77777, 1)",
    Unknown
)]
#[case::pin_a_sibling("os.sched_setaffinity(SIBLING, os.sched_getaffinity(0))", Done)]
#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn processes(#[case] code: &str, #[case] control: Control) {
    denied(code, control).await;
}

#[rstest]
#[case::unshare("call(272, 0x10000000)", Done)]
#[case::clone("call(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0) or os._exit(0)", Done)]
#[case::clone3("call(435, struct.pack('11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88) or os._exit(0)", Done)]
#[case::enter("call(308, os.open('/proc/self/ns/net', os.O_RDONLY), 0)", Unknown)]
#[case::mount("call(165, b'none', b'/', b'tmpfs', 0, 0)", Unknown)]
#[case::new_mounts("call(430, b'tmpfs', 0)", Unknown)]
#[case::open_tree("call(428, -100, b'/', 1)", Unknown)]
#[case::pivot("call(155, b'/', b'/')", Unknown)]
#[case::chroot("os.chroot('/')", Unknown)]
#[case::keys("call(250, 0, -5, 1)", Done)]
#[case::add_key("call(248, b'user', b'name', b'value', 5, -2)", Done)]
#[case::io_uring("call(425, 1, b'\\0' * 120)", Unknown)]
#[case::bpf("call(321, 0, 0, 0)", Unknown)]
#[case::perf("call(298, 0, 0, -1, -1, 0)", Unknown)]
#[case::faults("call(323, 1)", Unknown)]
#[case::handles("call(304, -100, 0, 0)", Unknown)]
#[case::shared_segments("call(29, 0, 4096, 0o600 | 0o1000)", Done)]
#[case::queues("call(240, b'name', 0o102, 0o600, 0)", Done)]
#[case::clock("call(227, 0, struct.pack('qq', 1, 0))", Unknown)]
#[case::host_name("socket.sethostname('x')", Unknown)]
#[case::x32("call(0x40000000 + 39)", Unknown)]
#[case::typing_for_others("import fcntl; fcntl.ioctl(os.openpty()[1], 0x5412, b'x')", Unknown)]
#[case::other_laws("call(135, 0x0400000)", Done)]
#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn system_calls(#[case] code: &str, #[case] control: Control) {
    denied(code, control).await;
}

#[tokio::test]
async fn memory_that_nobody_counts() {
    let counted = |confinement: &mut Confinement| confinement.caps.memory_bytes = Some(512 << 20);
    denied_with("os.memfd_create('x')", Done, counted).await;
}

/// Calls by the interface of 32 bits, with numbers of their own.
#[tokio::test]
#[cfg(target_arch = "x86_64")]
async fn a_call_of_a_foreign_architecture_kills() {
    let code = "m = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('b814000000cd80c3'))\n\
        ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()";
    for way in [Way::Own, Way::OwnBare] {
        let Some(host) = host(way).await else { continue };
        let free = |script: &str| ProcessSpec { confinement: None, ..host.confined(PYTHON, &["-c", script], |_| ()) };
        if attempt(&host, free, code).await != "done" {
            eprintln!("skipped: this kernel has no calls of 32 bits");
            return;
        }
        let said = attempt(&host, |script| host.confined(PYTHON, &["-c", script], |_| ()), code).await;
        assert!(said.starts_with("was killed by SIGSYS"), "{way:?}: {said}");
    }
}

#[tokio::test]
async fn no_privilege_is_left_and_none_can_be_gained() {
    for way in [Way::Own, Way::OwnBare, Way::User, Way::UserBare] {
        let Some(host) = host(way).await else { continue };
        let finished = host.finished(host.confined("/bin/cat", &["/proc/self/status"], |_| ())).await;
        let status = String::from_utf8(finished.stdout).unwrap();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        let none = "0000000000000000";
        assert_eq!([field("CapPrm:"), field("CapEff:"), field("CapInh:")], [none, none, none], "{way:?}");
        assert_eq!((field("NoNewPrivs:").as_str(), field("Seccomp:").as_str()), ("1", "2"), "{way:?}");
        if rustix::process::geteuid().is_root() && matches!(way, Way::Own | Way::OwnBare) {
            assert_eq!(field("CapBnd:"), none, "{way:?}");
        }
    }
}

fn gate() -> Egress {
    Egress::Gate(Gate::default())
}
