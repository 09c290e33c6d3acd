use std::path::{Path, PathBuf};

use perennial_sdk::{Cx, Error, Program, Tool};
use serde::Serialize;

use super::{App, command::with_app};
use crate::{
    config::{Config, Directories},
    exit::Failure,
    plugins::Runtime,
    policy::{Ceiling, Demand, Protected},
    supervisor::{Confinement, Egress, Enforced, Gate, Measure, ProcessSpec, Strictness},
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
    /// How far servers are confined.
    pub sandbox: SandboxCheck,
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

/// What holds for a server that is given nothing but a way to hosts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxCheck {
    /// `best-effort`, `require` or `off`.
    pub setting: &'static str,
    /// What is enforced, by what, and how far; nothing when it is off.
    pub measures: Vec<MeasureCheck>,
    /// Why there are no namespaces.
    pub without: Option<String>,
    /// Why no server can be started.
    pub problem: Option<String>,
}

/// A thing that is confined, or should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MeasureCheck {
    /// `files`, `network`, `memory` and so on.
    pub what: String,
    /// By what; none when it is not.
    pub by: Option<String>,
    /// How far that falls short.
    pub short_of: Option<String>,
}

impl From<Measure> for MeasureCheck {
    fn from(Measure { what, by, short_of, .. }: Measure) -> Self {
        Self { what, by, short_of }
    }
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
        languages
            && self.sandbox.problem.is_none()
            && self.folders.iter().all(|folder| folder.problem.is_none())
            && self.storage.problem.is_none()
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
    let ceiling = Ceiling::of(&config);
    with_app(config, directories, async |app| {
        let main_name = |name: &String| Ok(app.host.plugins.runtime(name)?.1);
        let wanted = languages.iter().map(main_name).collect::<Result<_, Error>>()?;
        let mut runtimes = Vec::new();
        for runtime in app.host.plugins.runtimes() {
            runtimes.push(language(app, &runtime).await);
        }
        let sandbox = sandbox(app, &ceiling).await;
        let library = &app.host.library;
        let (servers, problem) = match library.list(&Cx::detached()).await {
            Ok(saved) => (Some(saved.len()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let storage = StorageCheck { plugin, location: library.location(), servers, problem };
        Ok(Checkup { file, wanted, runtimes, sandbox, folders, storage })
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

/// Starts this program itself, as a server is started.
async fn sandbox(app: &App, ceiling: &Ceiling) -> SandboxCheck {
    let check = SandboxCheck { setting: "off", measures: Vec::new(), without: None, problem: None };
    let Some(strictness) = ceiling.strictness() else { return check };
    let setting = if strictness == Strictness::Require { "require" } else { "best-effort" };
    let (measures, problem) = match enforced(app, ceiling, strictness).await {
        Ok(enforced) => (enforced.measures.into_iter().map(Into::into).collect(), None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let without = app.supervisor.without_namespaces().await;
    SandboxCheck { setting, measures, without, problem }
}

async fn enforced(app: &App, ceiling: &Ceiling, strictness: Strictness) -> Result<Enforced, Error> {
    let (permissions, limits) = Default::default();
    let granted = ceiling.judge(&permissions, &limits, &Protected::default(), Demand::Kept)?.granted;
    let program = std::env::current_exe()?;
    let confinement = Confinement {
        strictness,
        read: vec![program.clone()],
        write: Vec::new(),
        egress: Egress::Gate(Gate::default()),
        caps: granted.bounds.caps(),
    };
    let label = "perennial doctor".into();
    let (args, env) = (vec!["--version".into()], [].into());
    let spec = ProcessSpec { label, program, args, env, cwd: "/".into(), confinement: Some(confinement) };
    let process = app.supervisor.spawn(spec).await?.process;
    process.kill();
    process.exited().await;
    Ok(process.enforced().clone())
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
