use clap::Args;

use super::{Common, output};
use crate::{
    app::Installed,
    config::Directories,
    exit::{Exit, Failure},
};

/// List the plugins, where each comes from, and why one is not loaded
///
/// All of them are opened for this, so that what is shown is what a session would find.
#[derive(Args)]
pub(in crate::cli) struct List {
    /// As a JSON array, one object each
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { json } = self;
        let (config, request) = common.load()?;
        let rows = crate::app::installed(config, Directories::find(&request.variables)?)?;
        output::print(&if json { output::json(&rows)? } else { render(&rows) })?;
        Ok(Exit::Done)
    }
}

/// The listing for people.
pub(in crate::cli) fn render(rows: &[Installed]) -> String {
    let headings = ["NAME", "VERSION", "PROVIDES", "FROM", "STATE"].map(str::to_owned).to_vec();
    let row = |row: &Installed| {
        vec![
            row.name.clone(),
            row.version.clone().unwrap_or_default(),
            row.provides.join(", "),
            row.from.clone(),
            row.problem.as_ref().map_or_else(|| "ready".to_owned(), |problem| format!("not loaded: {problem}")),
        ]
    };
    output::table(&std::iter::once(headings).chain(rows.iter().map(row)).collect::<Vec<_>>())
}
