//! The lock of a saved server: a requirements file with a hash for everything in it, and nothing else.

use std::str::FromStr;

use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};
use perennial_sdk::{Error, Result};

/// Checks a lock that came with a server: it is given to the installer as it is, and must not be able to say more than
/// which versions.
///
/// # Errors
/// `invalid` for an option, a URL, a requirement that is not exact or one without a hash.
pub(crate) fn check(lock: &str) -> Result<()> {
    let joined = lock.replace("\r\n", "\n").replace("\\\n", " ");
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !is_pinned(line) {
            let shown: String = line.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(Error::invalid(format!("`{shown}` in the server's lock is not an exact version with a hash"))
                .hint("remove the lock; the dependencies are then resolved again"));
        }
    }
    Ok(())
}

fn is_pinned(line: &str) -> bool {
    let mut parts = line.split("--hash=");
    let requirement = parts.next().unwrap_or_default().trim();
    let mut hashes = parts.map(str::trim).peekable();
    hashes.peek().is_some() && hashes.all(is_hash) && is_exact(requirement)
}

fn is_hash(hash: &str) -> bool {
    hash.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_exact(requirement: &str) -> bool {
    if requirement.contains(['$', '@', '\0']) || requirement.contains("://") || requirement.contains(" -") {
        return false;
    }
    match Requirement::<VerbatimUrl>::from_str(requirement).map(|requirement| requirement.version_or_url) {
        Ok(Some(VersionOrUrl::VersionSpecifier(versions))) => {
            versions.len() == 1 && versions.iter().all(|version| version.to_string().starts_with("=="))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const HASH: &str = "--hash=sha256:0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3";

    #[test]
    fn what_resolvers_write_is_fine() {
        let lock = format!(
            "# comment\nrequests==2.34.2 \\\n    {HASH} \\\n    {HASH}\n\
             pywin32==312 ; sys_platform == 'win32' \\\n    {HASH}\n"
        );
        check(&lock).unwrap();
        check(&lock.replace('\n', "\r\n")).unwrap();
    }

    #[rstest]
    #[case("requests==2.34.2")]
    #[case("requests>=2 HASH")]
    #[case("requests HASH")]
    #[case("--index-url https://example.com HASH")]
    #[case("-r /etc/passwd")]
    #[case("requests @ https://example.com/a.whl HASH")]
    #[case("requests==1 --pre HASH")]
    #[case("requests==1 HASH --pre")]
    #[case("requests==1 --hash=sha256:00")]
    #[case("requests==1 --hash=md5:0cf3cae568d36aa9576b28dfb35f1132")]
    #[case("requests==1 ; os_name == '${HOME}' HASH")]
    fn anything_else_is_refused(#[case] line: &str) {
        assert!(check(&line.replace("HASH", HASH)).is_err());
    }
}
