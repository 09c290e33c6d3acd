//! `${env:NAME}`, `${file:PATH}` and `${folder}` in the strings that may hold secrets: `[registries]`, the
//! tokens of `[http]` and the plugins' own tables.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError, Variables,
    source::{Document, Resolved},
};

/// Replaces every `${…}`, `${folder}` by the file's own folder; `$${` stands for a plain `${`.
///
/// # Errors
/// A variable that is not set, a file that cannot be read, or anything else after `${`.
pub(super) fn resolve(
    table: &mut DeTable<'_>,
    document: &Document,
    variables: &Variables,
) -> Result<Vec<Resolved>, ConfigError> {
    let mut walk = Walk { document, variables, resolved: Vec::new() };
    if let Some(DeValue::Table(registries)) = table.get_mut("registries").map(Spanned::get_mut) {
        registries.iter_mut().try_for_each(|(_, value)| walk.value(value))?;
    }
    if let Some(DeValue::Table(http)) = table.get_mut("http").map(Spanned::get_mut) {
        http.get_mut("tokens").map_or(Ok(()), |tokens| walk.value(tokens))?;
    }
    if let Some(DeValue::Table(plugins)) = table.get_mut("plugins").map(Spanned::get_mut) {
        for (_, plugin) in plugins.iter_mut() {
            if let DeValue::Table(plugin) = plugin.get_mut() {
                for key in ["config", "env"] {
                    plugin.get_mut(key).map_or(Ok(()), |value| walk.value(value))?;
                }
            }
        }
    }
    Ok(walk.resolved)
}

struct Walk<'a> {
    document: &'a Document,
    variables: &'a Variables,
    resolved: Vec<Resolved>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) if text.contains("${") => {
                let resolved = self.text(text).map_err(|(error, token)| {
                    let written = self.document.text().get(span.clone()).unwrap_or_default();
                    let token = written.find(&token).map(|at| span.start + at..span.start + at + token.len());
                    error.at(self.document.place(token.unwrap_or(span)))
                })?;
                *text = resolved.into();
                Ok(())
            }
            DeValue::Table(table) => table.iter_mut().try_for_each(|(_, value)| self.value(value)),
            DeValue::Array(array) => array.iter_mut().try_for_each(|value| self.value(value)),
            _ => Ok(()),
        }
    }

    /// On failure the `${…}` that failed, beside the error.
    fn text(&mut self, text: &str) -> Result<String, (ConfigError, String)> {
        let (mut result, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("${") {
            if rest[..at].ends_with('$') {
                result.push_str(&rest[..at]);
                result.push('{');
                rest = &rest[at + 2..];
                continue;
            }
            let end = rest[at..].find('}').map(|end| at + end + 1);
            let token = &rest[at..end.unwrap_or(rest.len())];
            let value = self.token(token).map_err(|error| (error, token.to_owned()))?;
            result.push_str(&rest[..at]);
            result.push_str(&value);
            self.resolved.push(Resolved { written: token.to_owned(), value });
            rest = &rest[at + token.len()..];
        }
        Ok(result + rest)
    }

    fn token(&self, token: &str) -> Result<String, ConfigError> {
        let inner = token.strip_prefix("${").and_then(|token| token.strip_suffix('}')).unwrap_or_default();
        match inner.split_once(':') {
            Some(("env", name)) => match self.variables.get(name).map(|value| value.to_str()) {
                Some(Some(value)) => Ok(value.to_owned()),
                Some(None) => Err(ConfigError::new(format!("environment variable `{name}` is not UTF-8"))),
                None => Err(ConfigError::new(format!("environment variable `{name}` is not set"))
                    .with_help("chat clients pass on few variables: name it in the client's own `env` setting")),
            },
            Some(("file", path)) => {
                let path = self.document.path().parent().unwrap_or(Path::new("")).join(path);
                let text = std::fs::read_to_string(&path);
                let text =
                    text.map_err(|error| ConfigError::new(format!("cannot read `{}`: {error}", path.display())))?;
                Ok(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None if inner == "folder" => match self.document.path().parent().map(Path::to_str) {
                Some(Some(folder)) => Ok(folder.to_owned()),
                _ => Err(ConfigError::new("the folder of this file has a name that is not UTF-8")),
            },
            _ => Err(ConfigError::new(format!("`{token}` is not `${{env:NAME}}`, `${{file:PATH}}` or `${{folder}}`"))
                .with_help("write `$${` for a plain `${`")),
        }
    }
}
