use std::{sync::Arc, time::Duration};

use perennial_sdk::{Dependencies, Description, Error, Result, ServerSpec, Template};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    BuiltIn, Call, Effect,
    input::Parts,
    patience::{self, OutOfPatience},
    standing,
};
use crate::{
    audit::Event,
    bounds,
    catalog::{Catalog, Server},
    launch::Instance,
    mcp::{Reply, Said},
};

pub(super) struct CreateServer;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The language: python, typescript, javascript, rust, or what plugins add; an unknown one is answered with the list.
    language: String,
    /// What to call the server.
    #[serde(default)]
    name: Option<String>,
    #[serde(flatten)]
    parts: Parts,
}

/// Ends a server whose creation was given up.
pub(super) struct Unfinished {
    server: Option<Arc<Server>>,
    catalog: Arc<Catalog>,
}

impl BuiltIn for CreateServer {
    const NAME: &'static str = "create-server-from-template";
    const TITLE: &'static str = "Create an MCP server";
    const DESCRIPTION: &'static str = "Starts a new MCP server from your `code` (or, without code, from the language's \
        working example) and answers its `serverId`. Its tools can be called at once with `execute-tool`. Declare \
        packages in `dependencies`; they are installed first. An error carries the traceback or the installer's log.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "create the server";
    const AUDITED: Option<Event> = Some(Event::Create);
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let parts = arguments.parts.checked(call.host.settings.get().code_bytes)?;
        let name = arguments.name.as_deref().map(bounds::name).transpose()?;
        let (runtime, language) = call.host.plugins.runtime(&arguments.language)?;
        let from_template = parts.code.is_none();
        let mut spec = ServerSpec {
            language: language.clone(),
            code: parts.code.unwrap_or_default(),
            files: parts.files.unwrap_or_default(),
            dependencies: parts.dependencies.unwrap_or_default(),
            lock: None,
            permissions: parts.permissions.unwrap_or_default(),
            limits: parts.limits.unwrap_or_default(),
        };
        if from_template {
            let template = template(&runtime.description, &language, &spec.dependencies)?;
            spec.code.clone_from(&template.code);
            if spec.dependencies.is_empty() {
                spec.dependencies = template.dependencies.clone();
            }
        }
        let message = match from_template {
            true => format!("Server created from the {language} template"),
            false => format!("Server created from {language} code"),
        };
        let server = call.host.catalog.create(spec, name, &call.client)?;
        answer_when_up(&call, server, |id| (json!({ "serverId": id, "message": message }).to_string(), message.clone()))
            .await
    }
}

/// Waits for a new server and answers with what it can do, or, when callers put up with no more, with how far it is:
/// it then goes on to come up without them. `first_line` makes the first line of the text and the message of the facts.
pub(super) async fn answer_when_up(
    call: &Call,
    server: Arc<Server>,
    first_line: impl Fn(&str) -> (String, String),
) -> Result<Reply> {
    let begun = Instant::now();
    let unfinished = Unfinished::new(call, server.clone());
    let up = patience::settled(call, &server).await;
    let id = server.id.to_string();
    match up {
        Ok(Ok(instance)) => {
            unfinished.keep();
            Ok(up_reply(&server, &instance, begun.elapsed(), first_line(&id)))
        }
        Ok(Err(error)) => Err(error),
        Err(OutOfPatience) => {
            unfinished.keep();
            let doing = patience::doing(&server);
            let message = format!("still building ({doing}); `get-server` tells how far it is");
            let first = json!({ "serverId": id, "status": "building", "message": message });
            Ok(Said::new(first.to_string(), first).into())
        }
    }
}

fn up_reply(server: &Server, instance: &Instance, took: Duration, (first, message): (String, String)) -> Reply {
    let status = server.status();
    let tools = instance.tools();
    let names: Vec<&str> = tools.names().collect();
    let mut text = first;
    text.push_str(&format!("\n\ntools: {}", if names.is_empty() { "none".into() } else { names.join(", ") }));
    text.push_str(&format!("\nready after {} ms", took.as_millis()));
    for line in instance.rights.lines(instance.process.enforced()) {
        text.push_str(&format!("\n{line}"));
    }
    text.push_str(&standing::lines(&status));
    for note in &status.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    let mut facts = json!({
        "serverId": server.id,
        "message": message,
        "state": status.phase.word(),
        "language": status.spec.language,
        "tools": tools.definitions(),
        "readyAfterMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "withheld": standing::withheld(&status),
        "drift": standing::drift(&status),
        "notes": status.notes,
    });
    for (name, fact) in instance.rights.facts(instance.process.enforced()) {
        facts[name] = fact;
    }
    Said::new(text, facts).into()
}

fn template<'a>(description: &'a Description, language: &str, wanted: &Dependencies) -> Result<&'a Template> {
    let templates = description.languages.iter().find(|one| one.name == language).map(|one| &one.templates);
    let names = |dependencies: &Dependencies| -> Vec<String> {
        match dependencies {
            Dependencies::Map(map) => map.keys().cloned().collect(),
            Dependencies::List(list) => {
                let end = |c: char| !(c.is_alphanumeric() || "-_.@/".contains(c));
                list.iter().filter_map(|entry| entry.split(end).next().map(str::to_owned)).collect()
            }
        }
    };
    let wanted = names(wanted);
    templates
        .and_then(|templates| {
            let fits = |template: &&Template| {
                let needed = names(&template.dependencies);
                !needed.is_empty() && needed.iter().all(|name| wanted.contains(name))
            };
            templates.iter().find(fits).or_else(|| templates.first())
        })
        .ok_or_else(|| Error::invalid(format!("`{language}` has no template")).hint("give the `code` of the server"))
}

impl Unfinished {
    pub(super) fn new(call: &Call, server: Arc<Server>) -> Self {
        Self { server: Some(server), catalog: call.host.catalog.clone() }
    }

    pub(super) fn keep(mut self) {
        self.server = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let catalog = self.catalog.clone();
            tokio::spawn(async move { catalog.remove(&server.id).await });
        }
    }
}
