use perennial_sdk::{BoxFuture, Error, ErrorCode, Result, ServerId, ToolDefinition};
use serde_json::{Map, Value};

use super::{Call, Tool, execute_tool::execute, target};
use crate::{
    audit::Asked,
    exposure::Route,
    mcp::{Reply, Said},
    toolset::Toolset,
};

/// A tool of a saved server that stands in the host's own list.
pub(super) struct ExposedTool(pub(super) Route);

impl ExposedTool {
    /// A list that promises one thing must not lead to another.
    fn stands(&self, tools: &Toolset, server: &ServerId) -> Result<()> {
        let Route { tool, definition: recorded, .. } = &self.0;
        fn contents(tool: &ToolDefinition) -> (&Option<String>, &Value, &Map<String, Value>) {
            (&tool.description, &tool.input_schema, &tool.rest)
        }
        match tools.get(tool) {
            Some(now) if contents(now) != contents(recorded) => {
                Err(Error::new(ErrorCode::Conflict, format!("`{tool}` is not the tool that was recorded any more"))
                    .hint(format!(
                        "`get-server` with `{server}` shows the difference; `execute-tool` calls it as it is, and \
                         `save-server` records it as it is"
                    )))
            }
            _ => Ok(()),
        }
    }
}

impl Tool for ExposedTool {
    fn definition(&self) -> ToolDefinition {
        self.0.definition.clone()
    }

    fn call<'a>(&'a self, call: Call, arguments: Map<String, Value>) -> BoxFuture<'a, Reply> {
        let Route { server, tool, .. } = &self.0;
        Box::pin(async move {
            let (host, cancelled) = (call.host.clone(), call.cancelled.clone());
            let asked = Asked::of_saved(server, tool, &arguments, &call.client);
            let answer = async {
                let (running, instance) = target::up(&call, server).await?;
                self.stands(&instance.tools(), server)?;
                execute(call, &running, &instance, tool, arguments, |error| error).await
            };
            let reply = answer.await.unwrap_or_else(|error| Said::failure("call the tool", &error).into());
            host.audit.record_all(asked.answered(&reply, cancelled.is_cancelled()));
            reply.redacted()
        })
    }
}
