//! The suite that every storage must pass, on a real store.

#![allow(unreachable_pub, reason = "nothing is reachable from outside a test program")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which starts the store")]

#[path = "../../../tests/support/s3/mod.rs"]
mod s3;

use perennial_sdk::testkit::assert_storage;
use perennial_storage_s3::S3Storage;

#[test]
fn conforms() {
    assert_storage::<S3Storage>(s3::Store::seaweedfs().config());
}
