//! Real installers behind a gate: they find their way by its variables alone, and are told what they may not reach.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests start the installers themselves")]

use std::{
    any::Any,
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use perennial::egress::{Endpoint, Gates, Reach, Rule, Rules, Traffic, Upstream, Whose};
use rstest::rstest;
use tempfile::TempDir;

/// What installs packages.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Installer {
    Uv,
    Pip,
    Npm,
    Pnpm,
    Cargo,
}
use Installer::{Cargo, Npm, Pip, Pnpm, Uv};

/// The places of each registry; mirrors of the machine's own settings are among them.
fn places(installer: Installer) -> Vec<String> {
    let (own, settings): (&[&str], &[&str]) = match installer {
        Uv | Pip => {
            (&["pypi.org:443", "files.pythonhosted.org:443"], &["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])
        }
        Npm | Pnpm => (&["registry.npmjs.org:443"], &["NPM_CONFIG_REGISTRY", "npm_config_registry"]),
        Cargo => (&["index.crates.io:443", "static.crates.io:443"], &[]),
    };
    let configured = settings.iter().filter_map(|name| std::env::var(name).ok()).filter_map(|url| {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split('/').next()?.rsplit('@').next()?;
        let port = if scheme == "https" { 443 } else { 80 };
        Some(if authority.contains(':') { authority.to_owned() } else { format!("{authority}:{port}") })
    });
    own.iter().map(|place| (*place).to_owned()).chain(configured).collect()
}

/// An open gate, and a folder for what comes through it.
struct Behind {
    traffic: Arc<Traffic>,
    variables: BTreeMap<String, String>,
    folder: TempDir,
    _keeping: Box<dyn Any + Send + Sync>,
    _gates: Arc<Gates>,
}

impl Behind {
    fn gate(allowed: &[String]) -> Self {
        let rule = |place: &String| Rule { endpoint: place.parse::<Endpoint>().unwrap(), reach: Reach::Private };
        let rules = Rules { allowed: allowed.iter().map(rule).collect(), of: Whose::Installer(None) };
        let (gates, own) = (Gates::new(), std::env::vars().collect());
        let traffic = Traffic::new(rules, Arc::new(Upstream::of(&own)));
        let gate = gates.gate(&traffic).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let variables = gate.variables.iter().map(|(name, value)| (name.clone(), value.replace("{gate}", &address)));
        let (variables, keeping) = (variables.collect(), (gate.keeper.0)(listener));
        Self { traffic, variables, folder: tempfile::tempdir().unwrap(), _keeping: keeping, _gates: gates }
    }

    /// Installs one small package, with nothing of the machine but certificates, mirrors and the gate.
    fn install(&self, installer: Installer) -> Output {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = match installer {
            Uv => {
                let mut uv = Command::new(installed("tools/uv"));
                uv.args(["pip", "install", "--no-config", "--only-binary", ":all:", "idna==3.10", "--target"]);
                uv.arg(at("packages")).arg("--cache-dir").arg(at("cache")).arg("--python").arg(on_path("python3"));
                uv
            }
            Pip => {
                let mut pip = Command::new(on_path("python3"));
                pip.args(["-m", "pip", "install", "--no-cache-dir", "--retries", "0", "--only-binary", ":all:"]);
                pip.args(["idna==3.10", "--target"]).arg(at("packages"));
                pip
            }
            Npm => {
                let mut npm = Command::new(on_path("npm"));
                npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "ms@2.1.3"]);
                npm.arg("--prefix").arg(self.folder.path()).arg("--cache").arg(at("cache"));
                npm
            }
            Pnpm => {
                let mut pnpm = Command::new(on_path("node"));
                pnpm.arg(installed("node/node_modules/pnpm/bin/pnpm.cjs")).args([
                    "add",
                    "ms@2.1.3",
                    "--ignore-scripts",
                ]);
                pnpm.args(["--config.fetch-retries=0", "--store-dir"]).arg(at("store"));
                pnpm
            }
            Cargo => {
                let manifest =
                    "[package]\nname = 'a'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\nitoa = '=1.0.11'\n";
                std::fs::write(at("Cargo.toml"), manifest).unwrap();
                std::fs::create_dir(at("src")).unwrap();
                std::fs::write(at("src/lib.rs"), "").unwrap();
                let mut cargo = Command::new(on_path("cargo"));
                cargo.args(["fetch", "--manifest-path"]).arg(at("Cargo.toml"));
                cargo.env("CARGO_HOME", at("cargo")).env("CARGO_NET_RETRY", "0");
                cargo
            }
        };
        let own: BTreeMap<_, _> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
        command.env_clear().envs(own).current_dir(self.folder.path()).env("HOME", self.folder.path());
        for name in PASSED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if std::env::var_os("RUSTUP_HOME").is_none() {
            // where its shims look, which is not below the home of a step
            command.env("RUSTUP_HOME", Path::new(&std::env::var_os("HOME").unwrap()).join(".rustup"));
        }
        command.envs(&self.variables).output().unwrap()
    }
}

/// What else of the machine an installer needs to know.
const PASSED: &[&str] = &[
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
];

#[rstest]
fn packages_come_through_the_gate(#[values(Uv, Pip, Npm, Pnpm, Cargo)] installer: Installer) {
    let behind = Behind::gate(&places(installer));
    let output = behind.install(installer);
    assert!(output.status.success(), "{output:?}\n{:?}", behind.traffic.denials.all());
    assert_eq!(behind.traffic.denials.total(), 0);
}

#[rstest]
fn what_the_gate_denies_is_known_by_name(#[values(Uv, Pip, Npm, Pnpm, Cargo)] installer: Installer) {
    let behind = Behind::gate(&["elsewhere.example.com:443".to_owned()]);
    let output = behind.install(installer);
    assert!(!output.status.success(), "it found another way out: {output:?}");
    let denied = behind.traffic.denials.all();
    let expected = places(installer);
    assert!(denied.iter().any(|denial| expected.contains(&denial.to)), "{denied:?}");
    assert!(denied[0].to_string().contains("`[registries]` `hosts = ["), "{}", denied[0]);
}

fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/.cache").join(path);
    assert!(path.exists(), "{} is missing: `tests/run` installs it", path.display());
    path
}

fn on_path(name: &str) -> PathBuf {
    let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not on PATH"))
}
