use perennial_sdk::{Cx, Error, Result, Version};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect};
use crate::{
    audit::Event,
    library::way_back,
    mcp::{Reply, Said},
};

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
    const DESCRIPTION: &'static str = "Takes a server out of the library. One that is running goes on running. Its \
        versions are kept for some time, so that a slip can be undone.";
    const EFFECT: Effect = Effect::Destroys;
    const DOING: &'static str = "delete the saved server";
    const AUDITED: Option<Event> = Some(Event::DeleteSaved);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let cx = Cx::detached();
        let id = call.host.library.find(&cx, &arguments.saved_server_id).await?;
        // what has begun must end, whether its caller still listens or not
        let (host, gone) = (call.host.clone(), id.clone());
        let deleting = tokio::spawn(async move { host.library.delete(&Cx::detached(), &gone).await });
        let deleted = deleting.await.map_err(|error| Error::internal("the deletion ended early").caused_by(&error))?;
        let tombstone = deleted?;
        call.host.exposure.deleted(&id).await;
        call.host.offered.forget(id.clone()).await;
        let mut text = format!("🗑️ Saved server {id} deleted");
        let last = Version(tombstone.0.saturating_sub(1));
        if call.host.library.storage().capabilities().versions && !last.is_unset() {
            text.push_str(&format!("\n{}", way_back(&id, last)));
        }
        let facts = json!({ "savedServerId": id, "deleted": true, "version": tombstone, "lastVersion": last });
        Ok(Said::new(text, facts).into())
    }
}
