use perennial_sdk::{Cx, Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect};
use crate::mcp::{Reply, Said};

pub(super) struct DeleteSavedServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The saved server's id, or its name when only one has it.
    saved_server_id: String,
}

impl BuiltIn for DeleteSavedServer {
    const NAME: &'static str = "delete-saved-server";
    const TITLE: &'static str = "Delete a saved server";
    const DESCRIPTION: &'static str = "Takes a server out of the library. One that is running goes on running.";
    const EFFECT: Effect = Effect::Destroys;
    const DOING: &'static str = "delete the saved server";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let cx = Cx::detached();
        let id = call.host.library.find(&cx, &arguments.saved_server_id).await?;
        // what has begun must end, whether its caller still listens or not
        let (host, gone) = (call.host.clone(), id.clone());
        let deleting = tokio::spawn(async move { host.library.delete(&Cx::detached(), &gone).await });
        deleting.await.map_err(|error| Error::internal("the deletion ended early").caused_by(&error))??;
        let text = format!("🗑️ Saved server {id} deleted");
        Ok(Said::new(text, json!({ "savedServerId": id, "deleted": true })).into())
    }
}
