use std::collections::BTreeMap;

use perennial_sdk::{Error, ErrorCode};
use serde::Serialize;
use serde_json::json;

use super::Ceiling;
use crate::config::{NetworkCeiling, Place};

/// Something that was asked for and is above the ceiling, or makes no sense.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refusal {
    /// `network`, `read`, `write`, `env`, or the name of a limit.
    pub kind: &'static str,
    /// What was asked for.
    pub asked: String,
    /// Why not; fits after it.
    pub why: String,
    /// What may be asked for instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// What the operator would have to allow; none when it makes no sense.
    #[serde(skip)]
    pub(super) entry: Option<String>,
}

impl Refusal {
    /// Something that the operator could allow by adding `entry`.
    pub(super) fn denied(kind: &'static str, asked: &str, why: impl Into<String>, entry: impl Into<String>) -> Self {
        Self { kind, asked: shown(asked), why: why.into(), instead: None, entry: Some(entry.into()) }
    }

    /// Something that nobody could allow.
    pub(super) fn invalid(kind: &'static str, asked: &str, why: impl Into<String>) -> Self {
        Self { kind, asked: shown(asked), why: why.into(), instead: None, entry: None }
    }

    #[must_use]
    pub(super) fn instead(mut self, instead: impl Into<String>) -> Self {
        self.instead = Some(instead.into());
        self
    }
}

/// `network "intranet:443" is a name inside a network`
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} `{}` {}", self.kind, self.asked, self.why)
    }
}

impl Ceiling {
    /// Why not all can be had that was asked for.
    pub(super) fn denial(&self, refused: &[Refusal]) -> Error {
        let code = if refused.iter().any(|one| one.entry.is_some()) { ErrorCode::Denied } else { ErrorCode::Invalid };
        let reasons = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut error = Error::new(code, reasons);
        let mut hint: Vec<String> = refused.iter().filter_map(|one| one.instead.clone()).collect();
        hint.dedup();
        hint.extend(self.remedy(refused));
        if !hint.is_empty() {
            error.hint = Some(hint.join("\n"));
        }
        error.data = json!({ "refused": refused });
        error
    }
}

/// The lines that the operator would have to write, with their place.
pub(super) fn remedy(ceiling: &Ceiling, refused: &[Refusal]) -> Option<String> {
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for one in refused {
        if let Some(entry) = &one.entry {
            wanted.entry(one.kind).or_default().push(entry);
        }
    }
    let folders = |folders: &[std::path::PathBuf]| folders.iter().map(|folder| folder.display().to_string()).collect();
    let policy = &ceiling.policy;
    let lists: [(&str, Vec<String>); 3] = [
        ("read", folders(&policy.read)),
        ("write", folders(&policy.write)),
        ("env", policy.env.iter().map(|name| name.as_str().to_owned()).collect()),
    ];
    let (mut of_policy, mut of_limits) = (Vec::new(), Vec::new());
    for (kind, entries) in &wanted {
        match (*kind, lists.iter().find(|(name, _)| name == kind)) {
            ("network", _) => of_policy.push(format!("network = {}", network(&policy.network, entries))),
            (_, Some((_, there))) => of_policy.push(format!("{kind} = {}", list(there.clone(), entries))),
            (limit, None) => of_limits.push(format!("{limit} = {}", entries.last().copied().unwrap_or_default())),
        }
    }
    if of_policy.is_empty() && of_limits.is_empty() {
        return None;
    }
    let place = ceiling.file().map_or_else(|| "the configuration".to_owned(), |file| format!("`{}`", file.display()));
    let mut text = format!("only the operator can allow it, in {place}:");
    for (table, lines) in [("[policy]", of_policy), ("[limits]", of_limits)] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{table}\n{}", lines.join("\n")));
        }
    }
    for kind in wanted.keys() {
        let set = ["policy", "limits"].into_iter().find_map(|table| ceiling.variables.get(&format!("{table}.{kind}")));
        if let Some(variable) = set {
            text.push_str(&format!("\nand without the environment variable `{variable}`, which goes before it"));
        }
    }
    text.push_str("\nwhich holds from the next start of the host, or after SIGHUP");
    Some(text)
}

fn network(ceiling: &NetworkCeiling, wanted: &[&str]) -> String {
    if wanted.contains(&"all") {
        return "\"all\"".into();
    }
    let there = match ceiling {
        NetworkCeiling::Hosts => vec!["hosts".to_owned()],
        NetworkCeiling::Listed(places) => places
            .iter()
            .map(|place| match place {
                Place::Hosts => "hosts".to_owned(),
                Place::Endpoint(place) => place.0.to_string(),
            })
            .collect(),
        NetworkCeiling::None | NetworkCeiling::All => Vec::new(),
    };
    list(there, wanted)
}

fn list(mut entries: Vec<String>, more: &[&str]) -> String {
    for entry in more {
        if !entries.iter().any(|there| there == entry) {
            entries.push((*entry).to_owned());
        }
    }
    let entries: Vec<_> = entries.iter().map(|entry| toml::Value::from(entry.as_str()).to_string()).collect();
    format!("[{}]", entries.join(", "))
}

fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}
