//! The suite that every storage must pass, on a real store.

#![allow(unreachable_pub, reason = "nothing is reachable from outside a test program")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which starts the store")]

#[path = "../../../tests/support/s3/mod.rs"]
mod s3;

use perennial_sdk::testkit::{assert_objects, assert_storage};
use perennial_storage_s3::{Bucket, Config, S3Storage};
use s3::Store;

#[test]
fn conforms() {
    assert_storage::<S3Storage>(Store::seaweedfs().config());
}

#[test]
fn its_bucket_conforms() {
    let (store, folder) = (Store::seaweedfs(), tempfile::tempdir().unwrap());
    assert_objects(async || {
        let config: Config = serde_json::from_value(store.config()).unwrap();
        Bucket::new(config.settings().unwrap().unwrap(), folder.path().into())
    });
}
