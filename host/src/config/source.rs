use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use toml::de::{DeTable, DeValue};

use super::{ConfigError, error::Place, shown};

/// Where a configuration came from, so that a mistake found late is still shown at its line.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Origin {
    pub(super) document: Option<Arc<Document>>,
    /// Dotted keys that the environment decided → the variable that did.
    pub(super) overridden: BTreeMap<String, &'static str>,
    /// What `${…}` became.
    pub(super) resolved: Vec<Resolved>,
}

/// A `${…}` and its value, which may be a secret.
#[derive(Clone, PartialEq)]
pub(super) struct Resolved {
    pub(super) written: String,
    pub(super) value: String,
}

/// A file's text. It is parsed again for every error, since errors are rare and a tree with spans is not small.
#[derive(Debug, PartialEq)]
pub(super) struct Document {
    path: PathBuf,
    text: Arc<str>,
    /// The text without secrets.
    shown: OnceLock<Arc<str>>,
}

/// One step into a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// What a path led to.
pub(super) struct Found {
    /// How many of the steps there are in the document.
    pub(super) depth: usize,
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Origin {
    /// Puts an error about the value of a key where that value was set: the file, the environment, or nowhere.
    pub(super) fn place(&self, error: ConfigError, path: &[&str]) -> ConfigError {
        if let Some(variable) = self.overridden.get(&path.join(".")) {
            return error.in_variable(variable);
        }
        let steps: Vec<_> = path.iter().copied().map(Step::Key).collect();
        let found = self.document.as_ref().and_then(|document| Some((document, document.find(&steps)?)));
        match found {
            Some((document, found)) if found.depth == steps.len() => error.at(document.place(found.value)),
            _ => error,
        }
    }

    /// Puts what was written in place of what it became.
    pub(super) fn hide(&self, mut text: String) -> String {
        for resolved in self.resolved.iter().filter(|resolved| !resolved.value.is_empty()) {
            text = text.replace(&resolved.value, &resolved.written);
        }
        text
    }
}

impl Document {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text: text.into(), shown: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text as people may see it.
    fn shown(&self) -> Arc<str> {
        self.shown.get_or_init(|| shown::masked(&self.text).into()).clone()
    }

    /// The stretch `span`, cut at the end of its first line: an excerpt of half a file helps nobody.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let start = span.start.min(self.text.len());
        let line = self.text.get(start..span.end.min(self.text.len())).unwrap_or_default();
        let line = line.lines().next().unwrap_or_default();
        Place { file: self.path.clone(), text: self.shown(), span: start..start + line.len() }
    }

    /// Follows `steps` as far as they go; none when not even the first one is there.
    pub(super) fn find(&self, steps: &[Step<'_>]) -> Option<Found> {
        find(&self.tree()?, steps)
    }

    /// The text as a tree with spans.
    pub(super) fn tree(&self) -> Option<DeTable<'_>> {
        Some(DeTable::parse(&self.text).ok()?.into_inner())
    }

    /// The dotted name of the key that has `span`, or whose value has.
    pub(super) fn name_at(&self, span: &Range<usize>) -> Option<String> {
        let mut name = Vec::new();
        search(&self.tree()?, span, &mut name).then(|| name.join("."))
    }
}

impl Found {
    pub(super) fn key(&self) -> Range<usize> {
        self.key.clone().unwrap_or_else(|| self.value.clone())
    }

    pub(super) fn value(&self) -> Range<usize> {
        self.value.clone()
    }
}

/// Follows `steps` from the top of a tree.
pub(super) fn find(root: &DeTable<'_>, steps: &[Step<'_>]) -> Option<Found> {
    let Some((Step::Key(first), rest)) = steps.split_first() else { return None };
    let (key, mut value) = root.get_key_value(*first)?;
    let mut found = Found { depth: 1, key: Some(key.span()), value: value.span() };
    for step in rest {
        let next = match (step, value.get_ref()) {
            (Step::Key(name), DeValue::Table(table)) => {
                table.get_key_value(*name).map(|(key, value)| (Some(key.span()), value))
            }
            (Step::Index(index), DeValue::Array(array)) => array.get(*index).map(|value| (None, value)),
            _ => None,
        };
        let Some((key, next)) = next else { break };
        found = Found { depth: found.depth + 1, key, value: next.span() };
        value = next;
    }
    Some(found)
}

fn search(table: &DeTable<'_>, span: &Range<usize>, name: &mut Vec<String>) -> bool {
    for (key, value) in table {
        name.push(key.get_ref().to_string());
        let inside = match value.get_ref() {
            DeValue::Table(table) => search(table, span, name),
            DeValue::Array(array) => array.iter().any(|item| item.span() == *span),
            _ => false,
        };
        if inside || key.span() == *span || value.span() == *span {
            return true;
        }
        name.pop();
    }
    false
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.document.as_ref().map(|document| document.path());
        f.debug_struct("Origin").field("file", &file).field("overridden", &self.overridden).finish_non_exhaustive()
    }
}
