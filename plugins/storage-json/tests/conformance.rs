//! The suite that every storage must pass.

#[test]
fn conforms() {
    perennial_sdk::testkit::assert_storage::<perennial_storage_json::JsonStorage>(perennial_sdk::serde_json::json!({}));
}
