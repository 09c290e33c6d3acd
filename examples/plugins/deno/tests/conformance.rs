#[test]
fn conforms() {
    perennial_sdk::testkit::assert_runtime::<perennial_deno::Deno>(Default::default());
}
