use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;
use tempfile::TempDir;

use super::{TestHost, installed, wait_until_gone, without_network};

/// The environment of a host: folders of its own that outlive any single run, and nothing else of the machine but
/// `PATH` and the way to the package registries.
///
/// The cache of Python environments is shared among tests, since it is built to be; [`TestHome::own_cache`] is for tests
/// of the cache itself. Dropping the home asserts that no process of it is left.
pub struct TestHome {
    root: TempDir,
    environment: Vec<(OsString, OsString)>,
    config: Option<PathBuf>,
}

impl TestHome {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("perennial-test-").tempdir().unwrap();
        for folder in ["home", "data", "cache", "state", "config", "run"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let shared_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
        fs::create_dir_all(&shared_cache).unwrap();
        let home = Self { root, environment: Vec::new(), config: None };
        let folder = |name: &str| home.path().join(name).into_os_string();
        let (user, data, state, config) = (folder("home"), folder("data"), folder("state"), folder("config"));
        home.env("HOME", user)
            .env("XDG_DATA_HOME", data)
            .env("XDG_STATE_HOME", state)
            .env("XDG_CONFIG_HOME", config)
            .env("XDG_CACHE_HOME", shared_cache)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .inherit(&["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS"])
            .inherit(&["PIP_CERT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"])
            .inherit(&["NPM_CONFIG_REGISTRY", "npm_config_registry", "npm_config_cafile"])
    }

    /// Puts the installed `uv` in front of `PATH`.
    pub fn with_uv(self) -> Self {
        let mut path = installed("tools").into_os_string();
        path.push(":");
        path.push(self.variable("PATH").unwrap());
        self.env("PATH", path)
    }

    /// Puts the installed `deno` there, which is beside `uv`.
    pub fn with_deno(self) -> Self {
        self.with_uv()
    }

    /// Lets rustup's shims find the toolchain of whoever runs the tests.
    pub fn with_rust(self) -> Self {
        let rustup = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let rustup = rustup.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".rustup")));
        match rustup.filter(|folder| folder.exists()) {
            Some(folder) => self.env("RUSTUP_HOME", folder),
            None => self,
        }
    }

    /// Lets servers and installers do what their user may: for tests in which they leave or look for marks elsewhere.
    pub fn unconfined(self) -> Self {
        self.env("PERENNIAL_POLICY_SANDBOX", "off")
    }

    /// Starts with an empty cache instead of the shared one.
    pub fn own_cache(self) -> Self {
        let cache = self.path().join("cache");
        self.env("XDG_CACHE_HOME", cache)
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs every host of this home with this configuration.
    pub fn config(mut self, toml: &str) -> Self {
        let file = self.path().join("perennial.toml");
        fs::write(&file, toml).unwrap();
        self.config = Some(file);
        self
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Where environments and builds are.
    pub fn cache_dir(&self) -> PathBuf {
        Path::new(self.variable("XDG_CACHE_HOME").unwrap()).join("perennial")
    }

    /// Where the library is.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data/perennial")
    }

    /// The file that users know.
    pub fn saved_servers(&self) -> PathBuf {
        self.data_dir().join("saved_servers.json")
    }

    /// What every process of this home carries somewhere: in its environment, its arguments or its working folder.
    pub fn mark(&self) -> String {
        self.path().file_name().unwrap().to_string_lossy().into_owned()
    }

    pub fn variable(&self, name: &str) -> Option<&OsString> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn binary() -> OsString {
        std::env::var_os("PERENNIAL_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_perennial").into())
    }

    /// A program in this environment.
    pub fn program(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(self.path().join("run"));
        command
    }

    /// The binary in this environment, with `arguments` and the configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(Self::binary());
        command.args(arguments);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
    }

    /// Runs the binary to its end without anything on its stdin.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// A host that has been told nothing yet.
    pub fn spawn(&self) -> TestHost {
        TestHost::spawn(self.command(&["serve"]))
    }

    /// A host after the handshake of 2025-11-25.
    pub fn start(&self) -> TestHost {
        Self::shake_hands(self.spawn())
    }

    /// The same without any network.
    pub fn start_offline(&self) -> TestHost {
        self.start_as(without_network)
    }

    /// The same by another command than the binary alone.
    pub fn start_as(&self, wrapped: impl FnOnce(&Command) -> Command) -> TestHost {
        Self::shake_hands(TestHost::spawn(wrapped(&self.command(&["serve"]))))
    }

    /// An `uv` that tells its version and then hangs for ever over whatever it is asked to do.
    pub fn hanging_uv(&self) -> PathBuf {
        let program = self.path().join("uv");
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in *--version*) echo 'uv 0.13.8';; *) exec tail -f /dev/null '{}';; esac\n",
            self.path().join("run").display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// An `uv` that does as it is told by the files in [`TestHome::told`], and installs nothing but an interpreter.
    ///
    /// It appends what it does to `steps` and its environment to `environment`. At each stage of an installation it waits
    /// while there is a file `wait` and none called like the stage: `begin`, `middle`, `end`. With a file `fail` it fails
    /// in the middle, with `large` it writes 3 MB there.
    pub fn obedient_uv(&self) -> PathBuf {
        let program = self.path().join("uv");
        let text = include_str!("../fixtures/obedient_uv.sh").replace("TOLD", self.told().to_str().unwrap());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    /// A home of its own cache whose packages come by [`TestHome::obedient_uv`], with more configuration.
    pub fn obedient(configuration: &str) -> Self {
        let home = Self::new().own_cache();
        fs::create_dir(home.told()).unwrap();
        let uv = home.obedient_uv();
        // it looks for what it is told, and tells, where no installer may
        home.config(&format!("[policy]\nsandbox = \"off\"\n{configuration}\n[plugins.python]\nconfig = {{ installer = \"uv\", uv = {uv:?} }}\n"))
    }

    /// The folder that tells [`TestHome::obedient_uv`] what to do.
    pub fn told(&self) -> PathBuf {
        self.path().join("told")
    }

    /// Makes a file in it.
    pub fn tell(&self, name: &str) {
        fs::write(self.told().join(name), "").unwrap();
    }

    /// How often the obedient uv began a step, such as `install`.
    pub fn steps(&self, name: &str) -> usize {
        let steps = fs::read_to_string(self.told().join("steps")).unwrap_or_default();
        steps.lines().filter(|step| *step == name).count()
    }

    /// The folders of environments that there are, finished or not.
    pub fn environments(&self) -> Vec<PathBuf> {
        let folders = |folder: PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        folders(self.path().join("cache/perennial/environments")).into_iter().flat_map(folders).collect()
    }

    fn shake_hands(mut host: TestHost) -> TestHost {
        let answer = host.request(
            "initialize",
            json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "perennial-tests", "version": "1"}
            }),
        );
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        host.notify("notifications/initialized", json!({}));
        host
    }

    fn inherit(self, names: &[&str]) -> Self {
        names.iter().fold(self, |home, name| match std::env::var_os(name) {
            Some(value) => home.env(name, value),
            None => home,
        })
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            wait_until_gone(&self.mark());
        }
    }
}
