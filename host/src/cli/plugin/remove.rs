use clap::Args;

use super::{Common, TAKEN_UP, output};
use crate::{
    app::Removed,
    exit::{Exit, Failure},
};

/// Remove a plugin from the configuration
///
/// Its table goes, with the comment right above it; its files stay. The storage that `storage.use` names is not removed.
#[derive(Args)]
pub(in crate::cli) struct Remove {
    /// The plugin's name in the configuration
    name: String,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { name, json } = self;
        let removed = crate::app::remove_plugin(&common.request(), &name)
            .map_err(|failure| failure.context(format!("failed to remove `{name}`")))?;
        output::print(&if json { output::json(&removed)? } else { render(&removed) })?;
        Ok(Exit::Done)
    }
}

fn render(removed: &Removed) -> String {
    let Removed { plugin, file, built_in } = removed;
    let mut text = format!("removed `{plugin}` from {}; its files are still there\n", file.display());
    if *built_in {
        text += &format!("note: the built-in plugin `{plugin}` takes its place, without settings\n");
    }
    output::plain(&(text + TAKEN_UP))
}
