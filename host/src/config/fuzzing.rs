//! What `fuzz/` throws bytes at, and what it expects of them.

use std::{path::PathBuf, sync::Arc};

use super::{Request, Variables, load::parse, shown, source::Document};

/// The configuration file.
///
/// # Panics
/// When the host would.
pub fn config(file: &[u8]) {
    let Ok(text) = std::str::from_utf8(file) else { return };
    // files are the machine's: some of them never end
    if text.contains("file:") {
        return;
    }
    assert_eq!(shown::masked(text).len(), text.len(), "places are those of the text without secrets");
    let variables = Variables::from_iter([("TOKEN", "s3cr3t-of-the-environment")]);
    for resolve in [false, true] {
        let request = Request { file: None, variables: variables.clone(), resolve };
        let document = Arc::new(Document::new(PathBuf::from("/perennial.toml"), text.to_owned()));
        let registered = perennial_sdk::registrations();
        let error = match parse(document, &request) {
            Ok(config) => match config.check(&registered) {
                Ok(()) => continue,
                Err(error) => error,
            },
            Err(error) => error,
        };
        let told = format!("{error}\n{}", error.render(false));
        assert!(!told.contains("s3cr3t-of-the-environment"), "a secret is shown: {told}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn seeds_and_what_once_crashed() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/config");
        perennial_sdk::testkit::replay(seeds, super::config);
    }
}
