use crate::{ServerId, Version};

/// Where every version object is.
pub(super) const ROOT: &str = "s/";

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
