#[test]
fn conforms() {
    perennial_sdk::testkit::assert_storage::<perennial_sqlite::Sqlite>(Default::default());
}
