//! npm's settings that say where packages are and how to get there, in the form of variables that npm reads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::percent_decode_str;

/// The settings that pass; others would change what is installed.
const SETTINGS: &[&str] = &[
    "ca",
    "cafile",
    "fetch-timeout",
    "http-proxy",
    "https-proxy",
    "local-address",
    "maxsockets",
    "noproxy",
    "offline",
    "proxy",
    "registry",
    "replace-registry-host",
    "strict-ssl",
];

const PREFIX: &str = "npm_config_";

/// The settings of the user's `.npmrc` and of this process' variables, the latter before the former, and `mirror` before
/// both. Node's own ways to trust an authority are among them.
pub(super) fn settings(variables: &BTreeMap<String, String>, mirror: Option<&str>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Some(file) = user_file(variables) {
        settings.extend(read(&std::fs::read_to_string(file).unwrap_or_default(), variables));
    }
    for (name, value) in variables {
        let known = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
        match known.map(|_| &name[PREFIX.len()..]) {
            Some(setting) if setting.starts_with("//") => insert(&mut settings, setting, value),
            Some(setting) => insert(&mut settings, &setting.to_lowercase().replace('_', "-"), value),
            None if matches!(name.as_str(), "NODE_EXTRA_CA_CERTS" | "NODE_USE_SYSTEM_CA" | "NODE_USE_ENV_PROXY") => {
                settings.insert(name.clone(), value.clone());
            }
            None => {}
        }
    }
    if let Some(file) = variables.get("NPM_CONFIG_GLOBALCONFIG").or(variables.get("npm_config_globalconfig")) {
        settings.insert(format!("{PREFIX}globalconfig"), file.clone());
    }
    if let Some(url) = mirror {
        insert(&mut settings, "registry", url);
        if let Some((setting, value)) = credentials(url) {
            insert(&mut settings, &setting, &value);
        }
    }
    settings
}

/// The credentials in a URL as a setting: npm shows those in the URL itself to whoever has a package's document, and not to
/// whoever has its archive.
fn credentials(url: &str) -> Option<(String, String)> {
    let (_, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (credentials, host) = authority.rsplit_once('@')?;
    let plain: Vec<u8> = percent_decode_str(credentials).collect();
    Some((format!("//{host}{}/:_auth", path.trim_end_matches('/')), BASE64_STANDARD.encode(plain)))
}

/// The same settings by the names that pnpm has listened to since version 11.
pub(super) fn for_pnpm(variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let settings = variables.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)));
    settings.map(|(setting, value)| (format!("p{PREFIX}{setting}"), value.clone())).collect()
}

fn user_file(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let chosen = variables.get("NPM_CONFIG_USERCONFIG").or(variables.get("npm_config_userconfig"));
    let home = || variables.get("HOME").or(variables.get("USERPROFILE")).map(|home| Path::new(home).join(".npmrc"));
    chosen.map(PathBuf::from).or_else(home)
}

/// The lines of an `.npmrc` that pass: <https://docs.npmjs.com/cli/configuring-npm/npmrc>.
fn read(text: &str, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with([';', '#', '['])) {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches('"');
        let name = name.trim();
        match name.strip_suffix("[]") {
            // npm reads a list from one variable when its values are so far apart
            Some(list) => {
                let known = settings.get(&format!("{PREFIX}{list}")).map(|known| format!("{known}\n\n"));
                insert(&mut settings, list, &format!("{}{}", known.unwrap_or_default(), expanded(value, variables)));
            }
            None => insert(&mut settings, name, &expanded(value, variables)),
        }
    }
    settings
}

fn insert(settings: &mut BTreeMap<String, String>, setting: &str, value: &str) {
    // credentials are bound to an address, and a scope's registry to the scope
    let bound = setting.starts_with("//") || setting.starts_with('@') && setting.ends_with(":registry");
    if bound || SETTINGS.contains(&setting) {
        let name = if bound { setting.to_string() } else { setting.replace('-', "_") };
        settings.insert(format!("{PREFIX}{name}"), value.to_string());
    }
}

/// Replaces `${NAME}`; what is not set stays as it is, as npm has it.
fn expanded(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if variables.contains_key(name) => {
                text.push_str(&variables[name]);
                rest = after;
            }
            _ => {
                text.push_str("${");
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn where_packages_are_passes_and_what_they_do_does_not() {
        let text = "registry = https://npm.example.com/\nignore-scripts=false\n; proxy=x\n@me:registry=https://a.b\n\
                    //npm.example.com/:_authToken=${TOKEN}\n//a.b/:_authToken=${OTHER}\nstrict-ssl=false\nscript-shell=/x\n\
                    ca[]=\"one\"\nca[]=\"two\"\n";
        let read = read(text, &variables(&[("TOKEN", "s3cret")]));
        let expected = variables(&[
            ("npm_config_//a.b/:_authToken", "${OTHER}"),
            ("npm_config_//npm.example.com/:_authToken", "s3cret"),
            ("npm_config_@me:registry", "https://a.b"),
            ("npm_config_ca", "one\n\ntwo"),
            ("npm_config_registry", "https://npm.example.com/"),
            ("npm_config_strict_ssl", "false"),
        ]);
        assert_eq!(read, expected);
    }

    #[test]
    fn variables_come_before_files_and_a_mirror_before_all() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".npmrc"), "registry=https://file\ncafile=/ca.pem\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let given = variables(&[
            ("HOME", home),
            ("NPM_CONFIG_REGISTRY", "https://variable"),
            ("npm_config_node_options", "--require=/evil"),
            ("NODE_EXTRA_CA_CERTS", "/more.pem"),
            ("NODE_OPTIONS", "--require=/evil"),
        ]);
        let expected = variables(&[
            ("NODE_EXTRA_CA_CERTS", "/more.pem"),
            ("npm_config_cafile", "/ca.pem"),
            ("npm_config_registry", "https://variable"),
        ]);
        assert_eq!(settings(&given, None), expected);
        assert_eq!(settings(&given, Some("https://mirror"))["npm_config_registry"], "https://mirror");
        let closed = settings(&given, Some("https://me:p%40ss@mirror:8/npm/"));
        assert_eq!(closed["npm_config_registry"], "https://me:p%40ss@mirror:8/npm/");
        assert_eq!(closed["npm_config_//mirror:8/npm/:_auth"], "bWU6cEBzcw==");
    }
}
