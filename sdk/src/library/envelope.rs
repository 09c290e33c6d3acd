use std::{borrow::Cow, fmt::Write as _};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{SavedServer, ServerId, Version};

/// A stored object: a record, the put that made it, and the hash that tells whether it is still the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    /// SHA-256 over the bytes of `record` as they stand, in hex.
    #[serde(borrow)]
    pub(super) sha256: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) put_id: Cow<'a, str>,
    /// `null` in a tombstone.
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The object's bytes; `None` makes a tombstone.
pub(super) fn seal(put_id: &str, record: Option<&RawValue>) -> Vec<u8> {
    let record = record.unwrap_or(RawValue::NULL);
    let envelope = Envelope { sha256: digest(record.get()).into(), put_id: put_id.into(), record };
    serde_json::to_vec(&envelope).expect("text always serializes")
}

/// Reads an object and checks its hash; the error says what is wrong with it.
pub(super) fn open(bytes: &[u8]) -> Result<Envelope<'_>, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if digest(envelope.record.get()) != envelope.sha256 {
        return Err("its checksum does not match: it was changed after it was saved".into());
    }
    Ok(envelope)
}

/// The put that made an object, if that much can be read.
pub(super) fn put_id(bytes: &[u8]) -> Option<String> {
    open(bytes).ok().map(|envelope| envelope.put_id.into_owned())
}

impl<'a> Envelope<'a> {
    /// The record as it was written; none in a tombstone.
    pub(super) fn record(&self) -> Option<&'a RawValue> {
        Some(self.record).filter(|record| record.get() != "null")
    }

    /// The record as a saved server; none in a tombstone.
    pub(super) fn server(&self, id: &ServerId, version: Version) -> Result<Option<SavedServer>, String> {
        let Some(record) = self.record() else { return Ok(None) };
        let mut server: SavedServer =
            serde_json::from_str(record.get()).map_err(|error| format!("it is not a saved server: {error}"))?;
        if server.server_id != id.as_str() {
            return Err(format!("it belongs to `{}`", server.server_id.escape_debug()));
        }
        server.version = version;
        server.sha256 = Some(self.sha256.to_string());
        Ok(Some(server))
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.into()).unwrap()
    }

    #[test]
    fn a_record_comes_back_byte_for_byte() {
        let text = "{\n  \"a\": \"\\ud800\",   \"a\": 1.0\n}";
        let bytes = seal("p", Some(&raw(text)));
        let envelope = open(&bytes).unwrap();
        assert_eq!((envelope.record().unwrap().get(), &*envelope.put_id), (text, "p"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = seal("p", Some(&raw(r#"{"name":"x","code":"y"}"#)));
        let record = bytes.len() - r#"{"name":"x","code":"y"}}"#.len();
        for at in record..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(open(&changed).is_err(), "byte {at}");
        }
        assert!((0..bytes.len()).all(|len| open(&bytes[..len]).is_err()));
    }

    #[test]
    fn a_tombstone_has_no_record() {
        assert!(open(&seal("p", None)).unwrap().record().is_none());
    }
}
