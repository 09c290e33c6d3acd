use std::path::{Path, PathBuf};

use perennial_sdk::{Cx, Error, Program, Tool};
use serde::Serialize;

use super::{App, command::with_app};
use crate::{
    config::{Config, Directories},
    exit::Failure,
    plugins::Runtime,
};

/// What works on this machine, and what does not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkup {
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// The languages that must work; any one will do when none is named.
    pub wanted: Vec<String>,
    /// What each runtime needs, and whether it is there.
    pub runtimes: Vec<LanguageCheck>,
    /// The folders that are used.
    pub folders: Vec<FolderCheck>,
    /// Where saved servers go.
    pub storage: StorageCheck,
}

/// The languages of a runtime.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LanguageCheck {
    /// The languages that it runs.
    pub languages: Vec<String>,
    /// Whether nothing that is required is missing.
    pub usable: bool,
    /// The programs that it looks for.
    pub programs: Vec<ProgramCheck>,
}

/// A program that a runtime looks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgramCheck {
    /// What the runtime calls it.
    pub name: String,
    /// Whether nothing works without it.
    pub required: bool,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// As it tells it.
    pub version: Option<String>,
    /// Why there is none.
    pub problem: Option<String>,
    /// How to get it.
    pub hint: Option<String>,
}

/// A folder that is used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderCheck {
    /// `data`, `cache`, `state`, `runtime`.
    pub name: &'static str,
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Why it cannot be written, or be made.
    pub problem: Option<String>,
}

/// The storage of saved servers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageCheck {
    /// The plugin.
    pub plugin: String,
    /// Where the records are.
    pub location: String,
    /// How many servers are saved there.
    pub servers: Option<usize>,
    /// Why they cannot be read.
    pub problem: Option<String>,
}

impl Checkup {
    /// Whether servers in the languages that are wanted can be created and saved.
    pub fn is_well(&self) -> bool {
        let usable = |name: &String| {
            self.runtimes.iter().any(|runtime| runtime.usable && runtime.languages.iter().any(|known| known == name))
        };
        let languages = match self.wanted.as_slice() {
            [] => self.runtimes.iter().any(|runtime| runtime.usable),
            named => named.iter().all(usable),
        };
        languages && self.folders.iter().all(|folder| folder.problem.is_none()) && self.storage.problem.is_none()
    }
}

/// Looks at everything that Perennial needs, without changing anything but the memo of programs. `languages` must work.
///
/// # Errors
/// A plugin that does not take its configuration; a language that nothing runs.
pub fn doctor(config: Config, directories: Directories, languages: &[String]) -> Result<Checkup, Failure> {
    let plugin = config.storage.plugin.to_string();
    let file = config.file().map(Path::to_path_buf);
    let folders = folders(&directories);
    with_app(config, directories, async |app| {
        let main_name = |name: &String| Ok(app.host.plugins.runtime(name)?.1);
        let wanted = languages.iter().map(main_name).collect::<Result<_, Error>>()?;
        let mut runtimes = Vec::new();
        for runtime in app.host.plugins.runtimes() {
            runtimes.push(language(app, &runtime).await);
        }
        let library = &app.host.library;
        let (servers, problem) = match library.list(&Cx::detached()).await {
            Ok(saved) => (Some(saved.len()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let storage = StorageCheck { plugin, location: library.location(), servers, problem };
        Ok(Checkup { file, wanted, runtimes, folders, storage })
    })
}

async fn language(app: &App, runtime: &Runtime) -> LanguageCheck {
    let survey = app.launch.toolchains.survey(&runtime.description).await;
    let usable = survey.iter().all(|(program, outcome)| outcome.is_ok() || !program.required);
    LanguageCheck {
        languages: runtime.description.languages.iter().map(|language| language.name.clone()).collect(),
        usable,
        programs: survey.into_iter().map(|(program, outcome)| self::program(program, outcome)).collect(),
    }
}

fn program(program: &Program, outcome: Result<Tool, Error>) -> ProgramCheck {
    let (name, required) = (program.name.clone(), program.required);
    match outcome {
        Ok(Tool { path, version, .. }) => {
            ProgramCheck { name, required, path: Some(path), version: Some(version), problem: None, hint: None }
        }
        Err(error) => ProgramCheck {
            name,
            required,
            path: None,
            version: None,
            problem: Some(error.message),
            hint: error.hint.or_else(|| program.install_hint.clone()),
        },
    }
}

fn folders(directories: &Directories) -> Vec<FolderCheck> {
    let Directories { data, cache, state, runtime } = directories;
    let named = [("data", data), ("cache", cache), ("state", state), ("runtime", runtime)];
    named.map(|(name, path)| FolderCheck { name, path: path.clone(), problem: unwritable(path) }).into()
}

/// Why a folder cannot be written, or made where it is not there yet.
fn unwritable(path: &Path) -> Option<String> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let problem = if there.is_dir() { access(there).err()?.to_string() } else { "it is no folder".into() };
    let shown = if there == path { String::new() } else { format!("`{}`: ", there.display()) };
    Some(format!("{shown}{problem}"))
}

#[cfg(unix)]
fn access(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::Access;
    Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(not(unix))]
fn access(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
