use clap::Args;

use super::{Common, output};
use crate::{
    app::Place,
    exit::{Exit, Failure},
    moving::{CopiedServer, Copy as Copied, Outcome, Tally},
};

/// Copy all saved servers from one storage to another
///
/// Every version goes along, in order, and the deleted servers too; each is read back and compared. The source stays as
/// it is. What is at the target already is not copied again, so that a copy that was interrupted is continued by running
/// it once more. Where the target has other versions of a server, they are left alone and reported.
#[derive(Args)]
#[command(after_help = "Settings after a colon stand in front of those in the configuration.\n\nExamples:\n  \
                        perennial copy --from json --to json:path=/backup/saved_servers.json\n  \
                        perennial copy --from json:path=old/saved_servers.json --to json --dry-run\n\n\
                        Exit code 1 when something could not be copied.")]
pub(super) struct Copy {
    /// The storage to copy from
    #[arg(long, value_name = "STORAGE[:KEY=VALUE,…]")]
    from: Place,
    /// The storage to copy to
    #[arg(long, value_name = "STORAGE[:KEY=VALUE,…]")]
    to: Place,
    /// Only tell what would be copied
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Copy {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let copied = crate::app::copy(&config, &directories, &self.from, &self.to, self.dry_run)
            .map_err(|failure| failure.context("failed to copy"))?;
        output::print(&if self.json { output::json(&copied)? } else { render(&copied) })?;
        Ok(if copied.is_whole() { Exit::Done } else { Exit::Failed })
    }
}

/// How many servers that were copied, and how many that were not, people are shown.
const MOST: usize = 50;

/// What was copied, for people: the servers of which something is to be told, and the sum.
pub(super) fn render(copied: &Copied) -> String {
    let (whole, wanting): (Vec<_>, Vec<_>) = copied.servers.iter().partition(|one| one.problems.is_empty());
    let moved: Vec<_> = whole.into_iter().filter(|one| !one.moved.is_empty()).collect();
    let more = moved.len().saturating_sub(MOST) + wanting.len().saturating_sub(MOST);
    let told = moved.into_iter().take(MOST).chain(wanting.into_iter().take(MOST));
    let row = |one: &CopiedServer| {
        let did = match (one.outcome, one.moved.len()) {
            (Some(Outcome::Conflict), _) => "CONFLICT".to_owned(),
            (None, _) => "FAILED".to_owned(),
            (_, 0) => "INCOMPLETE".to_owned(),
            (_, 1) => "1 version".to_owned(),
            (_, versions) => format!("{versions} versions"),
        };
        let name = if one.deleted { format!("{} (deleted)", one.name) } else { one.name.clone() };
        vec![one.server_id.clone(), name, did, one.problems.join("; ")]
    };
    let mut text = output::table(&told.map(row).collect::<Vec<_>>());
    if more > 0 {
        text += &format!("and {more} more: --json shows every one\n");
    }
    let Copied { from, to, dry_run, tally, notes, .. } = copied;
    let Tally { servers, versions, copied, unchanged, conflicts, failed } = tally;
    let did = if *dry_run { "would copy" } else { "copied" };
    text += &format!("{did} {versions} versions of {copied} servers from {from} to {to}\n");
    text += &format!("{servers} servers in all: {unchanged} were there already");
    text += &format!(", {conflicts} in conflict, {failed} not copied whole\n");
    text.extend(notes.iter().map(|note| format!("note: {note}\n")));
    output::plain(&text)
}
