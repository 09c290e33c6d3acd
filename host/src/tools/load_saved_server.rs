use perennial_sdk::{Result, Version};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{BuiltIn, Call, Effect, create::answer_when_up, target};
use crate::{audit::Event, mcp::Reply};

pub(super) struct LoadSavedServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The saved server's id, or its name when only one has it.
    saved_server_id: String,
    /// An earlier version, also of a deleted server; the newest when left out.
    #[serde(default)]
    version: Option<u64>,
}

impl BuiltIn for LoadSavedServer {
    const NAME: &'static str = "load-saved-server";
    const TITLE: &'static str = "Load a saved server";
    const DESCRIPTION: &'static str = "Starts a server from the library under a new id. Its packages come from the cache, or \
        exactly as they were when it was saved.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "load the saved server";
    const AUDITED: Option<Event> = Some(Event::Load);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let cx = call.cx();
        let (library, reference) = (&call.host.library, &arguments.saved_server_id);
        // an earlier version of a deleted server is the way back to it
        let id = match arguments.version {
            Some(_) => library.find_deleted_too(&cx, reference).await?,
            None => library.find(&cx, reference).await?,
        };
        let server = target::load(&call, &cx, &id, arguments.version.map(Version)).await?;
        answer_when_up(&call, server, |id| {
            let line = format!("✅ Saved server loaded as new server: {id}");
            (line.clone(), line)
        })
        .await
    }
}
