use std::sync::Arc;

use indexmap::IndexMap;
use perennial_sdk::{DynTools, ToolDefinition};

use super::{Contributed, Tool, built_in};

/// Every tool by its name, in the order in which it is listed.
pub struct Registry {
    tools: IndexMap<String, Box<dyn Tool>>,
}

impl Registry {
    /// The built-in tools and those of plugins. A name that a built-in has is never given to another; of two plugins
    /// the first one keeps it.
    pub fn new<'a>(providers: impl Iterator<Item = (&'a str, Arc<dyn DynTools>)>) -> Self {
        let mut tools: IndexMap<String, Box<dyn Tool>> =
            built_in().into_iter().map(|tool| (tool.definition().name, tool)).collect();
        for (plugin, provider) in providers {
            for definition in provider.tools() {
                let name = definition.name.clone();
                if tools.contains_key(&name) {
                    tracing::warn!(plugin, tool = name, "a tool of that name is there already: this one is left out");
                    continue;
                }
                tools.insert(name, Box::new(Contributed { definition, provider: provider.clone() }));
            }
        }
        Self { tools }
    }

    /// A tool by its name; `save_server` is understood as `save-server`.
    pub fn get(&self, name: &str) -> Option<&dyn Tool> {
        let found = self.tools.get(name).or_else(|| self.tools.get(&name.replace('_', "-")));
        found.map(Box::as_ref)
    }

    /// What `tools/list` shows.
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.tools.values().map(|tool| tool.definition()).collect()
    }

    /// The names of all tools.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }
}
