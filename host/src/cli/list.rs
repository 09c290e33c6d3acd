use clap::Args;

use super::{Common, output};
use crate::{
    app::Listed,
    exit::{Exit, Failure},
};

/// List the saved servers
#[derive(Args)]
#[command(
    visible_alias = "ls",
    after_help = "Examples:\n  perennial list --json | jq -r '.[].serverId'\n  perennial list --deleted"
)]
pub(super) struct List {
    /// Those that were deleted and can be brought back, with the version to restore
    #[arg(long)]
    deleted: bool,
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let saved = match self.deleted {
            false => crate::app::saved(config, directories),
            true => crate::app::deleted(config, directories),
        };
        let saved = saved.map_err(|failure| failure.context("failed to list saved servers"))?;
        let mut text = if self.json { output::json(&saved)? } else { render(&saved) };
        if self.deleted && !self.json && !saved.is_empty() {
            text += "\nto bring one back: perennial history ID --restore VERSION\n";
        }
        if !self.json && saved.iter().any(|one| one.approval_pending) {
            text += "\nto look at what waits for an approval: perennial approve ID\n";
        }
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

/// The listing for people.
pub(super) fn render(saved: &[Listed]) -> String {
    if saved.is_empty() {
        return "no saved servers\n".into();
    }
    let headings = ["NAME", "ID", "LANGUAGE", "VERSION", "SAVED", "TOOLS"].map(str::to_owned).to_vec();
    let row = |Listed { summary, approval_pending }: &Listed| {
        let waits = approval_pending.then_some("(approval pending)");
        let tools: Vec<_> = waits.into_iter().chain(summary.tools.iter().map(|tool| tool.name.as_str())).collect();
        let last = summary.damage.as_ref().map_or_else(|| tools.join(", "), |damage| format!("damaged: {damage}"));
        vec![
            shorten(&summary.name, 48),
            summary.server_id.clone(),
            summary.language.clone(),
            summary.version.to_string(),
            summary.saved_at.clone(),
            shorten(&last, 80),
        ]
    };
    output::table(&std::iter::once(headings).chain(saved.iter().map(row)).collect::<Vec<_>>())
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
