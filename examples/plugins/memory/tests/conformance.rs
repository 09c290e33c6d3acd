#[test]
fn conforms() {
    perennial_sdk::testkit::assert_storage::<perennial_memory::Memory>(Default::default());
}
