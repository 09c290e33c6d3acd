use serde_json::value::{RawValue, to_raw_value};

use super::envelope::{self, Refs};
use crate::{SavedServer, ServerId, Version};

/// A stored version of a server: as it stands, and with its record sealed again so that the checksum fits.
///
/// # Panics
/// When a library would.
pub fn record(bytes: &[u8]) {
    let id: ServerId = "server-abc123".parse().expect("an id");
    let read = |bytes: &[u8]| -> Option<SavedServer> {
        let envelope = envelope::open(bytes).ok()?;
        let _ = envelope.refs();
        envelope.server(&id, Version(1)).ok().flatten()
    };
    read(bytes);
    envelope::put_id(bytes);
    let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(bytes) else { return };
    let sealed = envelope::seal("put", Some(&raw), &Refs::new());
    let Some(server) = read(&sealed) else { return };
    let raw = to_raw_value(&server).expect("a record serializes");
    let again = read(&envelope::seal("put", Some(&raw), &Refs::new())).expect("what was written can be read");
    assert_eq!(SavedServer { sha256: None, ..again }, SavedServer { sha256: None, ..server });
}
