//! `[plugins.NAME] plugin = "json"`: a plugin that is there more than once, each time with settings of its own.

use perennial_sdk::Registration;

use super::{Config, ConfigError, PluginName, PluginSettings, source::Origin, wording};

impl Config {
    /// The plugins of the file that are further instances of built-in ones: the name, and what it is an instance of.
    pub fn instances(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.plugins.iter().filter_map(|(name, settings)| Some((name, settings.plugin.as_ref()?)));
        named.filter(|(name, of)| name != of).map(|(name, of)| (name.as_str(), of.as_str()))
    }

    /// The plugin that does the work of the one called `name`: itself, unless it is an instance of another.
    pub fn plugin_behind<'a>(&'a self, name: &'a str) -> &'a str {
        self.instances().find(|(instance, _)| *instance == name).map_or(name, |(_, of)| of)
    }
}

/// What is wrong with `[plugins.NAME] plugin = "OF"`.
pub(super) fn check(
    origin: &Origin,
    name: &PluginName,
    of: &PluginName,
    settings: &PluginSettings,
    built_in: &[&Registration],
) -> Result<(), ConfigError> {
    let at = |key: &str, error: ConfigError| Err(origin.place(error, &["plugins", name.as_str(), key]));
    for (key, set) in [("path", settings.path.is_some()), ("command", settings.command.is_some())] {
        if set {
            let error = ConfigError::new(format!("plugin `{name}` is `{of}` and has a `{key}`, too"));
            return at(key, error.with_help("a plugin comes from one place: leave `plugin` or the other out"));
        }
    }
    let others = [
        ("sha256", settings.sha256.is_some(), "path"),
        ("trust", settings.trust.is_some(), "path"),
        ("env", !settings.env.is_empty(), "command"),
        ("line_mb", settings.line_mb.is_some(), "command"),
    ];
    for (key, set, missing) in others {
        if set {
            return at(key, ConfigError::new(format!("plugin `{name}` sets `{key}` but has no `{missing}`")));
        }
    }
    if name != of && built_in.iter().any(|plugin| plugin.id == name.as_str()) {
        let error = ConfigError::new(format!("`{name}` is a plugin of its own and cannot be another `{of}`"));
        return at("plugin", error.with_help("give the further one a name that no plugin has"));
    }
    let Some(plugin) = built_in.iter().find(|plugin| plugin.id == of.as_str()) else {
        let ids: Vec<_> = built_in.iter().map(|plugin| plugin.id).collect();
        let help = wording::suggestion(of.as_str(), &ids, "built-in plugins");
        return at("plugin", ConfigError::new(format!("no plugin `{of}` is built in")).with_help(help));
    };
    if name != of && plugin.provides.contains(&"runtime") {
        let error = ConfigError::new(format!("`{of}` runs languages, which nothing else can run at the same time"));
        return at("plugin", error.with_help(format!("set what should be different in `[plugins.{of}]`")));
    }
    Ok(())
}
