use std::fmt::Write;

use clap::Args;
use perennial_sdk::{Checked, Finding};

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Read everything that is saved and tell what is damaged, missing or left over
///
/// Nothing that may hold a save is ever removed or written over.
#[derive(Args)]
#[command(after_help = "Exit code 1 when something is wrong that was not repaired.")]
pub(super) struct Fsck {
    /// Mend what can be mended: save the newest whole version again where the newest one is damaged, make a wrong index
    /// anew, remove what killed writers left behind
    #[arg(long)]
    repair: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Fsck {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let checked = crate::app::check_library(config, directories, self.repair)
            .map_err(|failure| failure.context("failed to check what is saved"))?;
        output::print(&if self.json { output::json(&checked)? } else { render(&checked) })?;
        Ok(if checked.is_well() { Exit::Done } else { Exit::Failed })
    }
}

/// The report for people.
pub(super) fn render(checked: &Checked) -> String {
    let mut text = String::new();
    for Finding { place, message, repaired, hint, .. } in &checked.findings {
        let _ = writeln!(text, "{place}: {message}");
        let next = repaired.as_ref().map(|repaired| format!("repaired: {repaired}"));
        if let Some(next) = next.or_else(|| hint.clone()) {
            let _ = writeln!(text, "    {next}");
        }
    }
    let read = [(checked.servers, "server"), (checked.versions, "version"), (checked.blobs, "large text")];
    let [servers, versions, blobs] = read.map(|(number, thing)| output::count(number, thing));
    let _ = write!(text, "{servers}, {versions} and {blobs} read: ");
    let problems = output::count(checked.findings.len() as u64, "problem");
    let repaired = checked.findings.iter().filter(|finding| finding.repaired.is_some()).count();
    text += &match repaired {
        _ if checked.findings.is_empty() => "all is well\n".to_owned(),
        0 => format!("{problems}\n"),
        repaired => format!("{problems}, {repaired} repaired\n"),
    };
    output::plain(&text)
}
