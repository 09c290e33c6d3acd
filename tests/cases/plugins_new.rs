//! New plugins as `perennial plugin new` writes them: built outside of this workspace with nothing but the packaged SDK,
//! and used by a host.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use super::plugins::{save_and_load, sha256};
use crate::support::{TestHome, tests_dir};

#[test]
fn a_new_runtime_runs_servers() {
    let made = Made::new("runtime", "posix-shell");
    made.add(&["--path", &made.library()]);
    let mut host = made.home.start();
    let id = host.create(json!({"language": "posix-shell"}));
    let said = "it's \"é\"; `id` $(id) \\";
    assert_eq!(host.execute(&id, "echo", json!({"message": said})).ok().text(), said);
    let told = host.call("create-server-from-template", json!({"language": "posix-shell", "dependencies": ["x"]}));
    assert!(told.error().contains("this language has no packages"));
    assert!(host.close().success());
}

#[test]
fn a_new_storage_keeps_servers() {
    let made = Made::new("storage", "notes");
    made.run(&["plugin", "check", &made.library(), "--try-storage"]);
    let folder = made.home.path().join("kept");
    made.add(&["--set", &format!("folder={}", folder.display()), "--path", &made.library()]);
    let table = fs::read_to_string(made.config()).unwrap();
    fs::write(made.config(), format!("[storage]\nuse = \"notes\"\n{table}")).unwrap();
    save_and_load(&made.home);
    assert!(fs::read_dir(folder).unwrap().count() > 0);
}

/// A name that is a keyword, and the same crate as a library and as a process.
#[test]
fn new_tools_are_called() {
    let made = Made::new("tools", "type");
    let (library, program) = (made.library(), made.built("perennial-tools-type"));
    for from in [&["--path", library.as_str()][..], &["--", &program]] {
        made.add(&[&["--set", "greeting=Salut"], from].concat());
        made.run(&["plugin", "check", "type"]);
        let mut host = made.home.start();
        assert_eq!(host.call("type", json!({"name": "Zoé"})).ok().text(), "Salut, Zoé!");
        assert!(host.close().success());
        made.run(&["plugin", "remove", "type"]);
    }
}

/// A crate that was written, tested and built.
struct Made {
    home: TestHome,
    name: &'static str,
    library: String,
    built: PathBuf,
}

impl Made {
    fn new(kind: &str, name: &'static str) -> Self {
        let home = TestHome::new().config("");
        // one folder for all of them: dependencies and SDK are compiled once
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
        fs::create_dir_all(&target).unwrap();
        let alone = File::create(target.join("lock")).unwrap();
        alone.lock().unwrap();
        let sdk = packaged_sdk(&target);
        let output = home.run(&["plugin", "new", name, "--kind", kind, "--sdk", sdk.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        let folder = home.path().join("run").join(name);
        assert!(fs::read_to_string(folder.join("src/lib.rs")).unwrap().lines().count() <= 40);
        // the versions that this workspace was built with, so that nothing is fetched
        fs::copy(tests_dir().join("../Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        for step in [&["fmt", "--check"][..], &["test", "--offline", "--quiet"], &["build", "--offline", "--quiet"]] {
            cargo(Command::new(program()).args(step).current_dir(&folder).env("CARGO_TARGET_DIR", &target));
        }
        let library = format!("perennial-{kind}-{name}").replace('-', "_");
        let library = format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        let built = home.path().join("built");
        fs::create_dir(&built).unwrap();
        for file in [library.clone(), format!("perennial-{kind}-{name}")] {
            fs::copy(target.join("debug").join(&file), built.join(&file)).unwrap();
        }
        Self { home, name, library, built }
    }

    fn config(&self) -> PathBuf {
        self.home.path().join("perennial.toml")
    }

    fn built(&self, name: &str) -> String {
        self.built.join(name).display().to_string()
    }

    fn library(&self) -> String {
        self.built(&self.library)
    }

    fn add(&self, arguments: &[&str]) {
        let mut command = self.home.program(TestHome::binary());
        command.env("PERENNIAL_CONFIG", self.config()).args(["plugin", "add", self.name]).args(arguments);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.home.run(arguments);
        assert!(output.status.success(), "{output:?}");
    }
}

/// The SDK as crates.io would have it, unpacked in a folder that is named after what is in it: the times of its files are
/// always the same, and cargo goes by those.
fn packaged_sdk(target: &Path) -> PathBuf {
    let mut package = Command::new(program());
    package.args(["package", "--package", "perennial-sdk", "--no-verify", "--allow-dirty", "--offline", "--quiet"]);
    package.arg("--manifest-path").arg(tests_dir().join("../Cargo.toml")).env("CARGO_TARGET_DIR", target);
    cargo(&mut package);
    let version = env!("CARGO_PKG_VERSION");
    let archive = target.join(format!("package/perennial-sdk-{version}.crate"));
    let folder = target.join(format!("sdk-{}", &sha256(&archive)[..16]));
    if !folder.exists() {
        for old in fs::read_dir(target).unwrap().flatten() {
            if old.file_name().to_string_lossy().starts_with("sdk-") {
                fs::remove_dir_all(old.path()).unwrap();
            }
        }
        let unpacked = tempfile::tempdir_in(target).unwrap();
        let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()).status().unwrap();
        assert!(tar.success());
        fs::rename(unpacked.keep(), &folder).unwrap();
    }
    let sdk = folder.join(format!("perennial-sdk-{version}"));
    for file in ["include/perennial.h", "LICENSE-MIT", "LICENSE-APACHE", "README.md"] {
        assert!(sdk.join(file).is_file(), "`{file}` is not in the package");
    }
    sdk
}

fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn cargo(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{stdout}{stderr}");
}
