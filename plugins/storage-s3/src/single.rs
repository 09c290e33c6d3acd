//! Keys for a store that overwrites what is there: every write has its own, so that even two writers who were told to be
//! one overwrite nothing of each other's.
//!
//! `s/<id>/<seq:010>.json` becomes `s/<id>/<seq:010>.<tag>.json`, with a tag of the content.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

const TAG: usize = 16;
const SUFFIX: &str = ".json";

/// The key under which this writer puts `body`; the same body has the same key.
pub(crate) fn own(key: &str, body: &[u8]) -> String {
    let tag: String = Sha256::digest(body).iter().take(TAG / 2).map(|byte| format!("{byte:02x}")).collect();
    format!("{}{tag}{SUFFIX}", stem(key))
}

/// What every key for the same object begins with.
pub(crate) fn stem(key: &str) -> String {
    format!("{}.", key.strip_suffix(SUFFIX).unwrap_or(key))
}

/// The key that an object has for everybody else.
pub(crate) fn shared(key: &str) -> Cow<'_, str> {
    let parts = key.strip_suffix(SUFFIX).and_then(|stem| stem.rsplit_once('.'));
    match parts {
        Some((stem, tag)) if has_many(key) && tag.len() == TAG && tag.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            format!("{stem}{SUFFIX}").into()
        }
        _ => key.into(),
    }
}

/// Whether several objects may stand for this key; all others hold the same whoever writes them.
pub(crate) fn has_many(key: &str) -> bool {
    key.starts_with("s/") && key.ends_with(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_ones_own_leads_back() {
        let own = own("s/server-a/0000000001.json", b"body");
        assert!(own.starts_with(&stem("s/server-a/0000000001.json")), "{own}");
        assert_eq!(shared(&own), "s/server-a/0000000001.json");
        assert_eq!(shared("s/server-a/0000000001.json"), "s/server-a/0000000001.json");
        assert_eq!(shared("index/host.example.json"), "index/host.example.json");
    }
}
