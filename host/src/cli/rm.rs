use clap::Args;
use perennial_sdk::{Summary, Version};
use serde_json::json;

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Delete a saved server
///
/// It is gone from every list. Its versions stay in the storage until they are collected, so that a slip can be undone:
/// `perennial history ID --restore VERSION`.
#[derive(Args)]
pub(super) struct Rm {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Rm {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let (removed, tombstone) = crate::app::remove(config, directories, &self.server)
            .map_err(|failure| failure.context(format!("failed to delete `{}`", self.server)))?;
        let text = if self.json {
            output::json(&json!({"serverId": removed.server_id, "name": removed.name, "version": tombstone}))?
        } else {
            render(&removed, tombstone)
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

/// What happened, for people.
pub(super) fn render(removed: &Summary, tombstone: Version) -> String {
    let Summary { name, server_id, .. } = removed;
    let mut text = format!("deleted \"{}\" ({server_id}) as of version {tombstone}\n", name.replace('\n', " "));
    text += &format!("to undo it: perennial history {server_id} --restore {}\n", removed.version);
    output::plain(&text)
}
