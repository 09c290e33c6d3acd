use std::sync::{Arc, RwLock, RwLockReadGuard};

use indexmap::IndexMap;
use perennial_sdk::{DynTools, ToolDefinition};
use tokio::sync::watch;

use super::{Contributed, Tool, built_in};

/// Every tool by its name, in the order in which it is listed.
pub struct Registry {
    tools: RwLock<Tools>,
    complete: bool,
    changes: watch::Sender<()>,
}

type Tools = IndexMap<String, Arc<dyn Tool>>;

impl Registry {
    /// The built-in tools and those of plugins. A name that a built-in has is never given to another; of two plugins
    /// the first one keeps it. It is `complete` when nobody will add to it.
    pub fn new<'a>(providers: impl Iterator<Item = (&'a str, Arc<dyn DynTools>)>, complete: bool) -> Self {
        let tools: Tools = built_in().into_iter().map(|tool| (tool.definition().name, tool)).collect();
        let registry = Self { tools: RwLock::new(tools), complete, changes: watch::Sender::default() };
        for (plugin, provider) in providers {
            registry.add(plugin, &provider);
        }
        registry
    }

    /// Adds the tools of a plugin.
    pub fn add(&self, plugin: &str, provider: &Arc<dyn DynTools>) {
        let mut tools = self.tools.write().expect("no holder panics");
        for definition in provider.tools() {
            let name = definition.name.clone();
            if tools.contains_key(&name) {
                tracing::warn!(plugin, tool = name, "a tool of that name is there already: this one is left out");
                continue;
            }
            tools.insert(name, Arc::new(Contributed { definition, provider: provider.clone() }));
        }
        drop(tools);
        self.changes.send_replace(());
    }

    /// Whether nothing was to be added any more when it was made.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Hears when tools are added from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// A tool by its name; `save_server` is understood as `save-server`.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        let tools = self.tools();
        tools.get(name).or_else(|| tools.get(&name.replace('_', "-"))).cloned()
    }

    /// What `tools/list` shows.
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.tools().values().map(|tool| tool.definition()).collect()
    }

    /// The names of all tools.
    pub fn names(&self) -> Vec<String> {
        self.tools().keys().cloned().collect()
    }

    fn tools(&self) -> RwLockReadGuard<'_, Tools> {
        self.tools.read().expect("no holder panics")
    }
}
