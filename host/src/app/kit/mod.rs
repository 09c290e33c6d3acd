//! What `perennial plugin …` does beyond listing: plugins are pinned, added, removed and tried.

mod add;
mod pin;
mod remove;
mod trial;

pub use add::{Added, add_plugin};
pub use pin::{Pinned, pin_plugin};
pub use remove::{Removed, remove_plugin};
pub use trial::{Subject, TRIAL, TryPlugin, carry_out_trial, try_plugin};

use std::path::{Path, PathBuf};

use perennial_sdk::Error;

use crate::{
    config::{Config, PluginName, PluginSettings, Request, edit::Edit, load, load_text, suggestion},
    exit::Failure,
};

/// The file in force, and what it says of a plugin that it has a table for.
fn named<'a>(config: &'a Config, name: &str) -> Result<(PathBuf, &'a PluginName, &'a PluginSettings), Error> {
    let Some(file) = config.file() else {
        return Err(Error::not_found("there is no configuration file, and no plugin in it")
            .hint("`perennial plugin add` makes it"));
    };
    match config.plugins.get_key_value(name) {
        Some((name, settings)) => Ok((file.to_path_buf(), name, settings)),
        None => {
            let what = format!("`{}` has no plugin `{name}`", file.display());
            let names: Vec<_> = config.plugins.keys().map(PluginName::as_str).collect();
            let hint = match names.as_slice() {
                [] => "it has none at all: `perennial plugin add` adds one".to_owned(),
                names => suggestion(name, names, "there are"),
            };
            Err(Error::not_found(what).hint(hint))
        }
    }
}

/// The configuration as it is written: a command that changes a line needs no secrets.
fn as_written(request: &Request) -> Result<Config, Failure> {
    Ok(load(&Request { resolve: false, ..request.clone() })?)
}

/// Looks once more whether the file would be read before it is written.
fn save(edit: &Edit, file: &Path, request: &Request, plugin: Option<&PluginName>) -> Result<(), Failure> {
    let request = Request { resolve: false, ..request.clone() };
    let changed = load_text(file.to_path_buf(), edit.text().to_owned(), &request)?;
    if let Some(plugin) = plugin {
        changed.check_plugin(plugin, &perennial_sdk::registrations())?;
    }
    Ok(edit.save()?)
}
