//! cargo's settings: the user's mirrors, proxy and certificates, without what would change how crates are built.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

/// What cargo is told.
#[derive(Debug, Default)]
pub(super) struct CargoSettings {
    /// For the steps that talk to the registry alone: credentials are among them.
    pub(super) variables: BTreeMap<String, String>,
    /// A configuration file for the folder that cargo runs in; nothing when there are no mirrors. The steps that compile
    /// see it too, so it holds no tokens.
    pub(super) file: Option<String>,
}

/// Tables of which every setting says how registries are reached.
const TRANSPORT: &[&str] = &["http", "net"];

impl CargoSettings {
    /// The settings of `folder`, a `.cargo`, with those variables of cargo's that name mirrors and how to get there.
    pub(super) fn read(folder: &Path, variables: &BTreeMap<String, String>, mirror: Option<&str>) -> Self {
        let table = |names: &[&str]| -> Table {
            let texts = names.iter().filter_map(|name| std::fs::read_to_string(folder.join(name)).ok());
            texts.filter_map(|text| text.parse().ok()).next().unwrap_or_default()
        };
        let config = table(&["config", "config.toml"]);
        let credentials = table(&["credentials", "credentials.toml"]);
        // relative paths count from the folder that holds `.cargo`
        let base = folder.parent().unwrap_or(folder);
        let mut settings = Self::default();
        for table in TRANSPORT {
            for (key, value) in config.get(*table).and_then(Value::as_table).into_iter().flatten() {
                if let Some(text) = scalar(key, value, base) {
                    settings.variables.insert(variable(&[table, key]), text);
                }
            }
        }
        for (name, registry) in credentials.get("registries").and_then(Value::as_table).into_iter().flatten() {
            if let Some(token) = registry.get("token").and_then(Value::as_str) {
                settings.variables.insert(variable(&["registries", name, "token"]), token.into());
            }
        }
        settings.variables.extend(variables.clone());
        settings.file = file(&config, base, mirror);
        settings
    }
}

/// Where the user's cargo keeps its settings.
pub(super) fn folder(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let chosen = variables.get("CARGO_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    chosen.or_else(|| Some(etcetera::home_dir().ok()?.join(".cargo")))
}

fn file(config: &Table, base: &Path, mirror: Option<&str>) -> Option<String> {
    let mut kept = Table::new();
    let mut sources = config.get("source").and_then(Value::as_table).cloned().unwrap_or_default();
    for (_, source) in sources.iter_mut() {
        for key in ["directory", "local-registry"] {
            if let Some(Value::String(path)) = source.get_mut(key) {
                *path = base.join(&*path).to_string_lossy().into_owned();
            }
        }
    }
    if let Some(url) = mirror {
        let sparse = if url.contains('+') { url.to_string() } else { format!("sparse+{url}") };
        sources = Table::from_iter([
            ("crates-io".to_string(), Value::Table(entry("replace-with", "mirror"))),
            ("mirror".to_string(), Value::Table(entry("registry", &sparse))),
        ]);
    }
    let mut registries = Table::new();
    for (name, registry) in config.get("registries").and_then(Value::as_table).into_iter().flatten() {
        if let Some(index) = registry.get("index").and_then(Value::as_str) {
            registries.insert(name.clone(), Value::Table(entry("index", index)));
        }
    }
    for (name, table) in [("source", sources), ("registries", registries)] {
        if !table.is_empty() {
            kept.insert(name.into(), Value::Table(table));
        }
    }
    (!kept.is_empty()).then(|| kept.to_string())
}

fn entry(key: &str, value: &str) -> Table {
    Table::from_iter([(key.to_string(), Value::String(value.into()))])
}

/// `http.check-revoke` → `CARGO_HTTP_CHECK_REVOKE`
fn variable(parts: &[&str]) -> String {
    format!("CARGO_{}", parts.join("_").replace(['-', '.'], "_").to_uppercase())
}

fn scalar(key: &str, value: &Value, base: &Path) -> Option<String> {
    match value {
        Value::String(path) if key == "cainfo" => Some(base.join(path).to_string_lossy().into_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, credentials: &str, mirror: Option<&str>) -> CargoSettings {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".cargo");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), config.replace("HOME", home.path().to_str().unwrap())).unwrap();
        std::fs::write(folder.join("credentials.toml"), credentials).unwrap();
        CargoSettings::read(&folder, &BTreeMap::new(), mirror)
    }

    #[test]
    fn mirrors_proxy_and_certificates_get_through_and_nothing_else() {
        let config = "[source.crates-io]\nreplace-with = 'ours'\n[source.ours]\nregistry = 'sparse+https://a.b/'\n\
                      [registries.ours]\nindex = 'sparse+https://a.b/'\ntoken = 's3cret'\n\
                      [http]\nproxy = 'http://p:1'\ncainfo = '/etc/ca.pem'\ncheck-revoke = false\n\
                      [build]\nrustc-wrapper = 'sccache'\n[env]\nA = 'b'\n";
        let settings = read(config, "[registries.ours]\ntoken = 's3cret'\n", None);
        let file = settings.file.unwrap();
        assert!(file.contains("replace-with = \"ours\"") && file.contains("sparse+https://a.b/"), "{file}");
        assert!(!file.contains("s3cret") && !file.contains("sccache"), "{file}");
        let variables: Vec<_> = settings.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            variables,
            [
                "CARGO_HTTP_CAINFO=/etc/ca.pem",
                "CARGO_HTTP_CHECK_REVOKE=false",
                "CARGO_HTTP_PROXY=http://p:1",
                "CARGO_REGISTRIES_OURS_TOKEN=s3cret",
            ]
        );
    }

    #[test]
    fn a_mirror_comes_before_all() {
        let file = read("[source.crates-io]\nreplace-with = 'x'\n", "", Some("https://m/index/")).file.unwrap();
        assert!(file.contains("registry = \"sparse+https://m/index/\"") && !file.contains("\"x\""), "{file}");
    }

    #[test]
    fn no_settings_need_no_file() {
        assert_eq!(read("[build]\njobs = 1\n", "", None).file, None);
    }
}
