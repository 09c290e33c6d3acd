use super::envelope::HASH_LEN;
use crate::{ServerId, Version};

/// Where every version object is.
pub(super) const ROOT: &str = "s/";

/// Where large texts are, by their hash.
pub(super) const BLOBS: &str = "blob/";

/// Where collectors say what they are about to remove.
pub(super) const MARKS: &str = "gc/";

/// How many objects one request of a listing asks for.
pub(super) const MANY: usize = 10_000;

/// The highest number that ten digits can hold.
pub(super) const LAST: Version = Version(9_999_999_999);

/// The prefix of every version of one server.
pub(super) fn folder(id: &ServerId) -> String {
    format!("{ROOT}{id}/")
}

/// `s/<id>/<seq:010>.json`
pub(super) fn object(id: &ServerId, version: Version) -> String {
    format!("{ROOT}{id}/{:010}.json", version.0)
}

/// `blob/<sha256>`
pub(super) fn blob(sha256: &str) -> String {
    format!("{BLOBS}{sha256}")
}

/// `blob/<sha256>.<name>`: the same text once more, where the first cannot be relied on.
pub(super) fn copy(sha256: &str, name: &str) -> String {
    format!("{BLOBS}{sha256}.{name}")
}

/// `gc/<sha256>.<name>`
pub(super) fn mark(sha256: &str, name: &str) -> String {
    format!("{MARKS}{sha256}.{name}")
}

/// The hash that a blob's or a mark's key tells.
pub(super) fn sha256<'a>(key: &'a str, root: &str) -> Option<&'a str> {
    let name = key.strip_prefix(root)?;
    let hash = name.split('.').next().unwrap_or(name);
    (hash.len() == HASH_LEN && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))).then_some(hash)
}

/// The server and version of a key; none for whatever else lies about in the folder.
pub(super) fn parse(key: &str) -> Option<(ServerId, Version)> {
    let (id, file) = key.strip_prefix(ROOT)?.split_once('/')?;
    let digits = file.strip_suffix(".json").filter(|digits| digits.len() == 10)?;
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    Some((id.parse().ok()?, Version(number))).filter(|(_, version)| !version.is_unset())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back() {
        let id: ServerId = "server-abc123".parse().unwrap();
        assert_eq!(object(&id, Version(7)), "s/server-abc123/0000000007.json");
        assert_eq!(parse("s/server-abc123/0000000007.json"), Some((id, Version(7))));
    }

    #[test]
    fn what_lies_about_is_no_version() {
        for key in [
            "s/a/0000000000.json",
            "s/a/1.json",
            "s/a/+000000001.json",
            "s/a/0000000001.json~",
            "s/a b/0000000001.json",
            "view.json",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
