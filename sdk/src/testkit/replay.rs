use std::{fs, panic::AssertUnwindSafe, panic::catch_unwind, path::Path};

/// Gives every file below `folder` to `target`, in the order of their names, and panics with the name of the first that
/// makes it panic: how inputs that a fuzzer found stay tested.
///
/// # Panics
/// See above; also when there is no file.
pub fn replay(folder: impl AsRef<Path>, target: impl Fn(&[u8])) {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let ended = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
        assert!(ended.is_ok(), "{} makes it panic", file.display());
    }
}
