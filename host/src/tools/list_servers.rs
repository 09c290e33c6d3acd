use chrono::Utc;
use perennial_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BuiltIn, Call, Effect};
use crate::mcp::{Reply, Said};

pub(super) struct ListServers;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {}

impl BuiltIn for ListServers {
    const NAME: &'static str = "list-servers";
    const TITLE: &'static str = "List the running servers";
    const DESCRIPTION: &'static str = "Lists the servers of this session: id, name, language, state, tools and age.";
    const EFFECT: Effect = Effect::Reads;
    const DOING: &'static str = "list the servers";
    type Arguments = Arguments;

    async fn run(call: Call, _: Arguments) -> Result<Reply> {
        let now = Utc::now();
        let servers: Vec<Value> = call
            .host
            .catalog
            .list(&call.client)
            .iter()
            .map(|server| {
                let status = server.status();
                json!({
                    "serverId": server.id,
                    "name": status.name,
                    "language": status.spec.language,
                    "state": status.phase.word(),
                    "tools": status.tools.names().collect::<Vec<_>>(),
                    "ageSeconds": (now - server.created_at).num_seconds().max(0),
                })
            })
            .collect();
        let facts = json!({ "servers": servers });
        Ok(Said::new(serde_json::to_string_pretty(&facts)?, facts).into())
    }
}
