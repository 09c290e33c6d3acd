//! What a person can ask for by name in a client that has commands: a server to be written, what is in the library, a
//! server to be repaired.

use perennial_sdk::{Cx, Error, Result};
use serde_json::{Map, Value};

use crate::{
    host::Host,
    identity::Client,
    resources::{self, Address, Part},
};

/// A prompt as lists show it.
#[derive(Debug, Clone, Copy)]
pub struct Prompt {
    /// What people type.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it asks for.
    pub arguments: &'static [Argument],
}

/// An argument of a prompt.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What to give.
    pub description: &'static str,
    /// Whether the prompt is nothing without it.
    pub required: bool,
}

/// The host's own prompts.
pub const ALL: [Prompt; 3] = [
    Prompt {
        name: "new-server",
        title: "Write a new server",
        description: "Has a new MCP server written, tried and saved",
        arguments: &[
            Argument { name: "purpose", description: "What it shall be able to do", required: true },
            Argument { name: "language", description: "python, typescript, javascript or rust", required: false },
        ],
    },
    Prompt {
        name: "my-library",
        title: "What is in my library",
        description: "Shows the saved servers and what each is good for",
        arguments: &[],
    },
    Prompt {
        name: "fix-server",
        title: "Repair a server",
        description: "Has what is wrong with a server found, repaired, tried and saved",
        arguments: &[
            Argument { name: "server", description: "Its name or id", required: true },
            Argument { name: "problem", description: "What goes wrong", required: false },
        ],
    },
];

/// Servers that `my-library` names.
const MOST_NAMED: usize = 200;

/// What a prompt of a client says to the model.
///
/// # Errors
/// `not_found` for a name that no prompt has, `invalid` when a required argument is missing, and those of the storage.
pub async fn fill(host: &Host, cx: &Cx, by: &Client, name: &str, arguments: &Map<String, Value>) -> Result<String> {
    let Some(prompt) = ALL.iter().find(|prompt| prompt.name == name) else {
        let shown: String = name.chars().take(80).collect();
        let names: Vec<_> = ALL.iter().map(|prompt| prompt.name).collect();
        return Err(Error::not_found(format!("no prompt `{shown}`")).hint(format!("there are: {}", names.join(", "))));
    };
    let given = |name: &str| arguments.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    if let Some(missing) = prompt.arguments.iter().find(|argument| argument.required && given(argument.name).is_none())
    {
        return Err(Error::invalid(format!("the prompt `{name}` needs `{}`", missing.name)).hint(missing.description));
    }
    match name {
        "new-server" => Ok(include_str!("new_server.md")
            .replace("{language}", given("language").unwrap_or("the language that suits it best"))
            .replace("{purpose}", given("purpose").unwrap_or_default())),
        "my-library" => Ok(include_str!("my_library.md").replace("{servers}", &servers(host, cx).await?)),
        _ => {
            let server = given("server").unwrap_or_default();
            let at = |part| Address { server: server.into(), part };
            // a server that there is not is better told now than by a model that looks for it
            resources::read(host, cx, by, &at(Part::Source)).await?;
            let logs = resources::read(host, cx, by, &at(Part::Logs)).await.map(|logs| logs.text).unwrap_or_default();
            let logs = if logs.trim().is_empty() { "nothing".into() } else { format!("\n\n{logs}") };
            Ok(include_str!("fix_server.md")
                .replace("{problem}", given("problem").unwrap_or("find out by trying its tools"))
                .replace("{server}", server)
                .replace("{logs}", &logs))
        }
    }
}

async fn servers(host: &Host, cx: &Cx) -> Result<String> {
    let saved = host.library.newest_first(cx).await?;
    let more = saved.len().saturating_sub(MOST_NAMED);
    let mut lines: Vec<String> = saved
        .iter()
        .take(MOST_NAMED)
        .map(|summary| {
            let tools: Vec<_> = summary.tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
            let description = summary.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
            format!(
                "- {} (`{}`, {}){description} {}",
                summary.name,
                summary.server_id,
                summary.language,
                tools.join(", ")
            )
        })
        .collect();
    if more > 0 {
        lines.push(format!("- and {more} more, which `list-saved-servers` shows"));
    }
    Ok(if lines.is_empty() { "- none yet".into() } else { lines.join("\n") })
}
