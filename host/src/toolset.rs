//! The tools of a running server.

use std::{collections::HashMap, sync::OnceLock};

use perennial_sdk::{Error, Result, ToolDefinition};
use serde_json::Value;

use crate::{
    definitions::{Cleaned, clean},
    schema::InputSchema,
};

/// The tools of a running server, with their input schemas compiled when first needed.
#[derive(Debug, Default)]
pub struct Toolset {
    definitions: Vec<ToolDefinition>,
    notes: Vec<String>,
    by_name: HashMap<String, (usize, OnceLock<InputSchema>)>,
}

impl Toolset {
    /// The tools of a listing, [cleaned](clean). Of two with the same name the first one counts, as it does for the child.
    pub fn new(definitions: Vec<ToolDefinition>) -> Self {
        let Cleaned { definitions, notes } = clean(definitions);
        let mut by_name = HashMap::with_capacity(definitions.len());
        for (index, tool) in definitions.iter().enumerate() {
            by_name.entry(tool.name.clone()).or_insert((index, OnceLock::new()));
        }
        Self { definitions, notes, by_name }
    }

    /// The definitions, as the child gave them but for what nobody could see or read.
    pub fn definitions(&self) -> &[ToolDefinition] {
        &self.definitions
    }

    /// What of the definitions is not as the child gave it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// A tool by its name.
    pub fn get(&self, name: &str) -> Option<&ToolDefinition> {
        self.by_name.get(name).map(|(index, _)| &self.definitions[*index])
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.definitions.iter().map(|tool| tool.name.as_str())
    }

    /// Whether there is such a tool, and whether these arguments fit it.
    ///
    /// # Errors
    /// `not_found` with the names that there are; `invalid` with the fields that do not fit.
    pub fn check(&self, name: &str, arguments: &Value) -> Result<()> {
        let Some((index, schema)) = self.by_name.get(name) else {
            let shown: String = name.chars().take(80).collect();
            let known = self.names().collect::<Vec<_>>().join(", ");
            let hint = if known.is_empty() { "it has no tools".into() } else { format!("its tools are: {known}") };
            return Err(Error::not_found(format!("the server has no tool `{shown}`")).hint(hint));
        };
        let tool = &self.definitions[*index];
        schema.get_or_init(|| InputSchema::compile(tool)).check(tool, arguments)
    }
}
