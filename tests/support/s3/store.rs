use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The bucket that every store has.
const BUCKET: &str = "servers";

/// Who may do what on SeaweedFS; each one's secret is `secret-of-` and the name.
const IDENTITIES: &[(&str, &[&str])] = &[
    ("everything", &["Admin", "Read", "List", "Tagging", "Write"]),
    ("reader", &["Read:servers", "List:servers"]),
    ("no-list", &["Read:servers", "Write:servers"]),
    ("nothing", &["Read:elsewhere"]),
];

/// How long a store may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that runs, with a folder of its own. It ends with the test, however that ends.
pub struct Store {
    kind: Kind,
    ports: Vec<u16>,
    folder: TempDir,
    process: Option<Child>,
    tls: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    SeaweedFs,
    Rclone,
}

impl Store {
    /// SeaweedFS: honours conditions, signatures and checksums.
    pub fn seaweedfs() -> Self {
        Self::start(Kind::SeaweedFs, None)
    }

    /// The same behind TLS, with this certificate and key.
    pub fn seaweedfs_with_tls(certificate: &Path, key: &Path) -> Self {
        Self::start(Kind::SeaweedFs, Some((certificate.into(), key.into())))
    }

    /// `rclone serve s3`: ignores conditions.
    pub fn rclone() -> Self {
        Self::start(Kind::Rclone, None)
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    pub fn endpoint(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address())
    }

    /// The plugin's configuration for this store, as one who may do everything.
    pub fn config(&self) -> Value {
        self.config_of("everything")
    }

    /// The same for somebody else.
    pub fn config_of(&self, identity: &str) -> Value {
        json!({
            "bucket": BUCKET, "endpoint": self.endpoint(),
            "access_key_id": identity, "secret_access_key": format!("secret-of-{identity}"),
        })
    }

    /// Ends it; what it holds stays.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let _ = process.stdin.take().unwrap().write_all(b"TERM\n");
        process.wait().unwrap();
    }

    /// Starts it again where it was.
    pub fn start_again(&mut self) {
        assert!(self.try_start(), "the store does not start again:\n{}", self.log());
    }

    fn start(kind: Kind, tls: Option<(PathBuf, PathBuf)>) -> Self {
        let folder = tempfile::Builder::new().prefix("perennial-store-").tempdir().unwrap();
        let mut store = Self { kind, ports: Vec::new(), folder, process: None, tls };
        store.prepare();
        for _ in 0..5 {
            // somebody else may take a port before the store does
            store.ports = unused_ports(14);
            if store.try_start() {
                return store;
            }
        }
        panic!("the store does not start:\n{}", store.log());
    }

    fn prepare(&self) {
        let path = self.folder.path();
        match self.kind {
            Kind::SeaweedFs => {
                fs::create_dir(path.join("data")).unwrap();
                let identity = |(name, actions): &(&str, &[&str])| {
                    let credentials = [json!({ "accessKey": name, "secretKey": format!("secret-of-{name}") })];
                    json!({ "name": name, "credentials": credentials, "actions": actions })
                };
                let identities: Vec<_> = IDENTITIES.iter().map(identity).collect();
                fs::write(path.join("s3.json"), json!({ "identities": identities }).to_string()).unwrap();
            }
            Kind::Rclone => fs::create_dir_all(path.join("data").join(BUCKET)).unwrap(),
        }
    }

    fn try_start(&mut self) -> bool {
        let log = self.folder.path().join("log");
        let (output, errors) = (fs::File::create(&log).unwrap(), fs::File::options().append(true).open(&log).unwrap());
        // the shell ends the store when the test's end of its input is gone
        let mut process = Command::new("sh")
            .args(["-c", r#"exec 3<&0; "$@" 3<&- </dev/null & read -r how <&3; kill -${how:-KILL} $!; wait $!"#, "sh"])
            .args(self.command())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("TMPDIR", self.folder.path())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.is_ready() {
                self.process = Some(process);
                return true;
            }
            if self.log().contains("address already in use") {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        drop(process.stdin.take());
        process.wait().unwrap();
        false
    }

    fn is_ready(&self) -> bool {
        let listens = TcpStream::connect(self.address()).is_ok();
        listens && (self.kind == Kind::Rclone || self.log().contains("All enabled components are running"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn command(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        match self.kind {
            Kind::SeaweedFs => {
                let ports = [
                    "s3.port",
                    "s3.port.grpc",
                    "master.port",
                    "master.port.grpc",
                    "filer.port",
                    "filer.port.grpc",
                    "volume.port",
                    "volume.port.grpc",
                    "admin.port",
                    "admin.port.grpc",
                ];
                let mut command = vec![installed("weed").display().to_string(), "-logtostderr".into(), "mini".into()];
                command.extend([
                    format!("-dir={folder}/data"),
                    format!("-s3.config={folder}/s3.json"),
                    format!("-filer.localSocket={folder}/filer.sock"),
                    format!("-s3.localSocket={folder}/s3.sock"),
                    format!("-bucket={BUCKET}"),
                ]);
                let fixed = [
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-webdav=false",
                    "-admin.ui=false",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-master.telemetry=false",
                    "-s3.autoCreateBucket=false",
                ];
                command.extend(fixed.map(String::from));
                if let Some((certificate, key)) = &self.tls {
                    command.push(format!("-s3.cert.file={}", certificate.display()));
                    command.push(format!("-s3.key.file={}", key.display()));
                }
                command.extend(ports.iter().zip(&self.ports).map(|(name, port)| format!("-{name}={port}")));
                command
            }
            Kind::Rclone => {
                let address = self.address();
                let mut command = vec![installed("rclone").display().to_string()];
                command.extend(["serve", "s3", "--auth-key", "everything,secret-of-everything"].map(String::from));
                command.extend([format!("--addr={address}"), format!("{folder}/data")]);
                command
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

/// An address where nobody listens.
pub fn unused_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, unused_ports(1)[0]).into()
}

fn unused_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// A program that `tests/run` installed.
pub fn installed(program: &str) -> PathBuf {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut programs = folders.map(|folder| folder.join("tests/.cache/python/bin").join(program));
    programs.find(|path| path.exists()).unwrap_or_else(|| panic!("{program} is missing: `tests/run` installs it"))
}
