//! The suite that every runtime must pass.

#[test]
fn conforms() {
    perennial_sdk::testkit::assert_runtime::<perennial_runtime_rust::Rust>(serde_json::json!({}));
}
