use std::path::PathBuf;

use clap::Args;

use super::{Common, TAKEN_UP, output, setting::Settings};
use crate::{
    app::Added,
    config::PluginName,
    exit::{Exit, Failure},
};

/// Add a plugin to the configuration
///
/// A library is looked at first, without running any of its code, and pinned by its hash. The configuration file is made
/// when there is none; what is in it stays as it is, to the byte.
#[derive(Args)]
#[command(after_help = "Examples:\n  perennial plugin add hello --path target/release/libperennial_tools_hello.so\n  \
                        perennial plugin add notes --set folder=library -- python3 notes.py")]
pub(in crate::cli) struct Add {
    /// The plugin's name
    #[arg(value_parser = |text: &str| PluginName::try_from(text.to_owned()))]
    name: PluginName,
    /// A library, which becomes part of the host's own process
    #[arg(long, value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    path: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// A program that runs as a process, and its arguments; it runs in the folder of the configuration
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Add {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { name, path, settings, json, command } = self;
        let settings = settings.into_table();
        let added = crate::app::add_plugin(&common.request(), &name, path.as_deref(), &command, settings)
            .map_err(|failure| failure.context(format!("failed to add `{name}`")))?;
        output::print(&if json { output::json(&added)? } else { render(&added) })?;
        Ok(Exit::Done)
    }
}

fn render(added: &Added) -> String {
    let Added { plugin, file, created, from, sha256, notes } = added;
    let made = if *created { ", which was made for it" } else { "" };
    let mut text = format!("added `{plugin}` to {}{made}\n  from    {}\n", file.display(), from.join(" "));
    text += &match sha256 {
        Some(sha256) => format!("  sha256  {sha256}\n"),
        None => format!("`perennial plugin check {plugin}` tries it\n"),
    };
    text.extend(notes.iter().map(|note| format!("note: {note}\n")));
    output::plain(&(text + TAKEN_UP))
}
