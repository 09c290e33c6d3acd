//! Where the files of a server go.

use perennial_sdk::{Error, File, Result, ServerSpec};

/// Files of a cargo project that mean nothing here, and what to do instead.
const NOT_HERE: &[(&str, &str)] = &[
    ("Cargo.toml", "name crates in `dependencies`, such as `{\"serde\": \"1 [derive]\"}`"),
    ("Cargo.lock", "the lock is kept with the server by itself"),
    ("build.rs", "no build script is run for a server: do its work in `main`, or with `include_str!`"),
];

/// The main file and all files. With a file below `src/` it is cargo's layout, and else modules are beside the main file.
///
/// # Errors
/// `invalid` for a file in the place of another.
pub(crate) fn files(spec: &ServerSpec) -> Result<(&'static str, Vec<File>)> {
    let main = match spec.files.keys().any(|path| path.starts_with("src/")) {
        true => "src/main.rs",
        false => "main.rs",
    };
    for path in spec.files.keys() {
        if matches!(path.as_str(), "main.rs" | "src/main.rs") {
            return Err(Error::invalid(format!("`files` has a `{path}`, which is where `code` goes"))
                .hint("give the file another name, or pass it as `code`"));
        }
        if path == "target" || path.starts_with("target/") {
            return Err(Error::invalid("`files` has something in `target`, which is where the program goes")
                .hint("give the folder another name"));
        }
        if let Some((name, hint)) = NOT_HERE.iter().find(|(name, _)| name == path) {
            return Err(Error::invalid(format!("`files` has a `{name}`")).hint(*hint));
        }
    }
    let mut files = vec![File { path: main.into(), contents: spec.code.clone() }];
    files.extend(spec.files.iter().map(|(path, contents)| File { path: path.clone(), contents: contents.clone() }));
    Ok((main, files))
}
