//! The lock of a saved server: a `package-lock.json` of packages of the registry, and nothing else.

use nodejs_semver::Version;
use perennial_sdk::{Error, Result};
use serde_json::Value;

/// Where packages may be said to come from; a lock of ours does not say it.
const REGISTRY: &str = "https://registry.npmjs.org/";

/// Checks a lock that came with a server: npm takes what it says, links and addresses among it.
///
/// # Errors
/// `invalid` for anything but exact versions of the registry with a hash.
pub(crate) fn check(lock: &str) -> Result<()> {
    let refused = |what: &str| {
        let shown: String = what.chars().take(80).flat_map(char::escape_debug).collect();
        Err(Error::invalid(format!("`{shown}` in the server's lock is not an exact version with a hash"))
            .hint("remove the lock; the dependencies are then resolved again"))
    };
    let lock: Value = serde_json::from_str(lock).unwrap_or_default();
    let Some(packages) = lock["packages"].as_object() else { return refused("packages") };
    for (path, package) in packages {
        if !path.is_empty() && !is_pinned(path, package) {
            return refused(path);
        }
    }
    if packages.contains_key("") { Ok(()) } else { refused("packages") }
}

fn is_pinned(path: &str, package: &Value) -> bool {
    let below = path.starts_with("node_modules/") && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let exact = package["version"].as_str().is_some_and(|version| Version::parse(version).is_ok());
    let hashed =
        package["integrity"].as_str().is_some_and(|hash| hash.starts_with("sha512-") || hash.starts_with("sha1-"));
    let bundled = package["inBundle"] == true;
    let elsewhere =
        package.get("resolved").is_some_and(|from| !from.as_str().is_some_and(|from| from.starts_with(REGISTRY)));
    below && exact && (hashed || bundled) && !elsewhere && package.get("link").is_none_or(|link| link == false)
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
        check(&lock("node_modules/@a/b", json!({"version": "1.0.0-rc.1", "integrity": "sha512-x"}))).unwrap();
        check(&lock("node_modules/a/node_modules/b", json!({"version": "1.0.0", "inBundle": true}))).unwrap();
        let resolved = format!("{REGISTRY}a/-/a-1.0.0.tgz");
        check(&lock("node_modules/a", json!({"version": "1.0.0", "integrity": "sha1-x", "resolved": resolved})))
            .unwrap();
    }

    #[rstest]
    #[case("../a", json!({"version": "1.0.0", "integrity": "sha512-x"}))]
    #[case("node_modules/../../a", json!({"version": "1.0.0", "integrity": "sha512-x"}))]
    #[case("node_modules/a", json!({"version": "1.0.0"}))]
    #[case("node_modules/a", json!({"version": "file:../a", "integrity": "sha512-x"}))]
    #[case("node_modules/a", json!({"resolved": "../a", "link": true}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "link": true}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "resolved": "git+ssh://git@example.com/a"}))]
    #[case("node_modules/a", json!({"version": "1.0.0", "integrity": "sha512-x", "resolved": "http://127.0.0.1/a.tgz"}))]
    fn anything_else_is_refused(#[case] path: &str, #[case] package: Value) {
        assert!(check(&lock(path, package)).is_err());
    }

    #[test]
    fn no_lock_at_all_is_refused() {
        assert!(check("requests==1").is_err());
        assert!(check("{}").is_err());
    }
}
