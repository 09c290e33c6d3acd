//! Changes to the file that a command makes for its user: what it does not change stays as it was, to the byte.

mod file;
mod hash;
mod lines;
mod removal;
mod table;

use std::path::Path;

use perennial_sdk::{Error, Result};
use toml_edit::{DocumentMut, TableLike};

use self::file::Original;
use super::PluginName;

pub use self::hash::Hash;
pub use self::table::{NewPlugin, NewSource};

/// The configuration file, opened for a change.
#[derive(Debug)]
pub struct Edit {
    original: Original,
    text: String,
}

impl Edit {
    /// Opens the file, or begins one that is not there yet.
    ///
    /// # Errors
    /// It cannot be read, or may not be written.
    pub fn open(path: &Path) -> Result<Self> {
        let original = Original::read(path)?;
        Ok(Self { text: original.text().to_owned(), original })
    }

    /// Whether there is no such file yet.
    pub fn is_new(&self) -> bool {
        self.original.is_new()
    }

    /// The text as it would be written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Writes the hash of a plugin's file on `platform`, in the place of `trust = "unpinned"` or of the hash before it,
    /// which it answers.
    ///
    /// # Errors
    /// The file is no TOML, or has no such plugin.
    pub fn pin(&mut self, plugin: &PluginName, hash: &Hash<'_>) -> Result<Option<String>> {
        self.change(|document| {
            let table = plugin_table(document, plugin)?;
            Ok(hash::write(table, hash))
        })
    }

    /// Adds the table of a plugin.
    ///
    /// # Errors
    /// The file is no TOML, or cannot have one more table of plugins.
    pub fn add(&mut self, plugin: &NewPlugin) -> Result<()> {
        // what is appended leaves everything else alone; only `plugins = { … }` cannot be gone on with like that
        let appended = plugin.appended_to(self.original.text(), self.original.newline());
        if appended.parse::<DocumentMut>().is_ok() {
            self.text = appended;
            return Ok(());
        }
        self.change(|document| plugin.insert_into(document))
    }

    /// Removes the table of a plugin, with the comment right above it.
    ///
    /// # Errors
    /// The file is no TOML, or has no such plugin.
    pub fn remove(&mut self, plugin: &PluginName) -> Result<()> {
        self.change(|document| removal::remove(document, plugin))
    }

    /// Writes the file, all or nothing: to a file of its own first, which then takes the place of the old one.
    ///
    /// # Errors
    /// It was changed since it was opened; what the disk says.
    pub fn save(&self) -> Result<()> {
        self.original.replace(&self.text)
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut DocumentMut) -> Result<T>) -> Result<T> {
        let text = self.original.text();
        let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut document: DocumentMut = plain.parse().map_err(|error: toml_edit::TomlError| {
            Error::invalid(format!("`{}` is no TOML: {}", self.original.path().display(), error.message()))
        })?;
        let done = change(&mut document)?;
        self.text = lines::keep(text, &document.to_string());
        Ok(done)
    }
}

fn plugin_table<'a>(document: &'a mut DocumentMut, plugin: &PluginName) -> Result<&'a mut dyn TableLike> {
    let table = document.get_mut("plugins").and_then(|plugins| plugins.as_table_like_mut());
    let table = table.and_then(|plugins| plugins.get_mut(plugin.as_str())?.as_table_like_mut());
    table.ok_or_else(|| Error::not_found(format!("the file has no table `[plugins.{plugin}]`")))
}

#[cfg(test)]
mod tests;
