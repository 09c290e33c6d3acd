use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use super::{tests_dir, wait_until};

/// A package registry on this machine for Python, npm and Rust at once: `fixtures/registry.py` tells what it has.
pub struct FixtureRegistry {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl FixtureRegistry {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.arg(tests_dir().join("fixtures/registry.py")).arg(folder.path());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { folder, process, port: line.trim().parse().unwrap() }
    }

    /// Where it is: `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A `[registries]` table that takes all packages from it.
    pub fn table(&self) -> String {
        let host = self.host();
        format!(
            "[registries]\npypi = 'http://{host}/simple'\nnpm = 'http://{host}/npm/'\ncrates-io = 'http://{host}/crates'\n"
        )
    }

    /// The paths that it was asked for, in turn.
    pub fn requests(&self) -> Vec<String> {
        let requests = fs::read_to_string(self.folder.path().join("requests")).unwrap_or_default();
        requests.lines().map(str::to_owned).collect()
    }

    /// Gives no more than half of the package from now on.
    pub fn hold(&self) {
        fs::write(self.folder.path().join("hold"), "").unwrap();
    }

    /// Whether somebody has half of the package.
    pub fn is_holding(&self, limit: Duration) -> bool {
        wait_until(limit, || self.folder.path().join("held").exists())
    }

    pub fn release(&self) {
        fs::remove_file(self.folder.path().join("hold")).unwrap();
    }
}

impl Drop for FixtureRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
