use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Common, output, setting::Settings};
use crate::{
    app::{Subject, TryPlugin},
    config::Directories,
    exit::{Exit, Failure},
    log,
    plugins::trial::{Told, Tried},
};

/// Open a plugin by itself and tell what it is, and what is wrong with it
///
/// It runs in a process of its own, which it may take down without harm. A runtime plans its own templates, and the paths
/// of the plans are looked at; the definitions of tools are checked, and none is called; a storage is left alone unless
/// --try-storage is given.
///
/// A library that is named by its path gets a folder for its data that is gone afterwards.
#[derive(Args)]
#[command(after_help = "Examples:\n  perennial plugin check target/release/libperennial_tools_hello.so\n  \
                        perennial plugin check notes --set folder=/tmp/notes --try-storage\n\n\
                        Exit code 1 when something is wrong with it, 3 for a mistake in its `config` in the file.")]
pub(in crate::cli) struct Check {
    /// A plugin of the configuration, a built-in one, or a library, named by its path
    #[arg(value_name = "FILE|NAME")]
    subject: String,
    #[command(flatten)]
    settings: Settings,
    /// Also put a record into a storage, read it, list it and delete it again; its tombstone stays
    #[arg(long)]
    try_storage: bool,
    /// As a JSON array, one object for each plugin
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { subject, settings, try_storage, json } = self;
        let (config, request) = common.load()?;
        let directories = Directories::find(&request.variables)?;
        let how = TryPlugin { settings: settings.into_table(), try_storage, log: common.log_flags() };
        let hear = |line: &str| {
            let _ = writeln!(std::io::stderr(), "{}", output::plain(line));
        };
        let tried = crate::app::try_plugin(&config, &directories, &self::subject(subject), &how, hear)?;
        output::print(&if json { output::json(&tried)? } else { render(&tried) })?;
        Ok(if tried.iter().all(|one| one.problems.is_empty()) { Exit::Done } else { Exit::Failed })
    }
}

/// What a path has and no plugin's name.
fn subject(text: String) -> Subject {
    match text.contains(['/', '.', '\\']) || Path::new(&text).is_file() {
        true => Subject::File(PathBuf::from(text)),
        false => Subject::Name(text),
    }
}

/// The process that a plugin is tried in: a JSON text a line tells how far it is.
pub(super) fn carry_out(common: &Common) -> Result<Exit, Failure> {
    log::start(&log::Levels::default().adjusted(common.verbose, common.quiet));
    crate::app::carry_out_trial(|told: &Told| {
        if let Ok(line) = serde_json::to_string(told) {
            // whoever began this may be gone, and nobody else reads it
            let _ = output::print(&(line + "\n"));
        }
    })?;
    Ok(Exit::Done)
}

/// What was tried, for people.
pub(in crate::cli) fn render(all: &[Tried]) -> String {
    output::plain(&all.iter().map(one).collect::<Vec<_>>().join("\n"))
}

fn one(tried: &Tried) -> String {
    let mut rows = vec![
        ("plugin", format!("{} {}", tried.name, tried.version)),
        ("from", tried.from.clone()),
        ("provides", tried.provides.join(", ")),
    ];
    rows.extend(tried.library.iter().flat_map(super::inspect::facts));
    for language in &tried.languages {
        let aliases = match language.aliases.as_slice() {
            [] => String::new(),
            aliases => format!(", also called {}", aliases.join(", ")),
        };
        rows.push((
            "language",
            format!("{}{aliases}: {}", language.name, output::count(language.templates as u64, "template")),
        ));
    }
    if !tried.programs.is_empty() {
        rows.push(("programs", tried.programs.join(", ")));
    }
    if let Some(storage) = &tried.storage {
        let able = [
            (storage.capabilities.shared, "several hosts may write"),
            (storage.capabilities.versions, "versions are kept"),
        ];
        let able: Vec<_> = able.into_iter().filter_map(|(can, what)| can.then_some(what)).collect();
        rows.push(("location", storage.location.clone()));
        rows.push(("capabilities", if able.is_empty() { "none".into() } else { able.join(", ") }));
        if let Some(record) = &storage.trial_record {
            rows.push(("trial", format!("put, read, list and delete of {record}")));
        }
    }
    for tool in &tried.tools {
        rows.push(("tool", format!("{} {}", tool.name, tool.input_schema)));
    }
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let problems: String = tried.problems.iter().map(|problem| format!("wrong: {problem}\n")).collect();
    output::table(&rows) + if problems.is_empty() { "nothing wrong\n" } else { &problems }
}
