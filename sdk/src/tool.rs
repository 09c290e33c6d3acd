use std::future::Future;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BoxFuture, Cx, Plugin, Result};

/// A tool as MCP lists it; fields that this SDK does not name are kept as they came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolDefinition {
    /// The name that a call uses.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the arguments.
    #[serde(default = "any_object")]
    pub input_schema: Value,
    /// Title, output schema, annotations and whatever else came.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ToolDefinition {
    /// A tool with a name, a sentence for the model and the JSON Schema of its arguments.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        Self { name: name.into(), description: Some(description.into()), input_schema, rest: Map::new() }
    }
}

/// A plugin that adds tools to the host's own.
pub trait ToolProvider: Plugin {
    /// The tools, the same for the plugin's whole life.
    fn tools(&self) -> Vec<ToolDefinition>;

    /// Calls one. The value is MCP's `CallToolResult` (`content`, `structuredContent`, `isError`, `_meta`) and is passed
    /// on untouched.
    fn call(&self, cx: &Cx, name: &str, arguments: Map<String, Value>) -> impl Future<Output = Result<Value>> + Send;
}

/// [`ToolProvider`] as an object.
pub trait DynTools: Send + Sync {
    /// See [`ToolProvider::tools`].
    fn tools(&self) -> Vec<ToolDefinition>;
    /// See [`ToolProvider::call`].
    fn call<'a>(&'a self, cx: &'a Cx, name: &'a str, arguments: Map<String, Value>) -> BoxFuture<'a, Result<Value>>;
}

impl<T: ToolProvider> DynTools for T {
    fn tools(&self) -> Vec<ToolDefinition> {
        ToolProvider::tools(self)
    }

    fn call<'a>(&'a self, cx: &'a Cx, name: &'a str, arguments: Map<String, Value>) -> BoxFuture<'a, Result<Value>> {
        Box::pin(ToolProvider::call(self, cx, name, arguments))
    }
}

fn any_object() -> Value {
    serde_json::json!({ "type": "object" })
}
