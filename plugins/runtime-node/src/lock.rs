//! The lock of a saved server: a `package-lock.json` or a `pnpm-lock.yaml` of packages of the registry, and nothing else.

use std::collections::BTreeMap;

use nodejs_semver::Version;
use perennial_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::{environment::Manager, requirement};

/// A lock that came with a server, checked: package managers take what it says, links and addresses among it.
#[derive(Debug)]
pub(crate) enum Lock {
    Npm,
    Pnpm {
        /// What was asked for: name → range.
        asked: BTreeMap<String, String>,
    },
}

impl Lock {
    /// # Errors
    /// `invalid` for anything but exact versions of the registry with a hash.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let faulty = if text.trim_start().starts_with('{') { npm(text) } else { pnpm(text) };
        faulty.map_err(|what| {
            let shown: String = what.chars().take(80).flat_map(char::escape_debug).collect();
            Error::invalid(format!("`{shown}` in the server's lock is not an exact version with a hash"))
                .hint("remove the lock; the dependencies are then resolved again")
        })
    }

    /// What wrote it.
    pub(crate) fn manager(&self) -> Manager {
        match self {
            Self::Npm => Manager::Npm,
            Self::Pnpm { .. } => Manager::Pnpm,
        }
    }

    /// The `package.json` that it was made from, where the lock does not serve as such.
    pub(crate) fn package(&self) -> Option<String> {
        match self {
            Self::Npm => None,
            Self::Pnpm { asked } => Some(requirement::package(asked)),
        }
    }
}

fn npm(text: &str) -> Result<Lock, String> {
    let lock: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(packages) = lock["packages"].as_object().filter(|packages| packages.contains_key("")) else {
        return Err("packages".into());
    };
    match packages.iter().find(|(path, package)| !path.is_empty() && !is_pinned(path, package)) {
        Some((path, _)) => Err(path.clone()),
        None => Ok(Lock::Npm),
    }
}

fn is_pinned(path: &str, package: &Value) -> bool {
    let below = path.starts_with("node_modules/") && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let exact = package["version"].as_str().is_some_and(|version| Version::parse(version).is_ok());
    let hashed =
        package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-") || hash.starts_with("sha1-"));
    let bundled = package["inBundle"] == true;
    // where a package comes from is the operator's to say: a lock of ours does not
    let elsewhere = package.get("resolved").is_some();
    below && exact && (hashed || bundled) && !elsewhere && package.get("link").is_none_or(|link| link == false)
}

/// The lock of one folder, in the form that pnpm has written since version 9. Settings that would bring in files of the
/// folder around it, such as patches, are unknown here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PnpmLock {
    lockfile_version: String,
    #[serde(rename = "settings")]
    _settings: Option<Value>,
    #[serde(rename = "time")]
    _time: Option<Value>,
    importers: BTreeMap<String, Importer>,
    #[serde(default)]
    packages: BTreeMap<String, Package>,
    #[serde(default)]
    snapshots: BTreeMap<String, Snapshot>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Importer {
    dependencies: BTreeMap<String, Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    specifier: String,
    version: String,
}

#[derive(Deserialize)]
struct Package {
    resolution: Resolution,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    integrity: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Snapshot {
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

fn pnpm(text: &str) -> Result<Lock, String> {
    let mut lock: PnpmLock = serde_saphyr::from_str(text).map_err(|_| "lockfileVersion")?;
    let importer = lock.importers.remove(".").filter(|_| lock.importers.is_empty()).ok_or("importers")?;
    if !lock.lockfile_version.starts_with("9.") {
        return Err(lock.lockfile_version);
    }
    for (id, package) in &lock.packages {
        let hashed = package.resolution.integrity.starts_with("sha512-");
        if !hashed || id.rsplit_once('@').is_none_or(|(_, version)| Version::parse(version).is_err()) {
            return Err(id.clone());
        }
    }
    // each leads to one of the packages above, and to no file or address
    let is_listed = |name: &str, version: &str| {
        let bare = version.split('(').next().unwrap_or(version);
        lock.packages.contains_key(bare) || lock.packages.contains_key(&format!("{name}@{bare}"))
    };
    let inner = lock.snapshots.values().flat_map(|one| one.dependencies.iter().chain(&one.optional_dependencies));
    let asked = importer.dependencies.iter().map(|(name, asked)| (name, &asked.version));
    if let Some((name, version)) = inner.chain(asked).find(|(name, version)| !is_listed(name, version)) {
        return Err(format!("{name}@{version}"));
    }
    Ok(Lock::Pnpm { asked: importer.dependencies.into_iter().map(|(name, asked)| (name, asked.specifier)).collect() })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn lock(path: &str, package: Value) -> String {
        json!({"lockfileVersion": 3, "packages": {"": {"name": "server"}, path: package}}).to_string()
    }

    #[test]
    fn what_npm_writes_is_fine() {
        npm(&lock("node_modules/@a/b", json!({"version": "1.0.0-rc.1", "integrity": "sha512-x"}))).unwrap();
        npm(&lock("node_modules/a/node_modules/b", json!({"version": "1.0.0", "inBundle": true}))).unwrap();
    }

    #[rstest]
    #[case("../a", json!({"version": "1.0.0", "integrity": "sha512-x"}))]
    #[case("node_modules/../../a", json!({"version": "1.0.0", "integrity": "sha512-x"}))]
    #[case("node_modules/a", json!({"version": "1.0.0"}))]
    #[case("node_modules/a", json!({"version": "file:../a", "integrity": "sha512-x"}))]
    #[case("node_modules/a", json!({"resolved": "../a", "link": true}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "link": true}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "resolved": "git+ssh://git@example.com/a"}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "resolved": "https://registry.example.com/a/-/a-1.0.0.tgz"}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "resolved": "http://127.0.0.1/a.tgz"}))]
    fn anything_else_is_refused(#[case] path: &str, #[case] package: Value) {
        assert!(Lock::parse(&lock(path, package)).is_err());
    }

    #[test]
    fn no_lock_at_all_is_refused() {
        for text in ["requests==1", "{}", "", "lockfileVersion: '9.0'", "{\"packages\": {}}"] {
            let error = Lock::parse(text).unwrap_err();
            assert!(error.hint.is_some(), "{text}: {error}");
        }
    }

    /// As pnpm 12 wrote it for `@me/a` and an alias.
    const PNPM: &str = "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n\nimporters:\n\n  .:\n    \
                        dependencies:\n      '@me/a':\n        specifier: ^1\n        version: 1.0.0-rc.1(zod@3.25.76)\n\n\
                        packages:\n\n  '@me/a@1.0.0-rc.1':\n    resolution: {integrity: sha512-x==}\n    engines: {node: \
                        '>=20'}\n    peerDependencies:\n      zod: ^3\n\n  zod@3.25.76:\n    resolution: {integrity: \
                        sha512-y}\n    deprecated: old\n\nsnapshots:\n\n  '@me/a@1.0.0-rc.1(zod@3.25.76)':\n    dependencies:\n      zod: \
                        3.25.76\n      three: zod@3.25.76\n    transitivePeerDependencies:\n      - b\n\n  zod@3.25.76: {}\n";

    #[test]
    fn what_pnpm_writes_is_fine() {
        let lock = Lock::parse(PNPM).unwrap();
        assert_eq!(lock.manager(), Manager::Pnpm);
        assert!(lock.package().unwrap().contains("\"@me/a\": \"^1\""), "{lock:?}");
    }

    #[rstest]
    #[case::an_address("{integrity: sha512-y}", "{integrity: sha512-y, tarball: https://example.com/a.tgz}")]
    #[case::no_hash("{integrity: sha512-y}", "{tarball: https://example.com/a.tgz}")]
    #[case::a_folder("{integrity: sha512-y}", "{directory: .., type: directory}")]
    #[case::escaped("{integrity: sha512-y}", "{integrity: sha512-y, \"\\x74arball\": https://example.com/a.tgz}")]
    #[case::twice("{integrity: sha512-y}", "{integrity: sha512-y}\n    resolution: {directory: ..}")]
    #[case::a_link("zod: 3.25.76\n", "zod: link:../..\n")]
    #[case::a_link_at_the_top("version: 1.0.0-rc.1(zod@3.25.76)", "version: link:..")]
    #[case::a_file("zod@3.25.76:\n    resolution", "zod@file:..:\n    resolution")]
    #[case::a_patch("settings:", "patchedDependencies:\n  zod: {path: ../patch, hash: a}\n\nsettings:")]
    #[case::another_folder("importers:\n", "importers:\n\n  ..:\n    dependencies: {}\n")]
    #[case::an_older_form("'9.0'", "'6.0'")]
    #[case::a_second_document("lockfileVersion", "a: b\n---\nlockfileVersion")]
    fn anything_else_in_pnpms_is_refused(#[case] from: &str, #[case] to: &str) {
        let changed = PNPM.replacen(from, to, 1);
        assert_ne!(changed, PNPM);
        assert!(Lock::parse(&changed).is_err(), "{changed}");
    }
}
