use std::{collections::BTreeMap, fmt};

use perennial_sdk::{Dependencies, SavedServer};
use serde::Serialize;
use serde_json::{Value, json};

use super::diff;

/// How many names one list shows.
const MOST_NAMES: usize = 12;

/// Characters of one name: people's are shorter, a file written by hand may hold anything.
const LONGEST_NAME: usize = 200;

/// Characters of what permissions or limits became.
const LONGEST_VALUE: usize = 400;

/// What is different between two versions of a saved server, in a size that fits into an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The name before, when there is another now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Lines of the main source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Lines>,
    /// Further files.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub files: Names,
    /// Packages that are asked for.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub dependencies: Names,
    /// Whether packages were resolved to others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lock: bool,
    /// Tools.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub tools: Names,
    /// What the permissions are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Value>,
    /// What the limits are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Value>,
}

/// Lines that came and went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// In the newer version alone.
    pub added: usize,
    /// In the older version alone.
    pub removed: usize,
}

/// Names that came, went, and mean something else now: the first few of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// In the newer version alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// In the older version alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// In both, and not the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How many more there are that are not named here.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

impl Changes {
    /// What became of `old` in `new`.
    pub fn between(old: &SavedServer, new: &SavedServer) -> Self {
        let files = |server: &SavedServer| server.files.clone();
        let tools = |server: &SavedServer| server.tools.iter().map(|tool| (tool.name.clone(), json!(tool))).collect();
        Self {
            renamed_from: (old.name != new.name).then(|| shortened(&old.name)),
            code: (old.code != new.code).then(|| diff::lines(&old.code, &new.code)),
            files: Names::between(files(old), &files(new)),
            dependencies: Names::between(packages(&old.dependencies), &packages(&new.dependencies)),
            lock: old.lock != new.lock,
            tools: Names::between(tools(old), &tools(new)),
            permissions: (old.permissions != new.permissions).then(|| bounded(json!(new.permissions))),
            limits: (old.limits != new.limits).then(|| bounded(json!(new.limits))),
        }
    }
}

impl Names {
    fn between<T: PartialEq>(old: BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Self {
        let added = new.keys().filter(|name| !old.contains_key(*name)).cloned().collect();
        let mut names = Self { added, ..Self::default() };
        for (name, before) in old {
            match new.get(&name) {
                None => names.removed.push(name),
                Some(after) if *after != before => names.changed.push(name),
                Some(_) => {}
            }
        }
        for list in [&mut names.added, &mut names.removed, &mut names.changed] {
            names.more += list.len().saturating_sub(MOST_NAMES);
            list.truncate(MOST_NAMES);
            list.iter_mut().for_each(|name| *name = shortened(name));
        }
        names
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// `code +3 -1 lines; tools +add`
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.renamed_from.as_ref().map(|name| format!("renamed from \"{name}\"")));
        parts.extend(self.code.map(|Lines { added, removed }| format!("code +{added} -{removed} lines")));
        for (what, names) in [("files", &self.files), ("dependencies", &self.dependencies), ("tools", &self.tools)] {
            if !names.is_empty() {
                parts.push(format!("{what} {names}"));
            }
        }
        // resolved packages follow those that are asked for
        if self.lock && self.dependencies.is_empty() {
            parts.push("packages resolved anew".into());
        }
        parts.extend(self.permissions.as_ref().map(|now| format!("permissions now {now}")));
        parts.extend(self.limits.as_ref().map(|now| format!("limits now {now}")));
        f.write_str(&if parts.is_empty() { "nothing changed".into() } else { parts.join("; ") })
    }
}

/// `+add, -echo, ~sum, and 3 more`
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = [('+', &self.added), ('-', &self.removed), ('~', &self.changed)];
        let mut all: Vec<_> =
            signed.iter().flat_map(|(sign, names)| names.iter().map(move |name| format!("{sign}{name}"))).collect();
        if self.more > 0 {
            all.push(format!("and {} more", self.more));
        }
        f.write_str(&all.join(", "))
    }
}

/// A list's entries stand for themselves: only a runtime can tell a name from its requirement.
fn packages(dependencies: &Dependencies) -> BTreeMap<String, String> {
    match dependencies {
        Dependencies::Map(map) => map.iter().map(|(name, wanted)| (name.clone(), wanted.clone())).collect(),
        Dependencies::List(list) => list.iter().map(|entry| (entry.clone(), String::new())).collect(),
    }
}

/// One line of bounded length, without characters that could make it look like several.
pub fn shortened(text: &str) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(LONGEST_NAME).map(visible).collect();
    if text.chars().nth(LONGEST_NAME).is_some() {
        shown.push('…');
    }
    shown
}

fn bounded(value: Value) -> Value {
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => value,
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(fields: Value) -> SavedServer {
        let mut all =
            json!({"name": "calc", "code": "a\nb\nc\n", "language": "python", "savedAt": "", "serverId": "s"});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn what_changed_is_told_in_a_line() {
        let old = server(json!({
            "dependencies": {"requests": ">=2", "numpy": "*"},
            "tools": [{"name": "echo", "description": "says"}, {"name": "gone"}],
            "files": {"a.txt": "1"}
        }));
        let new = server(json!({
            "name": "calculator",
            "code": "a\nB\nc\nd\n",
            "dependencies": {"requests": ">=2.31", "anyio": "*"},
            "lock": "anyio==4",
            "tools": [{"name": "echo", "description": "shouts"}, {"name": "add"}],
            "permissions": {"network": ["example.org:443"]}
        }));
        insta::assert_snapshot!(Changes::between(&old, &new), @r#"renamed from "calc"; code +2 -1 lines; files -a.txt; dependencies +anyio, -numpy, ~requests; tools +add, -gone, ~echo; permissions now {"network":["example.org:443"]}"#);
        assert_eq!(Changes::between(&old, &old), Changes::default());
        assert_eq!(Changes::default().to_string(), "nothing changed");
        assert_eq!(json!(Changes::default()), json!({}));
    }

    #[test]
    fn it_stays_small_whatever_the_record_holds() {
        let many: serde_json::Map<_, _> = (0..5000).map(|n| (format!("{n:0>900}"), "1".into())).collect();
        let read: Vec<_> = (0..5000).map(|n| format!("/folder/{n}")).collect();
        let new = server(json!({"dependencies": many, "files": many, "permissions": {"read": read}}));
        let changes = Changes::between(&server(json!({})), &new);
        assert_eq!(changes.files.more, 5000 - MOST_NAMES);
        assert!(json!(changes).to_string().len() < 9_000 && changes.to_string().len() < 9_000);
    }
}
