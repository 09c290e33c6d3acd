//! A crate for a new plugin, as `perennial plugin new` writes it. The templates beside this file are whole but for a few
//! words in capitals.

use std::{
    fs,
    path::{Path, PathBuf},
};

use perennial_sdk::{Error, ErrorCode, Result};

/// What a plugin is to provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Languages.
    Runtime,
    /// A place for saved servers.
    Storage,
    /// Tools.
    Tools,
}

/// The id of a plugin that is written in Rust: a lowercase letter, and then lowercase letters, digits and `-`, at most 64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(String);

/// The SDK that a new crate is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// The one of this program's version, from the registry of crates.
    OfThisVersion,
    /// A folder that has it.
    Folder(PathBuf),
}

/// A crate that was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Scaffold {
    /// Its folder.
    pub folder: PathBuf,
    /// The library that building it gives, below the folder's `target/release`.
    pub library: String,
}

impl Kind {
    /// As manifests name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Storage => "storage",
            Self::Tools => "tools",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Runtime => "Runtime",
            Self::Storage => "Files",
            Self::Tools => "Tools",
        }
    }

    fn sources(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Runtime => &[
                ("src/lib.rs", include_str!("runtime/lib.rs.in")),
                ("src/server.sh", include_str!("runtime/server.sh")),
            ],
            Self::Storage => &[
                ("src/lib.rs", include_str!("storage/lib.rs.in")),
                ("src/folder.rs", include_str!("storage/folder.rs.in")),
            ],
            Self::Tools => &[("src/lib.rs", include_str!("tools/lib.rs.in"))],
        }
    }

    /// What its README says at its end.
    fn next(self) -> &'static str {
        match self {
            Self::Runtime => "\nServers are then created with the language of the plugin's name.",
            Self::Storage => "\n`storage.use` in the configuration then names the plugin.",
            Self::Tools => "",
        }
    }
}

/// What every crate has.
const SHARED: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("shared/Cargo.toml.in")),
    (".gitignore", include_str!("shared/gitignore.in")),
    ("README.md", include_str!("shared/README.md.in")),
    ("src/main.rs", include_str!("shared/main.rs.in")),
    ("tests/conformance.rs", include_str!("shared/conformance.rs.in")),
];

/// Writes the crate of a new plugin into a folder of its own below `into`.
///
/// # Errors
/// There is something of that name already, which stays as it is; `sdk` has no SDK; what the disk says.
pub fn scaffold(kind: Kind, id: &Id, sdk: &Sdk, into: &Path) -> Result<Scaffold> {
    let package = format!("perennial-{}-{}", kind.as_str(), id.0);
    let library = package.replace('-', "_");
    let file = format!("{}{library}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let words = [
        ("__CRATE__", package.as_str()),
        ("__LIB__", &library),
        ("__FILE__", &file),
        ("__KIND__", kind.as_str()),
        ("__TYPE__", kind.type_name()),
        ("__IDENT__", &id.0.replace('-', "_")),
        ("__ID__", &id.0),
        ("__SDK__", &sdk.dependency()?),
        ("__NEXT__\n", &line(kind.next())),
    ];
    fs::create_dir_all(into).map_err(|error| failed(into, error))?;
    let folder = into.join(&id.0);
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::new(ErrorCode::Conflict, format!("`{}` is there already", folder.display()))
                .hint("nothing was written: give the plugin another name, or name another folder with `--into`")
        }
        _ => failed(&folder, error),
    })?;
    let written = SHARED.iter().chain(kind.sources()).try_for_each(|(path, template)| {
        let text = words.iter().fold((*template).to_owned(), |text, (word, meant)| text.replace(word, meant));
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(|error| failed(&path, error))?;
        fs::write(&path, text).map_err(|error| failed(&path, error))
    });
    if let Err(error) = written {
        // half a crate would be in the way of the next try
        let _ = fs::remove_dir_all(&folder);
        return Err(error);
    }
    Ok(Scaffold { folder, library: file })
}

impl Sdk {
    /// As a value in `Cargo.toml`.
    fn dependency(&self) -> Result<String> {
        let folder = match self {
            Self::OfThisVersion => return Ok(format!("\"{}\"", compatible(perennial_sdk::SDK_VERSION))),
            Self::Folder(folder) => folder,
        };
        let wrong = |what: String| Error::invalid(what).hint("`--sdk` names the folder of the crate `perennial-sdk`");
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))
            .map_err(|error| wrong(format!("`{}` has no `Cargo.toml` that can be read: {error}", folder.display())))?;
        let name = toml::from_str::<toml::Table>(&manifest).ok();
        let name = name.as_ref().and_then(|manifest| manifest.get("package")?.get("name")?.as_str());
        if name != Some("perennial-sdk") {
            return Err(wrong(format!("`{}` is not the crate `perennial-sdk`", folder.display())));
        }
        let folder = fs::canonicalize(folder).map_err(|error| failed(folder, error))?;
        let folder = folder.to_str().ok_or_else(|| wrong(format!("`{}` is not UTF-8", folder.display())))?;
        Ok(format!("{{ path = {} }}", toml::Value::from(folder)))
    }
}

/// The requirement that a version and those that are compatible with it meet.
fn compatible(version: &str) -> String {
    let parts: Vec<_> = version.split('.').collect();
    parts[..if parts[0] == "0" { 2.min(parts.len()) } else { 1 }].join(".")
}

fn line(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::from(error).context(format!("`{}` cannot be written", path.display()))
}

impl Id {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Id {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let fits = plain && text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= 64;
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err("a name has a lowercase letter first, and then lowercase letters, digits and `-`, 64 in all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_identifier_but_for_its_dashes() {
        for good in ["a", "type", "notes-2", "a--b-"] {
            assert!(good.parse::<Id>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "2a", "A", "a_b", "é", "a b", "a/b", "..", &"a".repeat(65)] {
            assert!(bad.parse::<Id>().is_err(), "{bad}");
        }
    }

    #[test]
    fn compatible_versions_have_the_first_number_that_is_not_0() {
        assert_eq!(["0.1.0", "0.12.3", "1.4.2", "2"].map(compatible), ["0.1", "0.12", "1", "2"]);
    }

    #[test]
    fn a_plugin_is_forty_lines() {
        for kind in [Kind::Runtime, Kind::Storage, Kind::Tools] {
            let (name, source) = kind.sources()[0];
            assert!(name == "src/lib.rs" && source.lines().count() <= 40, "{kind:?}");
        }
    }

    #[test]
    fn nothing_is_left_of_the_words_in_capitals() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [Kind::Runtime, Kind::Storage, Kind::Tools] {
            let id: Id = format!("my-{}", kind.as_str()).parse().unwrap();
            let made = scaffold(kind, &id, &Sdk::OfThisVersion, folder.path()).unwrap();
            let files = SHARED.iter().chain(kind.sources()).map(|(path, _)| made.folder.join(path));
            files.for_each(|file| assert!(!fs::read_to_string(&file).unwrap().contains("__"), "{file:?}"));
            let again = scaffold(kind, &id, &Sdk::OfThisVersion, folder.path()).unwrap_err();
            assert_eq!(again.code, ErrorCode::Conflict);
        }
        let nowhere = Sdk::Folder(folder.path().into());
        let error = scaffold(Kind::Tools, &"x".parse().unwrap(), &nowhere, folder.path()).unwrap_err();
        assert!(error.message.contains("has no `Cargo.toml`"), "{error}");
        assert!(!folder.path().join("x").exists());
    }
}
