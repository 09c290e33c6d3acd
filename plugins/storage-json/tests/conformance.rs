//! The suites that every storage and every medium must pass.

use perennial_sdk::{
    serde_json::json,
    testkit::{assert_objects, assert_storage},
};
use perennial_storage_json::{Folder, JsonStorage};

#[test]
fn conforms() {
    assert_storage::<JsonStorage>(json!({}));
}

#[test]
fn its_folder_conforms() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_objects(async || Folder::new(folder.path().join("objects")));
}
