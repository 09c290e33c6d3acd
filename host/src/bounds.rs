//! What a server's name, source and permissions may be, whoever brings them: a model, or a file.

use std::collections::{BTreeMap, HashMap};

use perennial_sdk::{Error, Permissions, Result};
use serde_json::{Map, Value};

/// Further files of one server.
pub const MOST_FILES: usize = 200;

/// The members that `permissions` have in this version.
pub const PERMISSIONS: &[&str] = &["network", "read", "write", "env"];

/// The members that `limits` have.
pub const LIMITS: &[&str] = &["memory_mb", "cpu", "pids", "files", "disk_mb", "call_timeout_s"];

const LONGEST_NAME: usize = 200;
const LONGEST_PATH: usize = 200;

/// A name that a person gave, without space around it.
///
/// # Errors
/// `invalid` when it is empty, too long, or holds characters that cannot be seen.
pub fn name(text: &str) -> Result<String> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Error::invalid("the name is empty").hint("give a name that tells what the server is for"));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(Error::invalid(format!("the name is longer than {LONGEST_NAME} characters")));
    }
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    if let Some(c) = name.chars().find(|c| invisible(*c)) {
        return Err(Error::invalid(format!("the name holds the invisible character U+{:04X}", c as u32))
            .hint("use visible characters on one line"));
    }
    Ok(name.to_owned())
}

/// Checks a server's main source, if there is one, and its further files.
///
/// # Errors
/// `invalid` for empty code, for more bytes than `most_bytes` in all, and for files that leave the server's folder or
/// cannot lie beside each other in it.
pub fn source(code: Option<&str>, files: &BTreeMap<String, String>, most_bytes: usize) -> Result<()> {
    if code.is_some_and(|code| code.trim().is_empty()) {
        return Err(
            Error::invalid("`code` is empty").hint("leave `code` out to start from the language's own working example")
        );
    }
    let bytes = code.map_or(0, str::len) + files.values().map(String::len).sum::<usize>();
    if bytes > most_bytes {
        return Err(Error::invalid(format!("the source has {bytes} bytes, the limit is {most_bytes}"))
            .hint("large data belongs into a package or a file that the server reads"));
    }
    if files.len() > MOST_FILES {
        return Err(Error::invalid(format!("more than {MOST_FILES} files")));
    }
    // some file systems do not tell `A` from `a`
    let mut seen: HashMap<String, bool> = HashMap::new();
    for path in files.keys() {
        let inside = !path.is_empty()
            && path.len() <= LONGEST_PATH
            && !path.contains(['\\', '\0', ':'])
            && path.chars().all(|c| !c.is_control())
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside {
            return Err(misplaced(path, "is not a path inside the server's folder"));
        }
        let path_of_all = path.to_lowercase();
        let mut above = path_of_all.as_str();
        while let Some((folder, _)) = above.rsplit_once('/') {
            if seen.insert(folder.to_owned(), false) == Some(true) {
                return Err(misplaced(path, "lies in a file as if that were a folder"));
            }
            above = folder;
        }
        if seen.insert(path_of_all, true).is_some() {
            return Err(misplaced(path, "is there twice, be it in capitals or as a folder"));
        }
    }
    Ok(())
}

/// Checks that a record's `permissions` and `limits` have no members that this version does not know: to leave one out would
/// be another server.
///
/// # Errors
/// `invalid`, with the member's name.
pub fn members(record: &Value) -> Result<()> {
    for (part, known) in [("permissions", PERMISSIONS), ("limits", LIMITS)] {
        let members = record[part].as_object().into_iter().flat_map(Map::keys);
        if let Some(unknown) = members.into_iter().find(|name| !known.contains(&name.as_str())) {
            let shown: String = unknown.chars().take(80).collect();
            return Err(Error::invalid(format!(
                "`{part}` has a member `{}`, which this version does not know",
                shown.escape_debug()
            ))
            .hint(format!("there are: {}", known.join(", "))));
        }
    }
    Ok(())
}

/// Checks that permissions name variables and hold no values: those stay with the operator.
///
/// # Errors
/// `invalid`, without what may be a secret.
pub fn permissions(permissions: &Permissions) -> Result<()> {
    match permissions.env.iter().position(|name| !is_variable(name)) {
        None => Ok(()),
        Some(place) => {
            Err(Error::invalid(format!("entry {} of `permissions.env` is not a variable's name", place + 1))
                .hint("give names alone, such as `API_TOKEN`: values stay with the operator and are never kept"))
        }
    }
}

/// Whether this may be the name of an environment variable or a secret.
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn misplaced(path: &str, why: &str) -> Error {
    let shown: String = path.chars().take(80).collect();
    Error::invalid(format!("the file path `{}` {why}", shown.escape_debug()))
        .hint("use relative paths with `/`, such as `lib/tools.py`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_visible_and_short() {
        assert_eq!(name("  Mon serveur / v1.0 🎯 ").unwrap(), "Mon serveur / v1.0 🎯");
        for bad in ["", " ", "a\nb", "a\u{202E}b", "a\u{200B}b", &"x".repeat(5_000_000)] {
            assert!(name(bad).is_err(), "{:?}", bad.chars().take(10).collect::<String>());
        }
    }

    #[test]
    fn files_stay_in_their_folder_and_beside_each_other() {
        let check =
            |paths: &[&str]| source(None, &paths.iter().map(|path| ((*path).to_owned(), String::new())).collect(), 100);
        for bad in ["../a", "/a", "a/../b", "C:\\a", "", "a//b", "a\0b", "./a", "a/", "a\nb"] {
            assert!(check(&[bad]).is_err(), "{bad}");
        }
        for bad in [["a.py", "A.py"], ["a", "a/b"], ["a/b/c", "A/B"], ["a/b", "A"]] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
        check(&["lib/a.py", "lib/b.py", "lib/sub/a.py", "a.py", "library"]).unwrap();
    }

    #[test]
    fn what_looks_like_a_value_is_neither_taken_nor_repeated() {
        let env = |name: &str| permissions(&Permissions { env: vec![name.to_owned()], ..Permissions::default() });
        env("API_TOKEN").unwrap();
        for bad in ["TOKEN=s3cret", "", "1A", "a b", "sk-s3cret"] {
            let error = env(bad).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
