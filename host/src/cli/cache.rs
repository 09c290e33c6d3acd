use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::{Common, output};
use crate::{
    environment::{Contents, Entry, Kind, Prune, Pruned},
    exit::{Exit, Failure},
};

/// Show and clear what is installed for servers
///
/// All of it can be made again: a server whose packages were removed gets the very same ones when it is started.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List environments, builds and downloads: what for, how large, when used last
    Ls(Ls),
    /// Remove what is above the limit of the configuration, and what broken installations left behind
    ///
    /// What was not used for longest goes first. Nothing that a running server uses is ever removed.
    Prune(PruneOptions),
}

#[derive(Args)]
pub(super) struct Ls {
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Example: perennial cache prune --older-than 30d --dry-run")]
pub(super) struct PruneOptions {
    /// Remove everything that is not in use
    #[arg(long, conflicts_with = "older_than")]
    all: bool,
    /// Remove what was not used for so long: a number and one of s, m, h, d, w
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
    /// Only tell what would be removed
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let contents = Contents::of(&directories.cache);
        let most_bytes = config.cache.max_gb.bytes();
        let text = match self {
            Self::Ls(Ls { json: true }) => output::json(&contents.list())?,
            Self::Ls(Ls { json: false }) => render(&contents.list(), most_bytes, &directories.cache),
            Self::Prune(PruneOptions { all, older_than, dry_run, json }) => {
                let older_than = if all { Some(Duration::ZERO) } else { older_than };
                let pruned = contents.prune(&Prune { most_bytes, older_than, dry_run });
                if json { output::json(&pruned)? } else { render_pruned(&pruned, dry_run) }
            }
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

/// The listing for people.
pub(super) fn render(entries: &[Entry], most_bytes: u64, folder: &Path) -> String {
    let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let sum = format!("{} of at most {} in {}\n", output::size(total), output::size(most_bytes), folder.display());
    if entries.is_empty() {
        return sum;
    }
    let headings = ["KIND", "RUNTIME", "FOR", "SIZE", "LAST USED (UTC)", "IN USE", "ID"].map(str::to_owned).to_vec();
    output::table(&std::iter::once(headings).chain(entries.iter().map(row)).collect::<Vec<_>>()) + &sum
}

/// What a prune did, for people.
pub(super) fn render_pruned(pruned: &Pruned, dry_run: bool) -> String {
    let mut text = output::table(&pruned.removed.iter().map(row).collect::<Vec<_>>());
    if pruned.forgotten > 0 {
        text += &format!("and {} memos of resolved versions\n", pruned.forgotten);
    }
    let did = if dry_run { "would free" } else { "freed" };
    text + &format!("{did} {}, {} left\n", output::size(pruned.freed_bytes), output::size(pruned.left_bytes))
}

fn row(entry: &Entry) -> Vec<String> {
    let kind = match entry.kind {
        Kind::Environment => "environment",
        Kind::Build => "build",
        Kind::Downloads => "downloads",
        Kind::Leftover => "leftover",
    };
    let requirements = entry.requirements.join(", ");
    let shown: String = requirements.chars().take(60).collect();
    vec![
        kind.to_owned(),
        entry.runtime.clone(),
        if shown.len() < requirements.len() { format!("{shown}…") } else { shown },
        output::size(entry.bytes),
        DateTime::<Utc>::from(entry.used_at).format("%Y-%m-%d %H:%M").to_string(),
        if entry.in_use { "yes" } else { "" }.to_owned(),
        entry.id.clone(),
    ]
}

fn age(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 7 * 86_400)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds).map(Duration::from_secs)
    });
    parsed.ok_or_else(|| "write a whole number and its unit, such as 30d, 12h or 2w".to_owned())
}
