use std::{collections::BTreeMap, str::FromStr};

use perennial_sdk::{Cx, Error, ErrorCode, Home, Version};
use serde_json::{Map, Value};

use super::command::{run, with_app};
use crate::{
    config::{Config, Directories},
    exit::Failure,
    moving::{self, Bundle, Choice, Copy, Ends, Imported},
    plugins::Storage,
    secrets::Redactor,
};

/// A storage as it is named on the command line: `json`, an instance of the configuration such as `archive`, or
/// `json:path=old/saved_servers.json` with settings that stand in front of those in the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    plugin: String,
    settings: BTreeMap<String, Value>,
}

/// Copies every saved server from one storage to another.
///
/// # Errors
/// A storage that is not there or does not take its configuration; both are the same; those of [`moving::copy`].
pub fn copy(
    config: &Config,
    directories: &Directories,
    from: &Place,
    to: &Place,
    dry_run: bool,
) -> Result<Copy, Failure> {
    run(async {
        let source = open(config, directories, from).await?;
        let target = open(config, directories, to).await?;
        let (one, other) = (source.storage(), target.storage());
        let copied = if one.location() == other.location() {
            let message = format!("source and target are the same: {}", one.location());
            Err(Failure::Usage(Error::invalid(message).hint("`--to json:path=FILE` names another one of a plugin")))
        } else {
            let ends = Ends { source: &*one, target: &*other, dry_run };
            moving::copy(&Cx::detached(), &ends).await.map_err(Failure::from)
        };
        source.shutdown().await;
        target.shutdown().await;
        copied
    })
}

/// A saved server for a file; the newest version when none is named.
///
/// # Errors
/// There is none, or several have the name; those of [`moving::bundle`]; `denied` when the value of a secret is in it.
pub fn export(
    config: Config,
    directories: Directories,
    reference: &str,
    version: Option<Version>,
    history: bool,
) -> Result<Bundle, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let id = library.find_deleted_too(&cx, reference).await?;
        let bundle = moving::bundle(library, &cx, &id, version, history).await?;
        // a version may be older than the secret that is in it
        let redactor = Redactor::of(app.host.secrets.all()?);
        let text = serde_json::to_string(&bundle).map_err(Error::from)?;
        if let Some(secret) = redactor.as_ref().and_then(|redactor| redactor.first_in(&text)) {
            let message =
                format!("what is saved holds the value of the secret `{secret}`, which never goes into a file");
            return Err(Error::new(ErrorCode::Denied, message)
                .hint("take it out with `update-server` and save again; export that version without `--history`")
                .into());
        }
        Ok(bundle)
    })
}

/// Puts the server of an exported file into the library.
///
/// # Errors
/// Those of [`moving::import`].
pub fn import(config: Config, directories: Directories, text: &[u8], choice: Choice) -> Result<Imported, Failure> {
    with_app(config, directories, async |app| {
        let choice = Choice { most_bytes: app.host.settings.get().code_bytes, ..choice };
        Ok(moving::import(&**app.host.library.storage(), &Cx::detached(), text, choice).await?)
    })
}

async fn open(config: &Config, directories: &Directories, place: &Place) -> Result<Storage, Failure> {
    // never a built-in one in its stead
    if config.third_party().iter().any(|(name, _)| name.to_string() == place.plugin) {
        let why =
            format!("the storage plugin `{}` is not built in, and nothing can be copied from or to it", place.plugin);
        return Err(Error::unsupported(why).hint("`perennial export` and `perennial import` move its servers").into());
    }
    let home = Home { data_dir: directories.data.clone() };
    let mut settings = match config.plugin_config(&place.plugin) {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    settings.extend(place.settings.clone().into_iter().map(from_here));
    let plugin = config.plugin_behind(&place.plugin);
    Storage::open(plugin, Value::Object(settings), home).await.map_err(|error| match error.code {
        ErrorCode::NotFound => among_instances(config, error).into(),
        _ if place.settings.is_empty() => config.config_error(&place.plugin, &error).into(),
        _ => Failure::Usage(error.context(format!("`{}` cannot be opened like this", place.plugin))),
    })
}

/// A `path` of the command line is relative to the current folder, as paths there are.
fn from_here((key, value): (String, Value)) -> (String, Value) {
    let path = value.as_str().filter(|_| key == "path").and_then(|path| std::path::absolute(path).ok());
    match path.as_deref().and_then(std::path::Path::to_str) {
        Some(path) => (key, path.into()),
        None => (key, value),
    }
}

/// Names the further instances, too.
fn among_instances(config: &Config, error: Error) -> Error {
    let instances: Vec<_> = config.instances().map(|(name, _)| name).collect();
    match (&error.hint, instances.as_slice()) {
        (Some(hint), [_, ..]) => {
            let hint = format!("{hint}; and in the configuration: {}", instances.join(", "));
            error.hint(hint)
        }
        _ => error,
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (plugin, rest) = text.split_once(':').map_or((text, None), |(plugin, rest)| (plugin, Some(rest)));
        if plugin.is_empty() {
            return Err("name a storage, such as `json` or `json:path=FILE`".into());
        }
        let mut settings = BTreeMap::new();
        for setting in rest.into_iter().flat_map(|rest| rest.split(',')) {
            let Some((key, value)) = setting.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(format!("`{setting}` is not `KEY=VALUE`: write `{plugin}:KEY=VALUE,…`"));
            };
            let value = match value {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
            };
            if settings.insert(key.to_owned(), value).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        Ok(Self { plugin: plugin.to_owned(), settings })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_a_plugin_and_its_settings() {
        let place = |text: &str| text.parse::<Place>().map(|place| (place.plugin, json!(place.settings)));
        assert_eq!(place("json"), Ok(("json".into(), json!({}))));
        let s3 = json!({"bucket": "team", "path_style": true, "retries": 3, "endpoint": "http://localhost:9000/?a=b"});
        let text = "s3:bucket=team,path_style=true,retries=3,endpoint=http://localhost:9000/?a=b";
        assert_eq!(place(text), Ok(("s3".into(), s3)));
        for bad in ["", ":path=x", "json:", "json:/a/b", "json:path=a,b", "json:path=a,path=b", "json:=a"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
