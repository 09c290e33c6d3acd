//! What is measured side by side: the host, and what a client could start without it.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use perennial_sdk::{Error, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{client::Client, echo};

/// A server of the standard library alone: what the host starts when no code is given.
pub(crate) const PYTHON_SERVER: &str = include_str!("../../plugins/runtime-python/template/echo.py");

/// How the host starts a Python server without dependencies.
const PYTHON_FLAGS: [&str; 7] = ["-E", "-s", "-B", "-u", "-X", "utf8", "-S"];

/// The way to the registries of packages, which is all of our environment that the host is given.
const REGISTRIES: [&str; 10] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
];

/// Where the peers are, and the folders that the host works in.
pub(crate) struct Peers {
    host: PathBuf,
    python: PathBuf,
    script: PathBuf,
    /// This program again, where a confined server may read it, and the configuration that says so.
    echo: PathBuf,
    config: PathBuf,
    folder: TempDir,
}

impl Peers {
    /// # Errors
    /// `unavailable` when there is no Python.
    pub(crate) fn new(host: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("perennial-bench-").tempdir()?;
        let script = folder.path().join("server.py");
        std::fs::write(&script, PYTHON_SERVER)?;
        // never a shim: the host does not start one either
        let asked = command("python3").args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]).output();
        let asked = asked.map_err(|error| Error::from(error).context("`python3` cannot be started"))?;
        let python = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
        if !python.is_file() {
            return Err(Error::unavailable("`python3` does not tell where it is").hint("put Python on the PATH"));
        }
        let (echo, config) = (folder.path().join("echo"), folder.path().join("perennial.toml"));
        std::fs::create_dir(&echo)?;
        std::fs::copy(std::env::current_exe()?, echo.join("perennial-bench"))?;
        std::fs::write(&config, format!("[policy]\nread = [{}]\n", json!(echo)))?;
        Ok(Self { host, python, script, echo, config, folder })
    }

    /// The host, with folders of its own that stay the same during the run.
    pub(crate) fn host(&self) -> Command {
        let mut command = command(&self.host);
        command.arg("serve").env_clear();
        for (name, folder) in [("DATA", "data"), ("CACHE", "cache"), ("STATE", "state"), ("RUNTIME", "runtime")] {
            command.env(format!("PERENNIAL_{name}_DIR"), self.folder.path().join(folder));
        }
        command.env("PERENNIAL_CONFIG", &self.config);
        command.env("HOME", self.folder.path().join("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(REGISTRIES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // where rustup's compilers are, although the home is another
        let rustup = std::env::home_dir().map(|home| home.join(".rustup")).filter(|folder| folder.is_dir());
        command.envs(std::env::var_os("RUSTUP_HOME").or(rustup.map(Into::into)).map(|folder| ("RUSTUP_HOME", folder)));
        command
    }

    /// A folder that ends with the run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folders that dependencies were installed in.
    pub(crate) fn environments(&self) -> Result<Vec<PathBuf>> {
        let slots = std::fs::read_dir(self.folder.path().join("cache/environments"))?.flatten();
        let attempts = slots.flat_map(|slot| std::fs::read_dir(slot.path()).into_iter().flatten().flatten());
        Ok(attempts.map(|attempt| attempt.path()).filter(|path| path.is_dir()).collect())
    }

    /// A new folder that ends with the run.
    pub(crate) fn new_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// The host with its library in this folder.
    pub(crate) fn host_at(&self, data: &Path) -> Command {
        let mut command = self.host();
        command.env("PERENNIAL_DATA_DIR", data);
        command
    }

    /// The host's binary.
    pub(crate) fn binary(&self) -> &Path {
        &self.host
    }

    /// As little as the host's binary can do.
    pub(crate) fn host_version(&self) -> Command {
        let mut command = command(&self.host);
        command.arg("--version");
        command
    }

    /// The Python server, without the host.
    pub(crate) fn python(&self) -> Command {
        let mut command = command(&self.python);
        command.args(PYTHON_FLAGS).arg(&self.script).env_clear().env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        command
    }

    /// A host with the echo server as its child; the id of the server.
    pub(crate) fn host_with_echo(&self) -> Result<(Client, Value)> {
        self.with_echo(self.host())
    }

    /// The same with nothing confined.
    pub(crate) fn free_host_with_echo(&self) -> Result<(Client, Value)> {
        let mut command = self.host();
        command.env("PERENNIAL_POLICY_SANDBOX", "off");
        self.with_echo(command)
    }

    fn with_echo(&self, host: Command) -> Result<(Client, Value)> {
        let mut client = Client::connect(host)?;
        let echo = [self.echo.join("perennial-bench").display().to_string(), echo::WORD.to_owned()];
        let code = format!("import os\nos.execv({}, {})\n", json!(echo[0]), json!(echo));
        let created = client.tool(
            "create-server-from-template",
            json!({ "language": "python", "code": code, "permissions": { "read": [self.echo] } }),
        )?;
        match &created["serverId"] {
            Value::String(_) => Ok((client, created["serverId"].clone())),
            _ => Err(Error::internal(format!("the echo server was not created: {created}"))),
        }
    }
}

impl Drop for Peers {
    /// What the host installed is sealed, and as it is nobody could remove it.
    fn drop(&mut self) {
        unseal(self.folder.path());
    }
}

fn unseal(folder: &Path) {
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| unseal(&entry.path()));
}

/// This program as one of its own peers.
pub(crate) fn ourselves(word: &str) -> Result<Command> {
    let mut command = command(&std::env::current_exe()?);
    command.arg(word);
    Ok(command)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark starts what it measures")]
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    Command::new(program.as_ref())
}
