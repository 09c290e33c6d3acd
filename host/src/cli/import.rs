use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use perennial_sdk::Error;

use super::{Common, output};
use crate::{
    exit::{Exit, Failure},
    moving::{Choice, Imported, MOST_BYTES, Outcome},
};

/// Take a saved server from a file that `export` made
///
/// The file is checked as a whole before anything is written: its checksum, its paths, its size, its form. A server that
/// is in the library already gets the versions that it lacks; when its history is another one, nothing is written. The
/// server is not started.
#[derive(Args)]
#[command(after_help = "Examples:\n  perennial import my-server.json\n  \
                        ssh other perennial export calc --history | perennial import -")]
pub(super) struct Import {
    /// The file; - reads standard input
    file: PathBuf,
    /// As a saved server of its own, with a new id
    #[arg(long)]
    as_new: bool,
    /// Take a file that was changed on purpose: its checksum does not count
    #[arg(long)]
    edited: bool,
    /// Only check the file and tell what would be written
    #[arg(long)]
    dry_run: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { file, as_new, edited, dry_run, json } = self;
        let (config, directories) = common.open()?;
        let doing = format!("failed to import `{}`", file.display());
        let text = read(&file).map_err(|error| error.context(&doing))?;
        let choice = Choice { as_new, edited, dry_run, ..Choice::default() };
        let imported =
            crate::app::import(config, directories, &text, choice).map_err(|failure| failure.context(&doing))?;
        output::print(&if json { output::json(&imported)? } else { render(&imported, dry_run) })?;
        Ok(Exit::Done)
    }
}

/// What was imported, for people.
pub(super) fn render(imported: &Imported, dry_run: bool) -> String {
    let Imported { server_id, name, brought, notes } = imported;
    let (count, newest) = (brought.moved.len(), brought.newest);
    let what = match (brought.outcome, dry_run) {
        (Outcome::Unchanged | Outcome::Ahead, _) => {
            format!("\"{name}\" ({server_id}) is there already, at version {newest}\n")
        }
        (_, true) => format!("would import \"{name}\" as {server_id}: {count} versions, the newest as {newest}\n"),
        (_, false) => format!("imported \"{name}\" as {server_id}: {count} versions, the newest as {newest}\n"),
    };
    let notes: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    output::plain(&(what + &notes))
}

/// All of the file, and never more than it may have.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().take(most + 1).read_to_end(&mut text)?;
    } else {
        File::open(file)?.take(most + 1).read_to_end(&mut text)?;
    }
    if text.len() > MOST_BYTES {
        return Err(Error::invalid(format!("it has more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(text)
}
