use std::io::Write;

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{ClientIdentity, ServerId, Version};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{identity::Client, mcp::Reply, tokens::TokenName};

/// A line of the audit log: names and sizes, never what was passed or answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// When it was over, as RFC 3339 in UTC.
    pub at: String,
    /// What was done.
    pub event: Event,
    /// How it ended.
    pub outcome: Outcome,
    /// The code of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The running server, as it was named or, when it was made, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The saved server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What the server is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The language of a new server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Bytes of text that came: the source of a server, or the arguments of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// Bytes that a called tool answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// How many, where one entry stands for several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What was granted or denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Value>,
    /// Who asked for it: the client's name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The name of the token that it brought over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenName>,
    /// The process of the host.
    pub host: u32,
}

/// What an entry tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A server was made.
    Create,
    /// A server was changed.
    Update,
    /// A tool was called.
    #[default]
    Execute,
    /// A server was saved.
    Save,
    /// A saved server was started.
    Load,
    /// A running server was ended.
    Delete,
    /// A saved server was deleted.
    DeleteSaved,
    /// A server was given more than servers have by default.
    Grant,
    /// Something was refused that a server or its author asked for.
    Denial,
    /// Entries were lost, since the disk did not take them.
    Lost,
}

/// How it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done; of a call: the server answered.
    #[default]
    Ok,
    /// It was not.
    Failed,
    /// The caller gave up.
    Cancelled,
}

/// What is known of a call before it is made.
#[derive(Debug, Clone)]
pub struct Asked(Entry, std::time::Instant, Option<Value>);

/// Names that callers make up are cut to this many characters.
const LONGEST: usize = 200;

impl Entry {
    /// An entry of now.
    pub fn new(event: Event) -> Self {
        Self { event, host: std::process::id(), ..Self::default() }.now()
    }

    /// What was done to a saved server on the command line.
    pub fn of_command(event: Event, saved: &ServerId, name: &str, version: Version) -> Self {
        Self {
            saved: Some(saved.to_string()),
            name: Some(cut(name)),
            version: Some(version.0),
            client: Some(concat!("perennial ", env!("CARGO_PKG_VERSION")).into()),
            ..Self::new(event)
        }
    }

    /// A server asked for a place that it may not connect to, while one of its tools was called.
    pub fn of_denial(server: &ServerId, tool: &str, to: &str, count: u64, client: &Client) -> Self {
        Self {
            server: Some(server.to_string()),
            tool: Some(cut(tool)),
            count: Some(count),
            outcome: Outcome::Failed,
            permissions: Some(json!({ "network": [cut(to)] })),
            client: client.program.as_ref().map(named),
            token: client.token.clone(),
            ..Self::new(Event::Denial)
        }
    }

    /// Appends it as a line.
    pub(super) fn append_to(&self, lines: &mut Vec<u8>) {
        if serde_json::to_writer(&mut *lines, self).is_ok() {
            let _ = lines.write_all(b"\n");
        }
    }

    fn now(mut self) -> Self {
        self.at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        self
    }
}

impl Asked {
    /// A call of a tool of the host with these arguments.
    pub fn new(event: Event, arguments: &Map<String, Value>, client: &Client) -> Self {
        let text = |key: &str| arguments.get(key)?.as_str().map(cut);
        let bytes: usize = ["code", "files", "args"].iter().filter_map(|key| arguments.get(*key)).map(bytes_of).sum();
        let entry = Entry {
            event,
            server: text("serverId"),
            saved: text("savedServerId"),
            name: text("name"),
            language: text("language"),
            tool: text("toolName"),
            version: arguments.get("version").and_then(Value::as_u64),
            bytes_in: matches!(event, Event::Create | Event::Update | Event::Execute).then_some(bytes as u64),
            client: client.program.as_ref().map(named),
            token: client.token.clone(),
            host: std::process::id(),
            ..Entry::default()
        };
        Self(entry, std::time::Instant::now(), arguments.get("permissions").filter(|asked| asked.is_object()).cloned())
    }

    /// A call of a plugin's tool.
    pub fn of_plugin(tool: &str, arguments: &Map<String, Value>, client: &Client) -> Self {
        let mut asked = Self::new(Event::Execute, &Map::new(), client);
        asked.0.tool = Some(cut(tool));
        asked.0.bytes_in = Some(arguments.values().map(bytes_of).sum::<usize>() as u64);
        asked
    }

    /// A call of a saved server's tool by its name in the host's own list.
    pub fn of_saved(saved: &ServerId, tool: &str, arguments: &Map<String, Value>, client: &Client) -> Self {
        let mut asked = Self::of_plugin(tool, arguments, client);
        asked.0.saved = Some(saved.to_string());
        asked
    }

    /// What became of it, and what was granted or denied on the way.
    pub fn answered(self, reply: &Reply, cancelled: bool) -> Vec<Entry> {
        let permissions = self.2.clone();
        let entry = self.entry(reply, cancelled);
        let beside = |event, permissions| Entry {
            event,
            permissions: Some(permissions),
            bytes_in: None,
            bytes_out: None,
            ms: None,
            ..entry.clone()
        };
        let about = match reply {
            Reply::Said(said) if entry.error.as_deref() == Some("denied") => {
                Some(beside(Event::Denial, permissions.unwrap_or_else(|| said.facts["error"]["message"].clone())))
            }
            Reply::Said(said) if matches!(entry.event, Event::Create | Event::Update | Event::Load) => {
                let granted = said.facts.get("granted").filter(|granted| is_more_than_nothing(granted));
                granted.map(|granted| beside(Event::Grant, granted.clone()))
            }
            _ => None,
        };
        [entry].into_iter().chain(about).collect()
    }

    fn entry(self, reply: &Reply, cancelled: bool) -> Entry {
        let Self(mut entry, begun, _) = self;
        entry.ms = u64::try_from(begun.elapsed().as_millis()).ok();
        match reply {
            Reply::Said(said) => {
                let fact = |key: &str| said.facts.get(key)?.as_str().map(cut);
                entry.server = fact("serverId").or(entry.server);
                entry.saved = fact("savedServerId").or(entry.saved);
                entry.version = said.facts.get("version").and_then(Value::as_u64).or(entry.version);
                if said.is_error {
                    entry.outcome = Outcome::Failed;
                    entry.error = said.facts["error"]["code"].as_str().map(cut);
                }
            }
            Reply::Passed(passed) => entry.bytes_out = Some(passed.as_bytes().len() as u64),
            Reply::Value(value) => entry.bytes_out = Some(bytes_of(value) as u64),
            Reply::Refused { .. } => {
                entry.outcome = Outcome::Failed;
                entry.error = Some("child_error".into());
            }
        }
        if cancelled {
            entry.outcome = Outcome::Cancelled;
        }
        entry.now()
    }
}

/// Whether a server got anything that not every server has.
fn is_more_than_nothing(granted: &Value) -> bool {
    let some = |key: &str| granted[key].as_array().is_some_and(|all| !all.is_empty());
    some("read") || some("write") || some("env") || some("network") || granted["network"] == "all"
}

/// Bytes of all texts in a value: what it says, without the cost of writing it out.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes_of(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn named(client: &ClientIdentity) -> String {
    cut(format!("{} {}", client.name, client.version).trim())
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
