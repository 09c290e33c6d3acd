use std::sync::{Arc, RwLock, RwLockReadGuard};

use indexmap::IndexMap;
use perennial_sdk::{DynTools, ToolDefinition};
use tokio::sync::watch;

use super::{Contributed, Tool, built_in, exposed::ExposedTool};
use crate::{
    exposure::{Exposure, Shown},
    library::Library,
};

/// Every tool by its name, in the order in which it is listed.
pub struct Registry {
    tools: RwLock<Tools>,
    exposure: Arc<Exposure>,
    changes: watch::Sender<()>,
}

type Tools = IndexMap<String, Arc<dyn Tool>>;

impl Registry {
    /// The built-in tools and those of plugins. A name that a built-in has is never given to another; of two plugins
    /// the first one keeps it, and both go before those of saved servers.
    pub fn new<'a>(providers: impl Iterator<Item = (&'a str, Arc<dyn DynTools>)>, exposure: Arc<Exposure>) -> Self {
        let tools: Tools = built_in().into_iter().map(|tool| (tool.definition().name, tool)).collect();
        let registry = Self { tools: RwLock::new(tools), exposure, changes: watch::Sender::default() };
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

    /// Hears when the tools of plugins, or of saved servers, change from now on.
    pub fn changes(&self) -> [watch::Receiver<()>; 2] {
        [self.changes.subscribe(), self.exposure.changes()]
    }

    /// A tool by its name; `save_server` is understood as `save-server`.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Tool>> {
        let own = self.own();
        let own = own.and_then(|own| own.get(name).or_else(|| own.get(&name.replace('_', "-"))).cloned());
        own.or_else(|| Some(Arc::new(ExposedTool(self.exposure.shown().route(name)?.clone()))))
    }

    /// The same, with a look at the library when nothing has that name: a client may know it from an earlier session, and
    /// ask for no list in this one.
    pub async fn find(&self, name: &str, library: &Arc<Library>) -> Option<Arc<dyn Tool>> {
        if let Some(tool) = self.get(name) {
            return Some(tool);
        }
        self.exposure.listed(library).await;
        self.get(name)
    }

    /// What `tools/list` shows.
    pub async fn definitions(&self, library: &Arc<Library>) -> Vec<ToolDefinition> {
        let shown = self.exposure.listed(library).await;
        let Some(own) = self.own() else { return shown.definitions().cloned().collect() };
        let theirs = shown.definitions().filter(|tool| !own.contains_key(&tool.name)).cloned();
        own.values().map(|tool| tool.definition()).chain(theirs).collect()
    }

    /// The names of all tools.
    pub fn names(&self) -> Vec<String> {
        let shown: Arc<Shown> = self.exposure.shown();
        let own = self.own();
        let own = own.iter().flat_map(|own| own.keys().map(String::as_str));
        own.chain(shown.names()).map(str::to_owned).collect()
    }

    /// Whether one saved server's tools are all there is.
    pub fn is_of_one(&self) -> bool {
        self.exposure.only().is_some()
    }

    /// The host's own tools and those of plugins.
    fn own(&self) -> Option<RwLockReadGuard<'_, Tools>> {
        (!self.is_of_one()).then(|| self.tools.read().expect("no holder panics"))
    }
}
