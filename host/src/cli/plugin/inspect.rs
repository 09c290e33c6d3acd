use std::path::PathBuf;

use clap::Args;
use perennial_sdk::{Error, ErrorCode};

use super::output;
use crate::{
    exit::{Exit, Failure},
    plugins::{self, Inspection, Pin},
};

/// Look at a library without running any of its code
///
/// Told are its hash, what it was built for, and the plugins in it. What is wrong with it is what a host would say.
#[derive(Args)]
pub(in crate::cli) struct Inspect {
    /// The library
    file: PathBuf,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let inspected = plugins::inspect(&self.file, &Pin::Unpinned).map_err(|error| match error.code {
            ErrorCode::NotFound => Error { hint: None, ..error },
            _ => error,
        })?;
        let told = inspected.told();
        output::print(&if self.json { output::json(&told)? } else { render(&told) })?;
        Ok(Exit::Done)
    }
}

/// What is known of a library, for people.
fn render(told: &Inspection) -> String {
    let mut rows = vec![("file", told.file.display().to_string())];
    rows.extend(facts(told));
    for plugin in &told.plugins {
        rows.push(("plugin", format!("{} {}: {}", plugin.id, plugin.version, plugin.provides.join(", "))));
        rows.push(("  SDK", plugin.sdk.clone().unwrap_or_else(|| "none named".into())));
        rows.push(("  bodies", if plugin.bodies { "taken apart from JSON" } else { "in JSON" }.into()));
        let panics = match plugin.panic.as_deref() {
            Some("unwind") => "end the call alone",
            Some(other) => other,
            None => "nothing is said about them",
        };
        rows.push(("  panics", panics.into()));
    }
    output::table(&rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

/// What holds for the library as a whole.
pub(super) fn facts(told: &Inspection) -> Vec<(&'static str, String)> {
    vec![
        ("sha256", told.sha256.clone()),
        ("size", output::size(told.bytes as u64)),
        ("platform", told.platform.clone()),
        ("interface", format!("version {}", told.abi)),
    ]
}
