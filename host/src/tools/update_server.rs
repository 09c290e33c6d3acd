use std::{sync::Arc, time::Instant};

use perennial_sdk::{Cx, Error, Result, ServerSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::watch, time::timeout};

use super::{BuiltIn, Call, Effect, input::Parts, patience, target};
use crate::{
    audit::Event,
    catalog::{Phase, Server},
    mcp::{Reply, Said},
    policy::{Demand, Difference},
};

pub(super) struct UpdateServer;

/// Whoever waits for an update. When it goes away before it was answered the update ends.
struct Caller(Option<watch::Sender<bool>>);

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
    const AUDITED: Option<Event> = Some(Event::Update);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let parts = arguments.parts.checked(call.host.settings.get().code_bytes)?;
        let server = target::running(&call, &arguments.server_id).await?;
        let (given_up, cancelled) = watch::channel(false);
        let caller = Caller(Some(given_up));
        let mut cx = Cx::detached().with_cancel(cancelled);
        if let Some(sink) = call.progress.clone() {
            let reports = patience::Reports::to(sink);
            cx = cx.with_progress(move |step| reports.send(&step));
        }
        let mut updating = tokio::spawn(update(cx, server.clone(), parts));
        match timeout(call.host.settings.get().patience, &mut updating).await {
            Ok(done) => done.map_err(|error| Error::internal("the update ended early").caused_by(&error))?,
            Err(_) => {
                caller.leaves_it_to_go_on();
                tokio::spawn(async move {
                    if let Ok(Err(error)) = updating.await {
                        server.note_failed_update(error);
                    }
                });
                let message = "the new code is still being built; until it answers, the former one goes on. `get-server` \
                               shows when it has taken over, or why it could not";
                let facts = json!({ "serverId": arguments.server_id, "status": "building", "message": message });
                Ok(Said::new(facts.to_string(), facts).into())
            }
        }
    }
}

async fn update(cx: Cx, server: Arc<Server>, parts: Parts) -> Result<Reply> {
    let begun = Instant::now();
    let _changing = server.changing.lock().await;
    let old = server.status().spec;
    let same_packages = parts.code.is_none() && parts.dependencies.is_none();
    let spec = ServerSpec {
        language: old.language.clone(),
        code: parts.code.unwrap_or_else(|| old.code.clone()),
        files: parts.files.unwrap_or_else(|| old.files.clone()),
        dependencies: parts.dependencies.unwrap_or_else(|| old.dependencies.clone()),
        lock: old.lock.clone().filter(|_| same_packages),
        permissions: parts.permissions.clone().unwrap_or_else(|| old.permissions.clone()),
        limits: parts.limits.clone().unwrap_or_else(|| old.limits.clone()),
    };
    // who changes the code alone asks for nothing new
    let asks = parts.permissions.is_some() || parts.limits.is_some();
    let demand = if asks { Demand::Asked } else { Demand::Kept };
    let difference = Difference::between((&old.permissions, &old.limits), (&spec.permissions, &spec.limits));
    let instance = server.replace(&cx, spec, demand).await.map_err(|error| still_serving(&server, error))?;
    let (status, tools) = (server.status(), instance.tools());
    let names = tools.names().collect::<Vec<_>>().join(", ");
    let took = begun.elapsed().as_millis();
    let mut text = format!("✅ Server {} updated\n\ntools: {names}\nready after {took} ms", server.id);
    for line in instance.rights.lines(instance.process.enforced()) {
        text.push_str(&format!("\n{line}"));
    }
    if !difference.is_empty() {
        text.push_str(&format!("\n{difference}"));
    }
    for note in &status.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    let mut facts = json!({
        "serverId": server.id,
        "state": status.phase.word(),
        "tools": tools.definitions(),
        "readyAfterMs": u64::try_from(took).unwrap_or(u64::MAX),
        "notes": status.notes,
    });
    for (name, fact) in instance.rights.facts(instance.process.enforced()) {
        facts[name] = fact;
    }
    if !difference.is_empty() {
        facts["permissionsChanged"] = json!(difference);
    }
    Ok(Said::new(text, facts).into())
}

impl Caller {
    fn leaves_it_to_go_on(mut self) {
        self.0 = None;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(given_up) = &self.0 {
            given_up.send_replace(true);
        }
    }
}

fn still_serving(server: &Server, mut error: Error) -> Error {
    if matches!(server.status().phase, Phase::Ready(_)) {
        let hint = error.hint.take().unwrap_or_default();
        error.hint =
            Some(format!("{hint}\nthe server is unchanged and goes on with its former code").trim().to_owned());
    }
    error
}
