use perennial_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect, patience, standing, target};
use crate::mcp::{Reply, Said};

pub(super) struct GetServerTools;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// A running server, a saved one (it is started), or a name that only one server has.
    server_id: String,
}

impl BuiltIn for GetServerTools {
    const NAME: &'static str = "get-server-tools";
    const TITLE: &'static str = "List the tools of a server";
    const DESCRIPTION: &'static str =
        "Lists the tools of a server with their input schemas. A saved server is started for it.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "list the tools";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let server = target::running(&call, &arguments.server_id).await?;
        let instance = patience::ready(&call, &server).await?;
        let mut facts = json!({ "tools": instance.tools().definitions() });
        let text = facts.to_string();
        let status = server.status();
        let marks = standing::marks(&status);
        if !marks.is_null() {
            facts["marks"] = marks;
            facts["drift"] = standing::drift(&status);
        }
        Ok(Said::new(text, facts).into())
    }
}
