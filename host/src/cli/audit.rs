use clap::{Args, ValueEnum};

use super::{Common, output};
use crate::{
    app::Wanted,
    audit::{Entry, Event, Outcome},
    config::Directories,
    exit::{Exit, Failure},
};

/// Show who created, changed, called, saved or deleted what
///
/// The log is in the state folder, one JSON line each, with names and sizes and never with what was passed or answered. The
/// last 40 MB of it are kept.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perennial audit --event denial --event grant\n  perennial audit --server \"My server\" \
                        --json | jq -r '.[] | [.at, .event, .client] | @tsv'"
)]
pub(super) struct Audit {
    /// Only such events; may be given several times
    #[arg(long, value_enum, value_name = "EVENT")]
    event: Vec<Event>,
    /// Only of this server, by an id or a name as it was used
    #[arg(long, value_name = "NAME|ID")]
    server: Option<String>,
    /// The last so many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

impl Audit {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (_, request) = common.load()?;
        let directories = Directories::find(&request.variables)?;
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let wanted = Wanted { events: self.event, server: self.server, most };
        let entries = crate::app::audited(&directories, &wanted)
            .map_err(|error| error.context("failed to read the audit log"))?;
        output::print(&if self.json { output::json(&entries)? } else { render(&entries) })?;
        Ok(Exit::Done)
    }
}

/// The entries for people.
pub(super) fn render(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "nothing was recorded\n".into();
    }
    let headings = ["AT", "EVENT", "SERVER", "WHAT", "OUTCOME", "TOOK", "CLIENT"].map(str::to_owned).to_vec();
    let rows = std::iter::once(headings).chain(entries.iter().map(row));
    output::table(&rows.collect::<Vec<_>>())
}

/// The program, and before it the token that it brought.
fn by(entry: &Entry) -> String {
    match (&entry.token, &entry.client) {
        (Some(token), Some(client)) => format!("{token}: {client}"),
        (Some(token), None) => token.to_string(),
        (None, client) => client.clone().unwrap_or_default(),
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let outcome = match (&entry.error, entry.outcome) {
        (Some(error), _) => error.clone(),
        (None, Outcome::Ok) => "ok".into(),
        (None, Outcome::Failed) => "failed".into(),
        (None, Outcome::Cancelled) => "cancelled".into(),
    };
    let size = |bytes: Option<u64>, which: &str| bytes.map(|bytes| format!("{} {which}", output::size(bytes)));
    let what = [
        entry.tool.clone(),
        entry.name.as_ref().map(|name| format!("\"{name}\"")),
        entry.language.clone(),
        entry.version.map(|version| format!("version {version}")),
        size(entry.bytes_in, "in"),
        size(entry.bytes_out, "out"),
        entry.permissions.as_ref().map(ToString::to_string),
        entry.count.map(|count| output::count(count, "entry")),
    ];
    vec![
        entry.at.clone(),
        entry.event.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
        entry.server.clone().or_else(|| entry.saved.clone()).unwrap_or_default(),
        what.into_iter().flatten().collect::<Vec<_>>().join(", "),
        outcome,
        entry.ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
        by(entry),
    ]
}
