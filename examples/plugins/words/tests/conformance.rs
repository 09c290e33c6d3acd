#[test]
fn conforms() {
    perennial_sdk::testkit::assert_tools::<perennial_words::Words>(Default::default());
}
