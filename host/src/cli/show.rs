use clap::Args;
use perennial_sdk::{Dependencies, SavedServer, Version};
use serde::Serialize;

use super::{Common, output};
use crate::{
    exit::{Exit, Failure},
    trust::Withheld,
};

/// Show a saved server: what it is made of, its versions, its source
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perennial show \"My server\"\n  perennial show server-abc123 --version 2 --code > server.py"
)]
pub(super) struct Show {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// An older version [default: the newest]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// The source alone, untouched
    #[arg(long, conflicts_with = "json")]
    code: bool,
    /// As a JSON object: the record, and the numbers of its `versions`
    #[arg(long)]
    json: bool,
}

/// What `--json` shows.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    record: &'a SavedServer,
    versions: &'a [Version],
    /// What nobody has approved yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<&'a Withheld>,
}

impl Show {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let (record, versions, withheld) =
            crate::app::saved_server(config, directories, &self.server, self.version.map(Version))
                .map_err(|failure| failure.context(format!("failed to show `{}`", self.server)))?;
        let text = match (self.json, self.code) {
            (true, _) => output::json(&Shown { record: &record, versions: &versions, withheld: withheld.as_ref() })?,
            (_, true) => record.code,
            _ => render(&record, &versions, withheld.as_ref()),
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

/// The server for people.
pub(super) fn render(record: &SavedServer, versions: &[Version], withheld: Option<&Withheld>) -> String {
    let approval = |withheld: &Withheld| match &withheld.problem {
        Some(problem) => format!("unknown: {problem}"),
        None => format!("pending: {}", withheld.remedy),
    };
    let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
    let tools: Vec<_> = record.tools.iter().map(|tool| tool.name.as_str()).collect();
    let aliases: Vec<_> = record.aliases.iter().map(|alias| alias.as_str()).collect();
    let facts = [
        ("name", record.name.clone()),
        ("id", record.server_id.clone()),
        ("also known as", aliases.join(", ")),
        ("language", record.language.clone()),
        ("saved", record.saved_at.clone()),
        ("saved by", record.saved_by.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("version", format!("{} (there are: {})", record.version, versions.join(", "))),
        ("description", record.description.clone().unwrap_or_default()),
        ("tools", tools.join(", ")),
        ("dependencies", dependencies(&record.dependencies)),
        ("permissions", set(&record.permissions, record.permissions.is_default())),
        ("approval", withheld.map(approval).unwrap_or_default()),
        ("limits", set(&record.limits, record.limits.is_default())),
        ("sha256", record.sha256.clone().unwrap_or_default()),
    ];
    let rows =
        facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| vec![name.to_owned(), value]);
    let mut text = output::table(&rows.collect::<Vec<_>>());
    let files = record.files.iter().map(|(path, contents)| (path.as_str(), contents));
    for (title, contents) in std::iter::once(("source", &record.code)).chain(files) {
        text += &format!("\n--- {} ---\n{}\n", output::plain(title), output::plain(contents.trim_end()));
    }
    text
}

fn dependencies(dependencies: &Dependencies) -> String {
    match dependencies {
        Dependencies::Map(map) => {
            map.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
        }
        Dependencies::List(list) => list.join(", "),
    }
}

fn set(value: &impl Serialize, is_default: bool) -> String {
    if is_default { String::new() } else { serde_json::to_string(value).unwrap_or_default() }
}
