//! What `fuzz/` throws bytes at, and what it expects of them.

use perennial_sdk::{ServerId, Version};
use serde_json::value::RawValue;

use super::{merge::name, record::Record, scan::scan, script};

/// The file that users know, whoever wrote it.
///
/// # Panics
/// When the storage would.
pub fn view(file: &[u8]) {
    let scanned = scan(file);
    let whole = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let parsed = serde_json::from_slice::<&RawValue>(whole).ok().filter(|raw| raw.get().starts_with('{'));
    assert_eq!(scanned.problem.is_none(), parsed.is_some(), "a parser thinks otherwise: {:?}", scanned.problem);
    let id: ServerId = "server-abc123".parse().expect("an id");
    let mut text = String::from("{");
    for (number, entry) in scanned.entries.iter().enumerate() {
        script::array_index(&name(entry.key));
        let value = match Record::read(&id, entry.value) {
            Some(record) => {
                assert!(record.same(&record));
                let rendered = record.render(Version(3));
                let again = Record::read(&id, &rendered).expect("what was written is a record");
                assert_eq!(again.render(Version(3)), rendered, "it is not the same when it is written again");
                rendered
            }
            None => entry.value.to_owned(),
        };
        text += if number > 0 { ",\n" } else { "\n" };
        text += &format!("{}: {value}", entry.key);
    }
    text += "}";
    let again = scan(text.as_bytes());
    assert_eq!((again.entries.len(), again.problem), (scanned.entries.len(), None), "{text}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn seeds_and_what_once_crashed() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/view");
        perennial_sdk::testkit::replay(seeds, super::view);
    }
}
