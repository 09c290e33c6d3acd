use std::fmt::Write;

use clap::Args;
use perennial_sdk::{Collected, CollectedServer, Retention, Version};

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Remove versions that the configuration does not keep
///
/// The newest version of a server is never removed, nor what is younger than a day. Unless `[storage]` says otherwise only
/// the versions of servers go that were deleted 30 days ago.
#[derive(Args)]
#[command(after_help = "Example: perennial gc --dry-run")]
pub(super) struct Gc {
    /// Only tell what would be removed
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let retention = Retention { dry_run: self.dry_run, ..config.storage.retention() };
        let collected = crate::app::collect(config, directories, &retention)
            .map_err(|failure| failure.context("failed to remove old versions"))?;
        output::print(&if self.json { output::json(&collected)? } else { render(&collected, self.dry_run) })?;
        Ok(Exit::Done)
    }
}

/// What went, for people.
pub(super) fn render(collected: &Collected, dry_run: bool) -> String {
    let mut text = String::new();
    for CollectedServer { server_id, deleted, versions } in &collected.servers {
        let of = if *deleted { " of a deleted server" } else { "" };
        let _ = writeln!(text, "{server_id}: {}{of}", numbers(versions));
    }
    let Collected { servers, blobs, bytes } = collected;
    let versions = servers.iter().map(|server| server.versions.len() as u64).sum();
    let did = if dry_run { "would remove" } else { "removed" };
    let (versions, blobs) = (output::count(versions, "version"), output::count(*blobs, "large text"));
    text + &format!("{did} {versions} and {blobs}, {}\n", output::size(*bytes))
}

/// Versions that follow each other, as collectors remove them.
fn numbers(versions: &[Version]) -> String {
    match versions {
        [first, .., last] => format!("versions {first} to {last}"),
        [only] => format!("version {only}"),
        [] => String::new(),
    }
}
