use perennial_sdk::{Cx, Error, ErrorCode, Result, Version};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect, input, target};
use crate::{
    catalog::Server,
    host::Host,
    library::{Manuscript, Shelf},
    mcp::{Reply, Said},
};

pub(super) struct SaveServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The running server.
    server_id: String,
    /// The name under which it is kept.
    name: String,
}

impl BuiltIn for SaveServer {
    const NAME: &'static str = "save-server";
    const TITLE: &'static str = "Save a server";
    const DESCRIPTION: &'static str = "Keeps a server in the library under a name, so that it is there in every later \
        session. Saving it again adds a version; the earlier ones stay.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "save the server";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let name = input::name(&arguments.name)?;
        let server = target::running(&call, &arguments.server_id).await?;
        // a save that has begun must end, and be remembered, whether its caller still listens or not
        let saving = tokio::spawn(async move { save(&call.host, &server, name).await });
        saving.await.map_err(|error| Error::internal("the save ended early").caused_by(&error))?
    }
}

async fn save(host: &Host, server: &Server, name: String) -> Result<Reply> {
    let _saving = server.saving.lock().await;
    let status = server.status();
    let manuscript = Manuscript {
        id: &server.id,
        spec: &status.spec,
        tools: status.tools.definitions(),
        shelf: status.shelf.as_ref(),
    };
    let saved = host.library.save(&Cx::detached(), &manuscript, &name).await;
    let shelf = saved.map_err(|error| contested(error, server))?;
    let text =
        format!("✅ Server {} saved as \"{name}\"\nversion {}, saved server {}", server.id, shelf.version, shelf.id);
    let facts = json!({
        "serverId": server.id,
        "savedServerId": shelf.id,
        "name": name,
        "version": shelf.version,
        "location": host.library.location(),
    });
    server.shelve(shelf);
    Ok(Said::new(text, facts).into())
}

/// Somebody else saved first. Having been told, the caller may put its own version on top by saving again.
fn contested(error: Error, server: &Server) -> Error {
    let current = error.data.get("current").and_then(serde_json::Value::as_u64).map(Version);
    match (error.code == ErrorCode::Conflict, current, server.status().shelf) {
        (true, Some(version), Some(shelf)) => {
            let id = shelf.id.clone();
            server.shelve(Shelf { version, ..shelf });
            error.hint(format!(
                "somebody else saved version {version} of `{id}` meanwhile: `load-saved-server` brings it up beside this \
                 one; `save-server` again puts this one on top of it as the next version"
            ))
        }
        _ => error,
    }
}
