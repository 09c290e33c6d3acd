use std::path::PathBuf;

use perennial_sdk::Error;
use serde::Serialize;

use super::{as_written, named, save};
use crate::{
    config::{
        Request,
        edit::{Edit, Hash},
    },
    exit::Failure,
    plugins::{Pin, inspect, platform},
};

/// A plugin whose file has its hash in the configuration.
#[derive(Debug, Serialize)]
pub struct Pinned {
    /// Its name.
    pub plugin: String,
    /// The configuration.
    pub file: PathBuf,
    /// The library.
    pub library: PathBuf,
    /// The platform that the hash is for.
    pub platform: String,
    /// The hash that was there.
    pub old: Option<String>,
    /// The hash of the file as it is.
    pub new: String,
    /// The platforms that have a file and no hash.
    pub unpinned: Vec<String>,
}

/// Writes the hash of a plugin's library into the configuration. Nothing of the library is run, and one that could not be
/// loaded is not pinned.
///
/// # Errors
/// There is no such plugin, or it is no library; what is wrong with the library; the file cannot be written.
pub fn pin_plugin(request: &Request, name: &str) -> Result<Pinned, Failure> {
    let config = as_written(request)?;
    let (file, name, settings) = named(&config, name)?;
    let Some(path) = &settings.path else {
        let what = match &settings.command {
            Some(_) => "runs as a process, which is not pinned",
            None => "is built in, and comes with this program",
        };
        return Err(Error::unsupported(format!("the plugin `{name}` {what}"))
            .hint("only a library, which has a `path`, is pinned")
            .into());
    };
    let platform = platform();
    let Some(library) = path.here().map(|path| config.resolve(path)) else {
        let hint = format!("there is one for: {}", path.keys().join(", "));
        return Err(Error::not_found(format!("the plugin `{name}` has no `path` for {platform}")).hint(hint).into());
    };
    let inspected = inspect(&library, &Pin::Unpinned)?;
    inspected.choose(name.as_str())?;
    let mut edit = Edit::open(&file)?;
    let old = edit.pin(name, &Hash { platform: &platform, sha256: &inspected.sha256 })?;
    save(&edit, &file, request, Some(name))?;
    let hashes = settings.sha256.as_ref();
    let has_hash = |one: &str| hashes.is_some_and(|hashes| hashes.keys().is_empty() || hashes.keys().contains(&one));
    let unpinned = path.keys().into_iter().filter(|one| *one != platform && !has_hash(one)).map(str::to_owned);
    Ok(Pinned {
        plugin: name.to_string(),
        unpinned: unpinned.collect(),
        file,
        library,
        platform,
        old,
        new: inspected.sha256,
    })
}
