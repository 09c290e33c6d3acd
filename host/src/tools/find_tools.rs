use perennial_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BuiltIn, Call, Effect};
use crate::mcp::{Reply, Said};

pub(super) struct FindTools;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// Words of what the tool should do.
    query: String,
    /// How many to show: 1 to 50, 10 when left out.
    #[serde(default)]
    limit: Option<usize>,
}

/// How many tools are shown when nobody says.
const USUAL: usize = 10;
/// How many tools are shown at most.
const MOST: usize = 50;

impl BuiltIn for FindTools {
    const NAME: &'static str = "find-tools";
    const TITLE: &'static str = "Find tools of saved servers";
    const DESCRIPTION: &'static str = "Searches the names and descriptions of all tools of saved servers, also of those that \
        are not in the tool list. Call what it finds with `execute-tool`.";
    const EFFECT: Effect = Effect::Reads;
    const DOING: &'static str = "search the tools";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let limit = arguments.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Error::invalid(format!("`limit` is {limit}")).hint(format!("it may be 1 to {MOST}")));
        }
        call.host.exposure.listed(&call.host.library).await;
        let found: Vec<(String, Value)> = call.host.exposure.search(&arguments.query, limit, |found, listed| {
            let description = found.tool.description.as_deref().unwrap_or_default();
            let first = description.lines().next().unwrap_or_default();
            let line = format!("{} of \"{}\" ({}): {first:.200}", found.tool.name, found.server_name, found.server);
            let facts = json!({
                "serverId": found.server,
                "serverName": found.server_name,
                "toolName": found.tool.name,
                "listedAs": listed,
                "description": description,
                "inputSchema": found.tool.input_schema,
            });
            (line, facts)
        });
        let text = match found.as_slice() {
            [] => "no tool of a saved server fits".to_owned(),
            found => found.iter().map(|(line, _)| line.as_str()).collect::<Vec<_>>().join("\n"),
        };
        let facts: Vec<_> = found.into_iter().map(|(_, facts)| facts).collect();
        Ok(Said::new(text, json!({ "tools": facts })).into())
    }
}
