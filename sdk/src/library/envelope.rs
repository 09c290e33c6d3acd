use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use crate::{SavedServer, ServerId, Version};

/// Where large texts of a record are: `code`, `lock` or `files/<path>` → their hash.
pub(super) type Refs = BTreeMap<String, String>;

/// Characters of a hash in hex.
pub(super) const HASH_LEN: usize = 64;

/// A stored object: a record, the put that made it, and the hash that tells whether it is still the same.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    /// SHA-256 over the bytes of `record` as they stand, and those of `blobs` when there are any, in hex.
    #[serde(borrow)]
    pub(super) sha256: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) put_id: Cow<'a, str>,
    /// [`Refs`]: what is missing in the record.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    blobs: Option<&'a RawValue>,
    /// `null` in a tombstone.
    #[serde(borrow)]
    record: &'a RawValue,
}

/// The object's bytes; no record makes a tombstone.
pub(super) fn seal(put_id: &str, record: Option<&RawValue>, refs: &Refs) -> Vec<u8> {
    let nothing = to_raw_value(&()).expect("null always serializes");
    let record = record.unwrap_or(&nothing);
    let blobs = (!refs.is_empty()).then(|| to_raw_value(refs).expect("text always serializes"));
    let blobs = blobs.as_deref();
    let envelope = Envelope { sha256: hash(record, blobs).into(), put_id: put_id.into(), blobs, record };
    serde_json::to_vec(&envelope).expect("text always serializes")
}

/// Reads an object and checks its hash; the error says what is wrong with it.
pub(super) fn open(bytes: &[u8]) -> Result<Envelope<'_>, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
    if hash(envelope.record, envelope.blobs) != envelope.sha256 {
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

    /// Where what is missing in the record is.
    pub(super) fn refs(&self) -> Result<Refs, String> {
        let refs = self.blobs.map_or(Ok(Refs::new()), |blobs| serde_json::from_str(blobs.get()));
        refs.map_err(|error| format!("it does not tell where its code is: {error}"))
    }
}

fn hash(record: &RawValue, blobs: Option<&RawValue>) -> String {
    let mut hasher = Sha256::new_with_prefix(record.get());
    hasher.update(blobs.map_or("", RawValue::get));
    hex(&hasher.finalize())
}

/// SHA-256 in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        let bytes = seal("p", Some(&raw(text)), &Refs::new());
        let envelope = open(&bytes).unwrap();
        assert_eq!((envelope.record().unwrap().get(), &*envelope.put_id), (text, "p"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let refs = Refs::from([("code".into(), "0".repeat(64))]);
        let bytes = seal("p", Some(&raw(r#"{"name":"x","code":"y"}"#)), &refs);
        let blobs = bytes.windows(8).position(|window| window == br#""blobs":"#).unwrap();
        for at in blobs..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(open(&changed).is_err(), "byte {at}");
        }
        assert!((0..bytes.len()).all(|len| open(&bytes[..len]).is_err()));
    }

    #[test]
    fn a_tombstone_has_no_record() {
        assert!(open(&seal("p", None, &Refs::new())).unwrap().record().is_none());
    }
}
