use std::path::PathBuf;

use perennial_sdk::{Error, ErrorCode};
use serde::Serialize;

use super::{as_written, named, save};
use crate::{
    config::{Request, edit::Edit},
    exit::Failure,
};

/// A plugin that the configuration no longer has.
#[derive(Debug, Serialize)]
pub struct Removed {
    /// Its name.
    pub plugin: String,
    /// The configuration.
    pub file: PathBuf,
    /// Whether there is a built-in plugin of that name, which is used from now on.
    pub built_in: bool,
}

/// Removes a plugin's table from the configuration. Its files stay.
///
/// # Errors
/// There is no such plugin, or saved servers are kept with it; the file cannot be written.
pub fn remove_plugin(request: &Request, name: &str) -> Result<Removed, Failure> {
    let config = as_written(request)?;
    let (file, name, _) = named(&config, name)?;
    if config.storage.plugin == *name {
        let what = format!("saved servers are kept with the plugin `{name}`: `storage.use` names it");
        return Err(Error::new(ErrorCode::Conflict, what)
            .hint("set `storage.use` to another storage first; `perennial export` and `import` move servers there")
            .into());
    }
    let mut edit = Edit::open(&file)?;
    edit.remove(name)?;
    save(&edit, &file, request, None)?;
    let built_in = perennial_sdk::registrations().iter().any(|plugin| plugin.id == name.as_str());
    Ok(Removed { plugin: name.to_string(), file, built_in })
}
