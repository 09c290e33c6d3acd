use clap::{Args, Subcommand};
use perennial_sdk::Registration;
use serde::Serialize;

use super::{Common, output};
use crate::{
    config::{Config, PerPlatform},
    exit::{Exit, Failure},
};

/// Show what is installed
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the plugins, where each comes from, and why one is not loaded
    List(List),
}

#[derive(Args)]
pub(super) struct List {
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

/// A plugin as the listing shows it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    version: Option<String>,
    provides: Vec<String>,
    from: String,
    problem: Option<String>,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self::List(List { json }) = self;
        let (config, _) = common.load()?;
        let rows = rows(&config, &perennial_sdk::registrations());
        output::print(&if json { output::json(&rows)? } else { render(&rows) })?;
        Ok(Exit::Done)
    }
}

/// The plugins that are built in, and those of the file.
pub(super) fn rows(config: &Config, built_in: &[&Registration]) -> Vec<Row> {
    let mut rows: Vec<_> =
        built_in.iter().filter(|plugin| !config.plugins.contains_key(plugin.id)).map(|p| known(p)).collect();
    for (name, settings) in &config.plugins {
        let behind = config.plugin_behind(name.as_str());
        let mut row = match built_in.iter().find(|plugin| plugin.id == behind) {
            Some(plugin) if behind == name.as_str() => known(plugin),
            Some(plugin) => Row { name: name.to_string(), from: format!("built in: {behind}"), ..known(plugin) },
            None => Row { name: name.to_string(), version: None, provides: vec![], from: String::new(), problem: None },
        };
        if let Some(path) = &settings.path {
            row.from = match path {
                PerPlatform::Any(path) => config.resolve(path).display().to_string(),
                PerPlatform::Each(paths) => paths.keys().cloned().collect::<Vec<_>>().join(", "),
            };
        } else if let Some(command) = &settings.command {
            row.from = command.join(" ");
        }
        row.problem = config.check_plugin(name, built_in).err().map(|error| error.to_string());
        rows.push(row);
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

/// The listing for people.
pub(super) fn render(rows: &[Row]) -> String {
    let headings = ["NAME", "VERSION", "PROVIDES", "FROM", "STATE"].map(str::to_owned).to_vec();
    let row = |row: &Row| {
        vec![
            row.name.clone(),
            row.version.clone().unwrap_or_default(),
            row.provides.join(", "),
            row.from.clone(),
            row.problem.as_ref().map_or_else(|| "ready".to_owned(), |problem| format!("not loaded: {problem}")),
        ]
    };
    output::table(&std::iter::once(headings).chain(rows.iter().map(row)).collect::<Vec<_>>())
}

fn known(plugin: &Registration) -> Row {
    Row {
        name: plugin.id.to_owned(),
        version: Some(plugin.version.to_owned()),
        provides: plugin.provides.iter().map(|&kind| kind.to_owned()).collect(),
        from: "built in".to_owned(),
        problem: None,
    }
}
