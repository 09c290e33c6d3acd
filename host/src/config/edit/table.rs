use std::collections::BTreeMap;

use perennial_sdk::{Error, Result};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use crate::config::PluginName;

/// A plugin that the file is to have.
#[derive(Debug, Clone)]
pub struct NewPlugin {
    /// The table's name.
    pub name: PluginName,
    /// Where it comes from.
    pub from: NewSource,
    /// Its own settings.
    pub config: toml::Table,
}

/// Where a new plugin comes from.
#[derive(Debug, Clone)]
pub enum NewSource {
    /// A library, as it is written in the file, and its hash.
    Library {
        /// Relative to the file, or absolute.
        path: String,
        /// In hex.
        sha256: String,
    },
    /// Program and arguments.
    Command(Vec<String>),
}

impl NewPlugin {
    /// A text with the plugin's table at its end.
    pub(super) fn appended_to(&self, text: &str, newline: &str) -> String {
        let mut document = DocumentMut::new();
        let mut plugins = Table::new();
        plugins.set_implicit(true);
        plugins.insert(self.name.as_str(), Item::Table(self.table()));
        document.insert("plugins", Item::Table(plugins));
        let table = document.to_string().replace('\n', newline);
        let parting = match text {
            "" => String::new(),
            text if text.ends_with('\n') => newline.to_owned(),
            _ => newline.repeat(2),
        };
        format!("{text}{parting}{table}")
    }

    pub(super) fn insert_into(&self, document: &mut DocumentMut) -> Result<()> {
        let plugins = document.get_mut("plugins").and_then(|plugins| plugins.as_table_like_mut());
        let plugins: &mut dyn TableLike =
            plugins.ok_or_else(|| Error::invalid("`plugins` in the file is no table that one could be added to"))?;
        if let Some((_, Item::Value(last))) = plugins.iter_mut().last() {
            // the space before the brace that ends the list
            last.decor_mut().set_suffix("");
        }
        plugins.insert(self.name.as_str(), Item::Value(Value::InlineTable(self.table().into_inline_table())));
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        match &self.from {
            NewSource::Library { path, sha256 } => {
                table.insert("path", toml_edit::value(path));
                table.insert("sha256", toml_edit::value(sha256));
            }
            NewSource::Command(command) => {
                table.insert("command", toml_edit::value(command.iter().collect::<Array>()));
            }
        }
        if !self.config.is_empty() {
            table.insert("config", Item::Value(inline(&toml::Value::Table(self.config.clone()))));
        }
        table
    }
}

fn inline(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(date) => (*date).into(),
        toml::Value::Array(items) => Value::Array(items.iter().map(inline).collect()),
        toml::Value::Table(table) => {
            let sorted: BTreeMap<_, _> = table.iter().map(|(key, value)| (key.as_str(), inline(value))).collect();
            Value::InlineTable(sorted.into_iter().collect())
        }
    }
}
