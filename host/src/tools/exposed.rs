use perennial_sdk::{BoxFuture, ToolDefinition};
use serde_json::{Map, Value};

use super::{Call, Tool, execute_tool::execute, target};
use crate::{
    audit::Asked,
    exposure::Route,
    mcp::{Reply, Said},
};

/// A tool of a saved server that stands in the host's own list.
pub(super) struct ExposedTool(pub(super) Route);

impl Tool for ExposedTool {
    fn definition(&self) -> ToolDefinition {
        self.0.definition.clone()
    }

    fn call<'a>(&'a self, call: Call, arguments: Map<String, Value>) -> BoxFuture<'a, Reply> {
        let Route { server, tool, .. } = &self.0;
        Box::pin(async move {
            let (host, cancelled) = (call.host.clone(), call.cancelled.clone());
            let asked = Asked::of_saved(server, tool, &arguments, &call.client);
            let cx = call.cx();
            let answer = async {
                let running = target::resident(&call, &cx, server).await?;
                execute(call, &running, tool, arguments, |error| error).await
            };
            let reply = answer.await.unwrap_or_else(|error| Said::failure("call the tool", &error).into());
            host.audit.record_all(asked.answered(&reply, cancelled.is_cancelled()));
            reply
        })
    }
}
