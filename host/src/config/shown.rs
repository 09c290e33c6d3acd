//! The configuration as people may see it: what is in force, where each setting comes from, and no secret.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config,
    source::{self, Document, Step},
};

/// What stands where a secret would.
pub(super) const HIDDEN: &str = "(hidden)";

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Its dotted key.
    pub key: String,
    /// Its value, unless that is a secret.
    pub value: Value,
    /// What decided it.
    pub origin: SettingOrigin,
}

/// What decided a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "at", rename_all = "lowercase")]
pub enum SettingOrigin {
    /// Nobody.
    Default,
    /// The file, at `FILE:LINE:COLUMN`.
    File(String),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl Config {
    /// All that is in force, as the tables of the file. Values that are secret by their key, and passwords in URLs, are
    /// left out, but for `${…}`, which tells nothing.
    pub fn shown(&self) -> Value {
        let mut all = serde_json::to_value(self).unwrap_or_default();
        hide(&mut all, &mut Vec::new());
        all
    }

    /// The same setting by setting, with what decided each.
    pub fn settings(&self) -> Vec<Setting> {
        let document = self.origin.document.as_deref();
        let tree = document.and_then(Document::tree);
        let mut leaves = Vec::new();
        flatten(&self.shown(), &mut Vec::new(), &mut leaves);
        let in_file = |steps: &[Step<'_>]| {
            let found = source::find(tree.as_ref()?, steps).filter(|found| found.depth == steps.len())?;
            Some(document?.place(found.key()).to_string())
        };
        let setting = |(path, value): (Vec<String>, Value)| {
            let key = path.iter().map(|step| quoted(step)).collect::<Vec<_>>().join(".");
            let steps: Vec<_> = path.iter().map(|step| Step::Key(step)).collect();
            let origin = match (self.origin.overridden.get(&key), in_file(&steps)) {
                (Some(variable), _) => SettingOrigin::Variable((*variable).to_owned()),
                (None, Some(place)) => SettingOrigin::File(place),
                (None, None) => SettingOrigin::Default,
            };
            Setting { key, value, origin }
        };
        leaves.into_iter().map(setting).collect()
    }
}

impl std::fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The settings of a tree of tables, each with its path.
pub(super) fn flatten(value: &Value, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Object(table) if !table.is_empty() || path.is_empty() => {
            for (key, value) in table {
                path.push(key.clone());
                flatten(value, path, leaves);
                path.pop();
            }
        }
        value if *value != Value::Object(Map::new()) || path.len() > 1 => leaves.push((path.clone(), value.clone())),
        _ => {}
    }
}

fn hide(value: &mut Value, path: &mut Vec<String>) {
    match value {
        Value::Object(table) => {
            // numbers that JSON lacks; TOML in turn has nothing for `null`
            table.retain(|_, value| !value.is_null());
            for (key, value) in table {
                if let Some(Value::String(date)) = value.get(DATE) {
                    *value = Value::from(date.as_str());
                }
                path.push(key.clone());
                hide(value, path);
                path.pop();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, path)),
        Value::String(text) if is_secret(path) && !is_reference(text) => *text = HIDDEN.into(),
        Value::String(text) => hide_credentials(text),
        _ => {}
    }
}

/// How the crate `toml` passes dates on.
const DATE: &str = "$__toml_private_datetime";

/// Whether a value is secret by its key. Only plugins and the clients of HTTP have such keys.
fn is_secret(path: &[String]) -> bool {
    if let [http, tokens, _] = path
        && (http.as_str(), tokens.as_str()) == ("http", "tokens")
    {
        return true;
    }
    let [plugins, _, part, rest @ ..] = path else { return false };
    if plugins != "plugins" || rest.is_empty() {
        return false;
    }
    let telling = |key: &String| {
        let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let words = ["secret", "password", "passwd", "passphrase", "token", "credential", "authorization"];
        key.ends_with("key") || words.iter().any(|word| key.contains(word))
    };
    part == "env" || rest.iter().any(telling)
}

/// Whether a text is nothing but one `${…}`.
fn is_reference(text: &str) -> bool {
    let inner = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains(['{', '}']))
}

fn hide_credentials(text: &mut String) {
    if let Some(secret) = credentials(text) {
        text.replace_range(secret, HIDDEN);
    }
}

/// What is secret of what stands before the `@` of a URL: the password, or all when there is no colon.
fn credentials(text: &str) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let end = text[start..].find(['/', '?', '#', ' ']).map_or(text.len(), |end| start + end);
    let at = start + text[start..end].rfind('@')?;
    let user_end = text[start..at].find(':').filter(|end| !text[start..start + end].contains("${"));
    let secret = user_end.map_or(start, |end| start + end + 1)..at;
    (!is_reference(&text[secret.clone()])).then_some(secret)
}

/// Where secrets stand in the text of a file, in bytes, however much of it can be parsed.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    let (root, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    search(text, root.get_ref(), &mut Vec::new(), &mut found);
    found
}

/// The same text without its secrets. Every character keeps its width, so that places stay where they are.
pub(super) fn masked(text: &str) -> String {
    let secrets = secrets(text);
    let mask = |(at, character): (usize, char)| {
        let secret = secrets.iter().any(|secret| secret.contains(&at));
        match character.len_utf8() {
            _ if !secret || character == '\n' || character == '\r' => character,
            1 => '*',
            2 => '\u{b7}',
            3 => '\u{2022}',
            _ => '\u{1f512}',
        }
    };
    text.char_indices().map(mask).collect()
}

/// What there is in a stretch of a text beside `${…}`.
fn literals(text: &str, mut stretch: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    while let Some(at) = text[stretch.clone()].find("${").map(|at| stretch.start + at) {
        found.push(stretch.start..at);
        let end = text[at..stretch.end].find('}').map_or(stretch.end, |end| at + end + 1);
        stretch.start = end;
    }
    found.push(stretch);
    found.retain(|literal| !literal.is_empty());
    found
}

fn search(text: &str, table: &DeTable<'_>, path: &mut Vec<String>, found: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        search_value(text, value, path, found);
        path.pop();
    }
}

fn search_value(text: &str, value: &Spanned<DeValue<'_>>, path: &mut Vec<String>, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => search(text, table, path, found),
        DeValue::Array(items) => items.iter().for_each(|item| search_value(text, item, path, found)),
        DeValue::String(_) => {
            let span = value.span();
            let Some(written) = text.get(span.clone()) else { return };
            let start = span.start + written.len() - written.trim_start_matches(['"', '\'']).len();
            let end = span.end - (written.len() - written.trim_end_matches(['"', '\'']).len());
            if is_secret(path) {
                found.extend(literals(text, start..end.max(start)));
            } else if let Some(secret) = credentials(written) {
                found.extend(literals(text, span.start + secret.start..span.start + secret.end));
            }
        }
        _ => {}
    }
}

/// A step of a dotted key as TOML wants it written.
fn quoted(step: &str) -> String {
    let bare = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if bare { step.to_owned() } else { Value::from(step).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_left_out() {
        for (url, shown) in [
            ("https://packages.example.com/simple", "https://packages.example.com/simple"),
            ("https://user:s3cr3t@example.com/a@b", "https://user:(hidden)@example.com/a@b"),
            ("https://user:a@b@example.com", "https://user:(hidden)@example.com"),
            ("https://t0k3n@example.com", "https://(hidden)@example.com"),
            ("http://user:${env:PASSWORD}@example.com:3128", "http://user:${env:PASSWORD}@example.com:3128"),
            ("http://user:a${env:PASSWORD}@example.com", "http://user:(hidden)@example.com"),
            ("http://${env:BOTH}@example.com", "http://${env:BOTH}@example.com"),
            ("${file:proxy}", "${file:proxy}"),
        ] {
            let mut text = url.to_owned();
            hide_credentials(&mut text);
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn a_file_is_masked_in_place_even_when_it_is_broken() {
        let text = "[registries]\nnpm = 'http://me:pä€🔑ss@a.b/'\n[plugins.s3.config]\nbucket = 'b'\n\
                    secret = \"\"\"one\ntwo\"\"\"\nkeys = { token = ['x', '${env:Y}'] }\nbroken = \n";
        let shown = masked(text);
        assert_eq!(
            shown,
            "[registries]\nnpm = 'http://me:*·•\u{1f512}**@a.b/'\n[plugins.s3.config]\nbucket = 'b'\n\
             secret = \"\"\"***\n***\"\"\"\nkeys = { token = ['*', '${env:Y}'] }\nbroken = \n"
        );
        assert_eq!(shown.len(), text.len());
    }

    #[test]
    fn secrets_of_plugins_are_known_by_their_keys() {
        let secret = |path: &str| is_secret(&path.split('.').map(str::to_owned).collect::<Vec<_>>());
        for path in ["config.secret_access_key", "config.apiKey", "config.auth.token.value", "env.HOME"] {
            assert!(secret(&format!("plugins.x.{path}")), "{path}");
        }
        assert!(secret("http.tokens.ada") && !secret("http.listen"));
        for path in ["plugins.x.config.access_key_id", "plugins.x.config.bucket", "policy.env", "plugins.token.config"]
        {
            assert!(!secret(path), "{path}");
        }
    }
}
