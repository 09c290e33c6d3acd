use perennial_sdk::{Result, Summary, Version};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect};
use crate::mcp::{Reply, Said};

pub(super) struct ListSavedServers;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {}

impl BuiltIn for ListSavedServers {
    const NAME: &'static str = "list-saved-servers";
    const TITLE: &'static str = "List the saved servers";
    const DESCRIPTION: &'static str = "Lists the servers in the library: name, id, language and when each was saved.";
    const EFFECT: Effect = Effect::Reads;
    const DOING: &'static str = "list the saved servers";
    type Arguments = Arguments;

    async fn run(call: Call, _: Arguments) -> Result<Reply> {
        let mut saved = call.host.library.list(&call.cx()).await?;
        saved.sort_by(|a, b| a.saved_at.cmp(&b.saved_at));
        let mut text =
            String::from(if saved.is_empty() { "📂 No saved servers found" } else { "📂 Saved servers:" });
        for summary in &saved {
            text.push('\n');
            text.push_str(&line(summary));
        }
        let servers: Vec<_> = saved
            .iter()
            .map(|one| {
                json!({
                    "savedServerId": one.server_id,
                    "name": one.name,
                    "language": one.language,
                    "savedAt": one.saved_at,
                    "version": one.version,
                    "tools": one.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>(),
                    "damage": one.damage,
                })
            })
            .collect();
        Ok(Said::new(text, json!({ "servers": servers })).into())
    }
}

fn line(summary: &Summary) -> String {
    let Summary { name, server_id, language, saved_at, .. } = summary;
    let mut line = format!("📄 {name} (ID: {server_id}, Language: {language}, Saved: {saved_at})");
    if summary.version > Version(1) {
        line.push_str(&format!("\n   version {}", summary.version));
    }
    if let Some(damage) = &summary.damage {
        line.push_str(&format!("\n   cannot be loaded: {damage}"));
    }
    line
}
