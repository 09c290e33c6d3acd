//! The host's own prompts and resources, beside those of saved servers, and what completes their arguments.

use perennial_sdk::Error;
use rmcp::{
    ErrorData, RoleServer,
    model::{CompleteRequestParams, GetPromptRequestParams, Reference},
    service::RequestContext,
};
use serde_json::{Value, json};

use super::{
    conversation::Round,
    offering::own_error,
    passed::Passed,
    server::{Server, client},
};
use crate::{
    prompts::{self, Prompt},
    resources::{self, Address, Part},
};

/// The most that a completion names (MCP: completion/complete).
const MOST_COMPLETED: usize = 100;

impl Server {
    /// None where one saved server is all that is shown.
    pub(super) fn own_prompts(&self) -> Vec<Value> {
        let shown = |prompt: &Prompt| {
            let arguments: Vec<_> = prompt
                .arguments
                .iter()
                .map(|one| json!({ "name": one.name, "description": one.description, "required": one.required }))
                .collect();
            json!({
                "name": prompt.name,
                "title": prompt.title,
                "description": prompt.description,
                "arguments": arguments,
            })
        };
        if self.registry.is_of_one() { Vec::new() } else { prompts::ALL.iter().map(shown).collect() }
    }

    /// Likewise.
    pub(super) async fn own_resources(&self, context: &RequestContext<RoleServer>) -> Vec<Value> {
        if self.registry.is_of_one() {
            return Vec::new();
        }
        let all = resources::list(&self.host, &client(context)).await;
        let shown = all.iter().map(|resource| {
            json!({
                "uri": resource.address.to_string(),
                "name": resource.title,
                "description": resource.description,
            })
        });
        shown.collect()
    }

    /// Likewise.
    pub(super) fn own_templates(&self) -> Vec<Value> {
        let shown = |part: Part| {
            json!({
                "uriTemplate": part.template(),
                "name": format!("A server's {}", part.word()),
                "description": part.description(),
            })
        };
        if self.registry.is_of_one() { Vec::new() } else { Part::ALL.map(shown).into() }
    }

    /// The text of one of the host's own prompts; none when it is no such prompt.
    pub(super) async fn own_prompt(
        &self,
        params: &GetPromptRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<Passed, ErrorData>> {
        let prompt = prompts::ALL.iter().find(|prompt| prompt.name == params.name)?;
        if self.registry.is_of_one() {
            return None;
        }
        let call = self.call(Round::plain(context), context);
        let arguments = params.arguments.clone().unwrap_or_default();
        let filled = prompts::fill(&self.host, &call.cx(), &call.client, prompt.name, &arguments).await;
        Some(filled.map_err(own_error).map(|text| {
            let message = json!({ "role": "user", "content": { "type": "text", "text": text } });
            passed(&json!({ "description": prompt.description, "messages": [message] }))
        }))
    }

    /// What is at one of the host's own addresses; none when it is no such address.
    pub(super) async fn own_resource(
        &self,
        uri: &str,
        context: &RequestContext<RoleServer>,
    ) -> Option<Result<Passed, ErrorData>> {
        if self.registry.is_of_one() || !Address::is_meant_by(uri) {
            return None;
        }
        let call = self.call(Round::plain(context), context);
        let read = async {
            let contents = resources::read(&self.host, &call.cx(), &call.client, &uri.parse()?).await?;
            let contents = json!({ "uri": uri, "mimeType": contents.mime_type, "text": contents.text });
            Ok::<_, Error>(passed(&json!({ "contents": [contents] })))
        };
        Some(read.await.map_err(|error| {
            let hint = error.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            ErrorData::resource_not_found(format!("{error}{hint}"), Some(json!({ "uri": uri })))
        }))
    }

    /// What completes an argument of those; none when it is none of them.
    pub(super) async fn own_completion(
        &self,
        params: &CompleteRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Option<Passed> {
        if self.registry.is_of_one() {
            return None;
        }
        let argument = match &params.r#ref {
            Reference::Prompt(prompt) => {
                let prompt = prompts::ALL.iter().find(|own| own.name == prompt.name)?;
                prompt.arguments.iter().find(|argument| argument.name == params.argument.name)?.name
            }
            Reference::Resource(resource) if Part::ALL.iter().any(|part| part.template() == resource.uri) => "server",
            _ => return None,
        };
        let mut values: Vec<String> = match argument {
            "server" => self.servers(context).await,
            "language" => self.host.plugins.languages().collect(),
            _ => Vec::new(),
        };
        let begun = params.argument.value.to_lowercase();
        values.retain(|value| value.to_lowercase().starts_with(&begun));
        let total = values.len();
        values.truncate(MOST_COMPLETED);
        let completion = json!({ "values": values, "total": total, "hasMore": total > MOST_COMPLETED });
        Some(passed(&json!({ "completion": completion })))
    }

    /// What servers can be called: names, and ids of those without one.
    async fn servers(&self, context: &RequestContext<RoleServer>) -> Vec<String> {
        let call = self.call(Round::plain(context), context);
        let running = self.host.catalog.list(&call.client);
        let running = running.iter().map(|server| server.status().name.unwrap_or_else(|| server.id.to_string()));
        let saved = self.host.library.list(&call.cx()).await.unwrap_or_default();
        let mut names: Vec<_> = running.chain(saved.into_iter().map(|summary| summary.name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn passed(result: &Value) -> Passed {
    Passed::new(result.to_string().into())
}
