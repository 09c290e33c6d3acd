use std::time::Instant;

use perennial_sdk::{Error, Result, ServerSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect, input::Parts, target};
use crate::mcp::{Reply, Said};

pub(super) struct UpdateServer;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The server to change.
    #[serde(rename = "serverId")]
    server_id: String,
    #[serde(flatten)]
    parts: Parts,
}

impl BuiltIn for UpdateServer {
    const NAME: &'static str = "update-server";
    const TITLE: &'static str = "Change a server";
    const DESCRIPTION: &'static str = "Replaces the code, dependencies, files, permissions or limits of a server and keeps \
        its id. The new one is built beside the old one and takes over when it answers; if it does not, the old one goes \
        on and the error says what to repair.";
    const EFFECT: Effect = Effect::Destroys;
    const DOING: &'static str = "update the server";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let parts = arguments.parts.checked(call.host.settings.code_bytes)?;
        let server = target::running(&call, &arguments.server_id).await?;
        let old = server.status().spec;
        let same_packages = parts.code.is_none() && parts.dependencies.is_none();
        let spec = ServerSpec {
            language: old.language.clone(),
            code: parts.code.unwrap_or_else(|| old.code.clone()),
            files: parts.files.unwrap_or_else(|| old.files.clone()),
            dependencies: parts.dependencies.unwrap_or_else(|| old.dependencies.clone()),
            lock: old.lock.clone().filter(|_| same_packages),
            permissions: parts.permissions.unwrap_or_else(|| old.permissions.clone()),
            limits: parts.limits.unwrap_or_else(|| old.limits.clone()),
        };
        let begun = Instant::now();
        let instance = server.replace(&call.cx(), spec).await.map_err(|error| still_serving(&server, error))?;
        let tools = instance.tools();
        let names = tools.names().collect::<Vec<_>>().join(", ");
        let took = begun.elapsed().as_millis();
        let mut text = format!("✅ Server {} updated\n\ntools: {names}\nready after {took} ms", server.id);
        let notes = server.status().notes;
        for note in &notes {
            text.push_str(&format!("\nnote: {note}"));
        }
        let facts = json!({
            "serverId": server.id,
            "state": server.status().phase.word(),
            "tools": tools.definitions(),
            "readyAfterMs": u64::try_from(took).unwrap_or(u64::MAX),
            "notes": notes,
        });
        Ok(Said::new(text, facts).into())
    }
}

fn still_serving(server: &crate::catalog::Server, mut error: Error) -> Error {
    if matches!(server.status().phase, crate::catalog::Phase::Ready(_)) {
        let hint = error.hint.take().unwrap_or_default();
        error.hint =
            Some(format!("{hint}\nthe server is unchanged and goes on with its former code").trim().to_owned());
    }
    error
}
