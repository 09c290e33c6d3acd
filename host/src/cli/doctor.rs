use std::fmt::Write;

use clap::Args;

use super::{Common, output};
use crate::{
    app::{Checkup, LanguageCheck, ProgramCheck, SandboxCheck},
    exit::{Exit, Failure},
};

/// Tell what works on this machine, what is missing, and how to get it
#[derive(Args)]
#[command(after_help = "Exit code 1 when a folder cannot be written, the saved servers cannot be read, no language \
                        works, or one that was named does not, or no server can be started confined.")]
pub(super) struct Doctor {
    /// Languages that must work; any one will do when none is named
    #[arg(value_name = "LANGUAGE")]
    languages: Vec<String>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let checkup = crate::app::doctor(config, directories, &self.languages)?;
        output::print(&if self.json { output::json(&checkup)? } else { render(&checkup) })?;
        Ok(if checkup.is_well() { Exit::Done } else { Exit::Failed })
    }
}

/// The report for people.
pub(super) fn render(checkup: &Checkup) -> String {
    let mut text = String::new();
    for runtime in &checkup.runtimes {
        text += &language(runtime);
    }
    text += &sandbox(&checkup.sandbox);
    text += "\nfolders\n";
    let folders = checkup.folders.iter().map(|folder| {
        let state = folder.problem.as_ref().map_or_else(|| "writable".into(), |why| format!("NOT WRITABLE: {why}"));
        vec![format!("  {}", folder.name), folder.path.display().to_string(), state]
    });
    text += &output::table(&folders.collect::<Vec<_>>());
    let storage = &checkup.storage;
    let state = match (&storage.problem, storage.servers) {
        (Some(why), _) => format!("NOT READABLE: {}", output::plain(why)),
        (None, servers) => format!("{} saved servers", servers.unwrap_or_default()),
    };
    let _ = write!(text, "\nstorage\n  {}  {}  {state}\n", storage.plugin, output::plain(&storage.location));
    let file = checkup.file.as_ref().map_or_else(|| "none: all defaults".into(), |file| file.display().to_string());
    text + &format!("\nconfiguration\n  {file}\n")
}

fn language(check: &LanguageCheck) -> String {
    let state = if check.usable { "works" } else { "DOES NOT WORK" };
    let rows = check.programs.iter().map(|program| {
        let version = program.version.clone().unwrap_or_else(|| "-".into());
        vec![format!("  {}", program.name), version, found(program)]
    });
    format!("{}: {state}\n{}", check.languages.join(", "), output::table(&rows.collect::<Vec<_>>()))
}

fn sandbox(check: &SandboxCheck) -> String {
    let mut text = format!("\nsandbox: {}\n", check.setting);
    if check.setting == "off" {
        text += "  servers run with the rights of the user\n";
    }
    let rows = check.measures.iter().map(|measure| {
        let by = measure.by.clone().unwrap_or_else(|| "NOT CONFINED".into());
        vec![format!("  {}", measure.what), by, measure.short_of.clone().unwrap_or_default()]
    });
    text += &output::table(&rows.collect::<Vec<_>>());
    for (what, why) in [("NO SERVER CAN BE STARTED", &check.problem), ("no namespaces", &check.without)] {
        if let Some(why) = why {
            let _ = writeln!(text, "  {what}: {}", output::plain(why));
        }
    }
    text
}

fn found(program: &ProgramCheck) -> String {
    match (&program.path, &program.problem) {
        (Some(path), _) => path.display().to_string(),
        (None, problem) => {
            let kind = if program.required { "MISSING" } else { "missing, but not required" };
            let hint = program.hint.as_ref().map(|hint| format!(". To get it: {hint}")).unwrap_or_default();
            format!("{kind}: {}{hint}", problem.as_deref().unwrap_or_default())
        }
    }
}
