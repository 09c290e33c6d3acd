use perennial_sdk::{Error, Home, Result};
use serde_json::Value;

use super::{Plugin, Plugins, builtin};

impl Plugins {
    /// Opens built-in plugins once more, under names and with tables of their own: `(name, plugin, table)`.
    ///
    /// # Errors
    /// The name of the one whose configuration does not fit, and why.
    pub async fn open_instances(
        &mut self,
        home: &Home,
        instances: impl Iterator<Item = (&str, &str, Value)>,
    ) -> Result<(), (String, Error)> {
        for (name, of, config) in instances {
            let opening = async {
                let registration = builtin::registrations().into_iter().find(|plugin| plugin.id == of);
                let registration =
                    registration.ok_or_else(|| Error::not_found(format!("no plugin `{of}` is built in")))?;
                Ok((registration.version, (registration.open)(config, home.clone()).await?))
            };
            let (version, opened) = opening.await.map_err(|error| (name.to_owned(), error))?;
            self.built_in.push(Plugin::instance(name, of, version, opened));
        }
        Ok(())
    }
}
