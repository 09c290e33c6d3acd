use perennial_sdk::Result;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect};
use crate::{
    audit::Event,
    mcp::{Reply, Said},
};

pub(super) struct DeleteServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The id of a running server.
    server_id: String,
}

impl BuiltIn for DeleteServer {
    const NAME: &'static str = "delete-server";
    const TITLE: &'static str = "End a running server";
    const DESCRIPTION: &'static str = "Ends a running server and everything that it started. What was saved of it stays in \
        the library.";
    const EFFECT: Effect = Effect::Destroys;
    const DOING: &'static str = "delete the server";
    const AUDITED: Option<Event> = Some(Event::Delete);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let server = call.host.catalog.get(&arguments.server_id, &call.client)?;
        call.host.catalog.remove(&server.id).await;
        let text = format!("🗑️ Server {} deleted", server.id);
        Ok(Said::new(text, json!({ "serverId": server.id, "deleted": true })).into())
    }
}
