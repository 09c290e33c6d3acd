//! The methods of a plugin as they cross a boundary: their names, and what goes in and out beside the SDK's own types.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Capabilities, Expected, Home, Plan, PutId, SavedServer, ServerId, ServerSpec, ToolDefinition, Toolchain, Version,
};

/// [`Init`] → [`Initialised`].
pub const INIT: &str = "plugin/init";
/// Nothing → null.
pub const SHUTDOWN: &str = "plugin/shutdown";
/// Nothing → [`StorageDescription`]; a storage may do without it.
pub const STORAGE_DESCRIBE: &str = "storage/describe";
/// [`Page`](crate::Page) → [`Listing`](crate::Listing).
pub const STORAGE_LIST: &str = "storage/list";
/// [`Get`] → [`SavedServer`].
pub const STORAGE_GET: &str = "storage/get";
/// [`Put`] → [`Version`].
pub const STORAGE_PUT: &str = "storage/put";
/// [`Id`] → a list of [`Version`].
pub const STORAGE_VERSIONS: &str = "storage/versions";
/// [`Delete`] → [`Version`].
pub const STORAGE_DELETE: &str = "storage/delete";
/// [`Page`](crate::Page) → [`Listing`](crate::Listing); a storage may do without this one and those below.
pub const STORAGE_DELETED: &str = "storage/deleted";
/// [`Check`] → [`Checked`](crate::Checked).
pub const STORAGE_CHECK: &str = "storage/check";
/// [`Retention`](crate::Retention) → [`Collected`](crate::Collected).
pub const STORAGE_COLLECT: &str = "storage/collect";
/// Nothing → [`Description`](crate::Description).
pub const RUNTIME_DESCRIBE: &str = "runtime/describe";
/// [`PlanFor`] → [`Plan`].
pub const RUNTIME_PLAN: &str = "runtime/plan";
/// Nothing → [`Tools`].
pub const TOOLS_LIST: &str = "tools/list";
/// [`ToolCall`] → MCP's `CallToolResult`.
pub const TOOLS_CALL: &str = "tools/call";

/// Notifications of a plugin out of process: how far a call is, and a log record.
pub const PROGRESS: &str = "plugin/progress";
/// See [`PROGRESS`].
pub const LOG: &str = "plugin/log";
/// Notification to a plugin out of process: nobody waits for this call any more.
pub const CANCEL: &str = "plugin/cancel";

/// Opens a plugin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Init {
    /// Its `config` table; null when there is none.
    #[serde(default)]
    pub config: Value,
    /// Where it lives.
    pub home: Home,
}

/// What a plugin is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Initialised {
    /// Its id.
    #[serde(default)]
    pub id: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Among `storage`, `runtime` and `tools`.
    pub provides: Vec<String>,
}

/// What a storage is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StorageDescription {
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Where the records are, for people.
    pub location: String,
}

/// Reads a saved server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Get<'a> {
    /// Its id or an alias.
    pub id: Cow<'a, ServerId>,
    /// The newest when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// Writes the next version of a saved server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Put<'a> {
    /// What is written.
    pub record: Cow<'a, SavedServer>,
    /// What the writer believes.
    pub expected: Expected,
    /// Names this put.
    pub put_id: Cow<'a, PutId>,
}

/// A saved server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Id<'a> {
    /// Its id or an alias.
    pub id: Cow<'a, ServerId>,
}

/// Deletes a saved server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delete<'a> {
    /// Its id or an alias.
    pub id: Cow<'a, ServerId>,
    /// What the writer believes.
    pub expected: Expected,
}

/// Checks what is saved.
#[derive(Debug, Serialize, Deserialize)]
pub struct Check {
    /// Whether to mend what can be mended.
    #[serde(default)]
    pub repair: bool,
}

/// Asks for a plan.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlanFor<'a> {
    /// The server.
    pub spec: Cow<'a, ServerSpec>,
    /// The programs that were found.
    pub toolchain: Cow<'a, Toolchain>,
}

/// The tools of a plugin.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tools {
    /// All of them.
    pub tools: Vec<ToolDefinition>,
}

/// Calls a tool.
#[derive(Debug, Serialize, Deserialize)]
pub struct ToolCall<'a> {
    /// Which.
    pub name: Cow<'a, str>,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// How long the longest text of something is, about: decides whether it travels beside the JSON.
pub trait Bulk {
    /// In bytes.
    fn bulk(&self) -> usize;
}

impl Bulk for SavedServer {
    fn bulk(&self) -> usize {
        longest(self.files.values()).max(self.code.len()).max(self.lock.as_ref().map_or(0, String::len))
    }
}

impl Bulk for ServerSpec {
    fn bulk(&self) -> usize {
        longest(self.files.values()).max(self.code.len()).max(self.lock.as_ref().map_or(0, String::len))
    }
}

impl Bulk for Plan {
    fn bulk(&self) -> usize {
        longest(self.files.iter().map(|file| &file.contents))
    }
}

fn longest<'a>(texts: impl Iterator<Item = &'a String>) -> usize {
    texts.map(String::len).max().unwrap_or(0)
}
