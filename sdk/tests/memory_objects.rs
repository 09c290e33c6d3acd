//! The medium that tests stand on keeps the promises of a medium.

use perennial_sdk::testkit::{MemoryObjects, assert_objects};

#[test]
fn conforms() {
    let medium = MemoryObjects::default();
    assert_objects(async || medium.clone());
}
