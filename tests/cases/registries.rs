//! Packages from the operator's own registry, by every installer, and installations that are cut off in the middle.

use std::{fs, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    FixtureRegistry, TestHome, carrying, installed, requests_server, serve_file, wait_until, wait_until_gone,
};

/// What installs a server's packages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Installer {
    Uv,
    Pip,
    Npm,
    Pnpm,
    Cargo,
}
pub(super) use Installer::{Cargo, Npm, Pip, Pnpm, Uv};

#[rstest]
fn packages_come_from_the_registry_of_the_configuration(#[values(Uv, Pip, Npm, Pnpm, Cargo)] installer: Installer) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    let mut host = home.start();
    let id = host.create(arguments(installer));
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "1.2.3");
    assert!(registry.requests().iter().any(|path| path == download(installer)), "{:?}", registry.requests());
    let saved = host.call("save-server", json!({"serverId": id, "name": "greets"})).ok();
    assert!(!saved.raw().to_string().contains("127.0.0.1"));
    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    assert!(record.contains("1.2.3") && !record.contains("127.0.0.1"), "where packages are is saved: {record}");
}

#[rstest]
fn a_registry_may_want_a_password(#[values(Uv, Npm, Pnpm)] installer: Installer) {
    let registry = FixtureRegistry::start();
    let address = format!("http://me:${{env:SECRET}}@{}/private", registry.host());
    let table = format!("[registries]\npypi = '{address}/simple'\nnpm = '{address}/npm/'\n");
    let home = home(installer, &table).env("SECRET", "s3cret");
    let mut host = home.start();
    let created = host.call("create-server-from-template", arguments(installer)).ok();
    assert!(!created.raw().to_string().contains("s3cret"));
    let id = created.facts()["serverId"].as_str().unwrap().to_owned();
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "1.2.3");
    host.call("save-server", json!({"serverId": id, "name": "greets"})).ok();
    let record = fs::read_to_string(home.data_dir().join(format!("saved_servers.d/s/{id}/0000000001.json"))).unwrap();
    assert!(!record.contains("s3cret"));
    assert!(!host.stderr().contains("s3cret"), "{}", host.stderr());
}

#[rstest]
fn a_host_that_is_killed_in_the_middle_of_a_download_leaves_nothing(
    #[values(Uv, Pip, Npm, Pnpm, Cargo)] installer: Installer,
) {
    let registry = FixtureRegistry::start();
    let home = home(installer, &registry.table());
    registry.hold();
    let mut host = home.start();
    host.begin_call("create-server-from-template", arguments(installer));
    assert!(registry.is_holding(Duration::from_secs(60)), "nothing is downloaded\n{}", host.stderr());
    assert!(!carrying(&home.mark()).is_empty());
    host.kill();
    wait_until_gone(&home.mark());
    let kinds = listed(&home);
    assert!(kinds.iter().all(|kind| kind == "leftover" || kind == "downloads"), "{kinds:?}");

    let mut host = home.start();
    let swept = wait_until(Duration::from_secs(10), || home.environments().is_empty());
    assert!(swept, "the next start leaves {:?}", home.environments());
    registry.release();
    let id = host.create(arguments(installer));
    assert_eq!(host.execute(&id, "version", json!({})).ok().text(), "1.2.3");
    assert_eq!(home.environments().len(), 1);
    assert!(!listed(&home).contains(&"leftover".into()));
}

#[rstest]
fn a_package_that_would_run_code_at_installation_is_refused(#[values(Uv, Pip)] installer: Installer) {
    let home = home(installer, "");
    let (links, ran) = (home.path().join("links"), home.path().join("ran"));
    let source = home.path().join("evil-1.0");
    fs::create_dir_all(&links).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(source.join("PKG-INFO"), "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n").unwrap();
    let setup =
        format!("open({ran:?}, 'w').close()\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n");
    fs::write(source.join("setup.py"), setup).unwrap();
    let packed = std::process::Command::new("tar")
        .args(["-czf".as_ref(), links.join("evil-1.0.tar.gz").as_os_str(), "-C".as_ref(), home.path().as_os_str()])
        .arg("evil-1.0")
        .status();
    assert!(packed.unwrap().success());
    let home = home.env("PIP_FIND_LINKS", &links).env("PIP_NO_INDEX", "1");
    let mut host = home.start();
    let mut arguments = arguments(installer);
    arguments["dependencies"] = json!({"evil": "*"});
    let error = host.call("create-server-from-template", arguments).error();
    assert!(error.contains("evil"), "{error}");
    assert!(!ran.exists(), "its setup.py ran");
}

/// A home of its own cache whose packages come by `installer`.
pub(super) fn home(installer: Installer, configuration: &str) -> TestHome {
    let pnpm = installed("node/node_modules/pnpm/bin/pnpm.cjs");
    let plugins = match installer {
        Uv => "[plugins.python]\nconfig = { installer = 'uv' }\n".to_owned(),
        Pip => "[plugins.python]\nconfig = { installer = 'pip' }\n".to_owned(),
        Npm => String::new(),
        Pnpm => format!("[plugins.node]\nconfig = {{ installer = 'pnpm', pnpm = {pnpm:?} }}\n"),
        Cargo => String::new(),
    };
    let home = TestHome::new().own_cache().with_uv().with_rust();
    home.config(&format!("{configuration}\n{plugins}"))
}

/// A server that tells the version of its dependency `greeting`.
pub(super) fn arguments(installer: Installer) -> Value {
    let dependencies = json!({"greeting": "*"});
    match installer {
        Uv | Pip => {
            let code = requests_server().replace("import requests", "import greeting as requests");
            json!({"language": "python", "code": code, "dependencies": dependencies})
        }
        Npm | Pnpm => {
            let code = "import greeting from 'greeting';\nimport { serve } from './serve';\n\
                        await serve({ version: () => greeting.version });\n";
            let files = json!({"serve.ts": serve_file()});
            json!({"language": "typescript", "code": code, "dependencies": dependencies, "files": files})
        }
        Cargo => {
            let code = include_str!("../fixtures/greeting_server.rs").replace("//!", "//");
            json!({"language": "rust", "code": code, "dependencies": dependencies})
        }
    }
}

/// What every installation must have asked for.
fn download(installer: Installer) -> &'static str {
    match installer {
        Uv | Pip => "/files/greeting-1.2.3-py3-none-any.whl",
        Npm | Pnpm => "/npm/greeting/-/greeting-1.2.3.tgz",
        Cargo => "/crates/dl/greeting/1.2.3/download",
    }
}

/// The kinds that `cache ls` lists.
fn listed(home: &TestHome) -> Vec<String> {
    let output = home.run(&["cache", "ls", "--json"]);
    let entries: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    entries.iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
}
