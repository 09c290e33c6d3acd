use clap::Args;
use perennial_sdk::Version;

use super::{Common, output};
use crate::{
    app::Restored,
    exit::{Exit, Failure},
    library::{History as Versions, HistoryEntry, VersionState},
};

/// Show the versions of a saved server, compare two, bring one back
///
/// Deleted servers have a history too, until their versions are collected: that is how one is brought back. Nothing is
/// overwritten: a version that is restored becomes a further version.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perennial history \"My server\"\n  perennial history \"My server\" --diff 2 3\n  \
                        perennial history server-abc123 --restore 2"
)]
pub(super) struct History {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// Show what is different between two versions
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], value_parser = number(), conflicts_with = "restore")]
    diff: Option<Vec<u64>>,
    /// Make this version the newest, also of a deleted server
    #[arg(long, value_name = "VERSION", value_parser = number())]
    restore: Option<u64>,
    /// Show so many versions, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let Self { server, json, .. } = &self;
        let doing = |what: &str| format!("failed to {what} `{server}`");
        let text = if let Some([from, to]) = self.diff.as_deref().and_then(|pair| <[u64; 2]>::try_from(pair).ok()) {
            let compared = crate::app::compare(config, directories, server, Version(from), Version(to))
                .map_err(|failure| failure.context(doing("compare versions of")))?;
            if *json { output::json(&compared)? } else { output::plain(&compared.diff) }
        } else if let Some(version) = self.restore {
            let restored = crate::app::restore(config, directories, server, Version(version))
                .map_err(|failure| failure.context(doing("restore a version of")))?;
            if *json { output::json(&restored)? } else { render_restored(&restored) }
        } else {
            let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
            let history = crate::app::history(config, directories, server, most)
                .map_err(|failure| failure.context(doing("show the history of")))?;
            if *json { output::json(&history)? } else { render(&history) }
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}

/// The versions for people, newest first.
pub(super) fn render(history: &Versions) -> String {
    let headings = ["VERSION", "SAVED", "BY", "NAME", "CHANGES"].map(str::to_owned).to_vec();
    let row = |entry: &HistoryEntry| {
        let what = match (entry.state, &entry.changes) {
            (VersionState::Deleted, _) => "deleted".to_owned(),
            (VersionState::Damaged, _) => format!("damaged: {}", entry.damage.as_deref().unwrap_or_default()),
            (VersionState::Saved, None) if entry.version == Version(1) => "first".to_owned(),
            (VersionState::Saved, None) => String::new(),
            (VersionState::Saved, Some(changes)) => changes.to_string(),
        };
        vec![
            entry.version.to_string(),
            entry.saved_at.clone().unwrap_or_default(),
            entry.saved_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            entry.name.clone().unwrap_or_default(),
            what,
        ]
    };
    let rows: Vec<_> = std::iter::once(headings).chain(history.versions.iter().map(row)).collect();
    let mut text = format!("{}\n{}", history.saved_server_id, output::table(&rows));
    if history.versions.len() < history.total {
        text += &format!("and {} earlier versions: --limit\n", history.total - history.versions.len());
    }
    text
}

/// What was restored, for people.
pub(super) fn render_restored(restored: &Restored) -> String {
    let Restored { server_id, name, from, version } = restored;
    let name = name.replace('\n', " ");
    output::plain(&match from == version {
        true => format!("version {from} of \"{name}\" ({server_id}) is the newest already\n"),
        false => format!("restored version {from} of \"{name}\" ({server_id}) as version {version}\n"),
    })
}

fn number() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..)
}
