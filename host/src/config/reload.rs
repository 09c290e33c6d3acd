//! What becomes of the configuration in force when the file is read again.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{Config, ConfigError, Exposure, Limits, StorageChoice, shown};

/// What a file that was read again comes to.
#[derive(Debug)]
pub struct Reloaded {
    /// What is in force from now on.
    pub config: Config,
    /// What is different from before.
    pub changed: Vec<Change>,
    /// What the file says, but only the next start can honour.
    pub pending: Vec<Change>,
}

/// A setting that changed.
#[derive(Debug, PartialEq)]
pub struct Change {
    key: String,
    from: Option<Value>,
    to: Option<Value>,
}

impl Config {
    /// What can change while the program runs is taken from `new`, and everything else stays.
    ///
    /// # Errors
    /// The file that was in force is gone: taking the defaults instead would be more than anybody asked for.
    pub fn reloaded(&self, new: Self) -> Result<Reloaded, ConfigError> {
        if let (Some(file), None) = (self.file(), new.file()) {
            return Err(ConfigError::new(format!("`{}` is gone", file.display())));
        }
        let config = Self {
            storage: StorageChoice { plugin: self.storage.plugin.clone(), ..new.storage.clone() },
            limits: Limits { line_mb: self.limits.line_mb, ..new.limits.clone() },
            policy: new.policy.clone(),
            registries: new.registries.clone(),
            cache: new.cache.clone(),
            exposure: Exposure { only: self.exposure.only.clone(), ..new.exposure.clone() },
            log: new.log.clone(),
            origin: new.origin.clone(),
            ..self.clone()
        };
        let (changed, pending) = (changes(self, &config), changes(&config, &new));
        Ok(Reloaded { config, changed, pending })
    }
}

fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let (mut old, new) = (values(old), values(new));
    let mut changes = Vec::new();
    for (key, to) in new {
        let from = old.remove(&key);
        if from.as_ref() != Some(&to) {
            changes.push(Change { key, from, to: Some(to) });
        }
    }
    changes.extend(old.into_iter().map(|(key, from)| Change { key, from: Some(from), to: None }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn values(config: &Config) -> BTreeMap<String, Value> {
    let mut leaves = Vec::new();
    shown::flatten(&serde_json::to_value(config).unwrap_or_default(), &mut Vec::new(), &mut leaves);
    leaves.into_iter().map(|(path, value)| (path.join("."), value)).collect()
}

/// The key, and its values unless one could be secret: here `${…}` has been replaced.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "unset".to_owned(), Value::to_string);
        match ["registries.", "plugins.", "http.tokens."].iter().any(|table| self.key.starts_with(table)) {
            true => f.write_str(&self.key),
            false => write!(f, "{} {} → {}", self.key, shown(&self.from), shown(&self.to)),
        }
    }
}
