//! What can be known of a library before any of its code runs. Loading it runs constructors, so this comes first.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use object::{Architecture, BinaryFormat, Object, ObjectKind, ObjectSection, read::NameOrOrdinal};
use perennial_sdk::{Error, Manifest, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version of the interface that this program speaks.
const SPOKEN: &str = "1";

/// How long a copy is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// The file with this SHA-256, in lowercase hex.
    Sha256(String),
    /// Any file: for development.
    Unpinned,
}

/// A library that may be loaded.
#[derive(Debug)]
pub struct Inspected {
    /// Of the very bytes that were looked at, in hex.
    pub sha256: String,
    /// The plugins in it.
    pub manifests: Vec<Manifest>,
    path: PathBuf,
    bytes: Vec<u8>,
}

/// What is told of a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The library.
    pub file: PathBuf,
    /// Of its bytes, in hex.
    pub sha256: String,
    /// How many they are.
    pub bytes: usize,
    /// Operating system and architecture, as keys by platform name them.
    pub platform: String,
    /// The version of the plugin interface.
    pub abi: u32,
    /// The plugins in it.
    pub plugins: Vec<Manifest>,
}

/// What keys by platform call this machine, such as `linux-x86_64`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Looks at a library.
///
/// # Errors
/// The first thing about it because of which it must not be loaded.
pub fn inspect(path: &Path, pin: &Pin) -> Result<Inspected> {
    let shown = path.display();
    let bytes = read(path)?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Pin::Sha256(pinned) = pin
        && *pinned != sha256
    {
        return Err(Error::invalid(format!("the SHA-256 of `{shown}` is {sha256}, not {pinned} as the file pins"))
            .hint("nothing of it was run; if the plugin was updated on purpose, `perennial plugin pin` takes it"));
    }
    let file = object::File::parse(&*bytes).map_err(|error| {
        let text = bytes.iter().take(512).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        let what = if bytes.is_empty() {
            "is empty".into()
        } else if text {
            "is a text file, not a library".into()
        } else {
            format!("is no library that can be read: {error}")
        };
        Error::invalid(format!("`{shown}` {what}"))
            .hint("`path` names what the compiler made, such as `target/release/lib….so`")
    })?;
    fits_this_machine(&file).map_err(|error| error.context(format!("`{shown}`")))?;
    let manifests = plugins(&file).map_err(|error| error.context(format!("`{shown}`")))?;
    Ok(Inspected { sha256, manifests, path: path.into(), bytes })
}

impl Inspected {
    /// What is told of it.
    pub fn told(&self) -> Inspection {
        Inspection {
            file: self.path.clone(),
            sha256: self.sha256.clone(),
            bytes: self.bytes.len(),
            platform: platform(),
            abi: perennial_sdk::abi::MAJOR,
            plugins: self.manifests.clone(),
        }
    }

    /// The plugin that `name` in the configuration means: the one of that id, or else the only one.
    ///
    /// # Errors
    /// There are several, none of that id.
    pub fn choose(&self, name: &str) -> Result<&Manifest> {
        let known =
            || self.manifests.iter().map(|manifest| format!("`{}`", manifest.id)).collect::<Vec<_>>().join(", ");
        match (self.manifests.iter().find(|manifest| manifest.id == name), self.manifests.as_slice()) {
            (Some(manifest), _) | (None, [manifest]) => Ok(manifest),
            (None, _) => Err(Error::invalid(format!("`{}` holds no plugin `{name}`", self.path.display()))
                .hint(format!("it holds {}: name the table after one of them", known()))),
        }
    }

    /// A copy of the very bytes that were looked at, in a folder that only this account can reach, under a name made of
    /// them: the file itself may be exchanged at any time, and a loader that knows a path already gives what was there.
    ///
    /// # Errors
    /// The folder cannot be made, or belongs to somebody else.
    pub fn private_copy(&self, dir: &Path) -> Result<PathBuf> {
        let failed = |error: io::Error| {
            Error::from(error).context(format!("the plugin cannot be copied into `{}`", dir.display()))
        };
        match fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let folder = fs::symlink_metadata(dir).map_err(failed)?;
        if !folder.is_dir() || folder.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::new(
                perennial_sdk::ErrorCode::Denied,
                format!("`{}`, where plugins are copied to, is not a folder of this account", dir.display()),
            ));
        }
        if folder.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let copy = dir.join(format!("{}{}", self.sha256, std::env::consts::DLL_SUFFIX));
        if fs::read(&copy).is_ok_and(|there| there == self.bytes) {
            // kept for as long as somebody uses it
            let _ = File::open(&copy).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(copy);
        }
        forget_old_copies(dir);
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(failed)?;
        io::Write::write_all(&mut file, &self.bytes).map_err(failed)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o500)).map_err(failed)?;
        file.persist(&copy).map_err(|error| failed(error.error))?;
        Ok(copy)
    }
}

/// Removes copies that no start has used for a month; what is loaded stays usable without its name.
fn forget_old_copies(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let used = entry.metadata().and_then(|file| file.modified()).ok();
        if used.and_then(|used| used.elapsed().ok()).is_some_and(|age| age > KEPT_FOR) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The file's bytes, when nobody but its owner and those that it trusts could have written them.
fn read(path: &Path) -> Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags, open};
    let shown = path.display();
    let failed = |error: io::Error| {
        let hint = "`path` is relative to the configuration file";
        Error::from(error).context(format!("`{shown}` cannot be read")).hint(hint)
    };
    // a pipe would keep an ordinary open waiting for its writer
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    let mut file = File::from(file.map_err(|error| failed(error.into()))?);
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "not a regular file" };
        return Err(Error::invalid(format!("`{shown}` is {what}")).hint("`path` names a library"));
    }
    let denied = |what: String, remedy: String| Err(Error::new(perennial_sdk::ErrorCode::Denied, what).hint(remedy));
    if about.mode() & 0o002 != 0 {
        return denied(
            format!("`{shown}` can be written by every account of this machine"),
            format!("`chmod o-w '{shown}'`, when you know that nobody has changed it"),
        );
    }
    // who can exchange a link, or what it leads to, can exchange the library
    for file in [path.to_owned(), fs::canonicalize(path).map_err(failed)?] {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = fs::metadata(folder).map_err(failed)?.mode();
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return denied(
                format!("every account of this machine can exchange `{shown}`: its folder can be written by all"),
                format!("`chmod o-w '{}'`", folder.display()),
            );
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn fits_this_machine(file: &object::File<'_>) -> Result<()> {
    let (format, system) = match file.format() {
        BinaryFormat::Elf => ("ELF", "linux"),
        BinaryFormat::MachO => ("Mach-O", "macos"),
        BinaryFormat::Pe => ("PE", "windows"),
        _ => ("of an unknown format", ""),
    };
    if system != std::env::consts::OS {
        return Err(Error::invalid(format!(
            "it is {format}, for another operating system than {}",
            std::env::consts::OS
        ))
        .hint("`path` may be a table by platform, such as `{ linux-x86_64 = …, macos-aarch64 = … }`"));
    }
    let ours = match std::env::consts::ARCH {
        "x86_64" => Architecture::X86_64,
        "aarch64" => Architecture::Aarch64,
        _ => file.architecture(),
    };
    if file.architecture() != ours {
        let theirs = format!("{:?}", file.architecture()).to_lowercase();
        return Err(Error::invalid(format!("it was built for {theirs}, and this is {}", std::env::consts::ARCH))
            .hint("build it for this machine, or make `path` a table by platform"));
    }
    if file.kind() != ObjectKind::Dynamic {
        return Err(Error::invalid("it is no shared library")
            .hint("build it with `crate-type = [\"cdylib\"]`, or with `-shared`"));
    }
    Ok(())
}

/// The plugins that a library exports, all of which its manifests tell of.
fn plugins(file: &object::File<'_>) -> Result<Vec<Manifest>> {
    let damaged = |error: object::Error| Error::invalid(format!("it is damaged: {error}"));
    let mut symbols = Vec::new();
    for export in file.exports().map_err(damaged)? {
        if let NameOrOrdinal::Name(name) = export.map_err(damaged)?.name()
            && let Ok(name) = std::str::from_utf8(name)
            && let Some(rest) = name.strip_prefix('_').unwrap_or(name).strip_prefix("perennial_plugin_v")
            && let Some((version, _)) = rest.split_once("__")
        {
            symbols.push((version.to_owned(), name.strip_prefix('_').unwrap_or(name).to_owned()));
        }
    }
    let Some((version, _)) = symbols.first().cloned() else {
        return Err(Error::invalid("it is a library, but no plugin: it exports no `perennial_plugin_v1__…`")
            .hint("`export_plugin!` exports it in Rust, `perennial.h` tells how in C"));
    };
    symbols.retain(|(version, _)| version == SPOKEN);
    if symbols.is_empty() {
        return Err(Error::invalid(format!(
            "it speaks version {version} of the plugin interface, and this program version {SPOKEN}"
        ))
        .hint("build the plugin with another version of the SDK, or take another version of Perennial"));
    }
    let section = Manifest::SECTIONS.iter().find_map(|name| file.section_by_name(name));
    let section = section.ok_or_else(|| {
        Error::invalid("it has no manifest: the section `.perennial` is missing")
            .hint("`PERENNIAL_MANIFEST` in `perennial.h` writes it; stripping must not take it away")
    })?;
    let unreadable = |error: Error| error.context("its manifest cannot be used");
    let mut manifests = Manifest::parse_section(section.data().map_err(damaged)?).map_err(unreadable)?;
    manifests.retain(|manifest| symbols.iter().any(|(_, symbol)| *symbol == manifest.symbol()));
    if manifests.is_empty() {
        let exported = symbols.iter().map(|(_, symbol)| format!("`{symbol}`")).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(format!("its manifest tells of no plugin that it exports: {exported}")));
    }
    if let Some(aborting) = manifests.iter().find(|manifest| manifest.panic.as_deref() == Some("abort")) {
        return Err(Error::invalid(format!("a panic of its plugin `{}` would end Perennial", aborting.id))
            .hint("build it with `panic = \"unwind\"`, or run it out of process: `command = […]`"));
    }
    Ok(manifests)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
