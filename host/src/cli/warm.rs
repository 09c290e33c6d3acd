use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use clap::Args;

use super::{Common, output};
use crate::{
    app::Warmed,
    exit::{Exit, Failure},
};

/// Prepare ahead, so that first servers come up fast and without a network
///
/// Finds interpreters and compilers, and installs what the templates of the languages depend on. Languages whose programs
/// are not on this machine are passed over, unless they are named.
#[derive(Args)]
#[command(after_help = "Example: perennial warm python\n\nExit code 1 when a named language, or every one, fails.")]
pub(super) struct Warm {
    /// The languages; all that there are when none is named
    #[arg(value_name = "LANGUAGE")]
    languages: Vec<String>,
}

impl Warm {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let last = Mutex::new(String::new());
        let hear = Arc::new(move |language: &str, doing: &str| {
            let line = format!("{language}: {}\n", output::plain(doing));
            let mut last = last.lock().expect("no holder panics");
            if *last != line {
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
                *last = line;
            }
        });
        let warmed = crate::app::warm(config, directories, &self.languages, hear)
            .map_err(|failure| failure.context("failed to warm up"))?;
        output::print(&render(&warmed))?;
        let failed = warmed.iter().filter(|one| one.outcome.is_err()).count();
        let tolerated = self.languages.is_empty() && failed < warmed.len();
        Ok(if failed == 0 || tolerated { Exit::Done } else { Exit::Failed })
    }
}

/// What was done, a line for each template.
pub(super) fn render(warmed: &[Warmed]) -> String {
    let row = |one: &Warmed| {
        let outcome = match &one.outcome {
            Ok(true) => format!("prepared in {:.1} s", one.took.as_secs_f64()),
            Ok(false) => "ready".to_owned(),
            Err(error) => format!("not prepared: {error}"),
        };
        let packages = if one.packages.is_empty() { "no packages".to_owned() } else { one.packages.join(", ") };
        vec![one.language.clone(), packages, outcome]
    };
    output::table(&warmed.iter().map(row).collect::<Vec<_>>())
}
