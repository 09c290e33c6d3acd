use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What to do so that a server runs.
///
/// Paths in it are placeholders, never absolute: `{env}` the environment, `{server}` the folder of the server's files,
/// `{state}` the folder that the server may write, `{work}` a scratch folder that the steps of a resolution, an
/// installation or a build share, `{lock}` the file with the lock, `{cache}` the runtime's own package cache, and `{name}`
/// for each program of the description.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Installed dependencies; none when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// The server's files, relative to `{server}`.
    pub files: Vec<File>,
    /// Links in the server's folder, made after its files: relative path → placeholder path of an existing folder, for
    /// languages that look for packages beside the code.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// What is done after the files are written and before the server runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build: Vec<Step>,
    /// Whether `{server}` is kept, with all that the build steps made in it: whatever has the same files, steps, lock and
    /// programs finds it there, in any later session, and builds nothing, even where the programs are gone. It is sealed
    /// once it is built. `{env}` is then there while the steps run, and for the server when `run` or `read` names it; there are no links.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// Whether a lock that came with the server no longer covers what it needs, so that the requirements are resolved
    /// again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolve_again: bool,
    /// The server.
    pub run: CommandLine,
    /// Further folders that the server reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// What the author of the code should know, such as a pin that the plan added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Installed dependencies of one toolchain and one lock, shared by every server that needs just these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The requirements in canonical form; the same text means the same environment while a memo of its lock is kept.
    pub requirements: String,
    /// How the requirements become a lock.
    pub resolve: Resolve,
    /// How the lock becomes `{env}`.
    pub install: Vec<Step>,
}

/// How requirements become a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolve {
    /// What is run.
    pub steps: Vec<Step>,
    /// The file that then holds the lock; `{lock}` has the same name, in `{work}`.
    pub output: String,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative to the folder that the file belongs to.
    pub path: String,
    /// Text.
    pub contents: String,
}

/// One command of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, for progress.
    pub stage: Stage,
    /// Files that it needs, written to `{work}` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    /// The command.
    pub command: CommandLine,
    /// Seconds that it may take.
    pub time_limit_s: u64,
    /// The registry that it talks to: `pypi`, `npm` or `crates-io`, whose hosts the operator decides. None when it talks
    /// to none of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What else it connects to, each a `host:port` such as `rubygems.org:443`: the registries that the host does not
    /// know. Everything else is out of its reach; a step with neither has no network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Folders that it writes, beside `{work}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub writes: Vec<String>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Requirements become exact versions.
    Resolving,
    /// Packages are fetched and installed.
    Installing,
    /// Source becomes something that runs, or runs faster.
    Compiling,
}

/// A program and its arguments; no shell ever sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// A placeholder, alone or at the start of a path.
    pub program: String,
    /// Each is one argument; placeholders are replaced inside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables; beside these the process gets `PATH`, `HOME`, `TMPDIR` and the locale of the host's choice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

impl Plan {
    /// A plan that only runs something.
    pub fn run(run: CommandLine) -> Self {
        Self { run, ..Self::default() }
    }

    /// Adds a file of the server.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, contents: impl Into<String>) -> Self {
        self.files.push(File { path: path.into(), contents: contents.into() });
        self
    }

    /// Adds the further files that came with the server.
    #[must_use]
    pub fn files(mut self, files: &BTreeMap<String, String>) -> Self {
        let file = |(path, contents): (&String, &String)| File { path: path.clone(), contents: contents.clone() };
        self.files.extend(files.iter().map(file));
        self
    }

    /// Runs it with installed dependencies.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Adds a link in the server's folder.
    #[must_use]
    pub fn link(mut self, path: impl Into<String>, target: impl Into<String>) -> Self {
        self.links.insert(path.into(), target.into());
        self
    }
}

impl Environment {
    /// The environment of these requirements, whose steps are still to be added; the lock is then in the file `output`.
    pub fn new(requirements: impl Into<String>, output: impl Into<String>) -> Self {
        let resolve = Resolve { steps: Vec::new(), output: output.into() };
        Self { requirements: requirements.into(), resolve, install: Vec::new() }
    }

    /// Adds a step of the resolution.
    #[must_use]
    pub fn resolve(mut self, step: Step) -> Self {
        self.resolve.steps.push(step);
        self
    }

    /// Adds a step of the installation.
    #[must_use]
    pub fn install(mut self, step: Step) -> Self {
        self.install.push(step);
        self
    }
}

impl Step {
    /// A step without network that writes `{cache}`, the runtime's own package cache, and `{work}`.
    pub fn new(stage: Stage, command: CommandLine, time_limit_s: u64) -> Self {
        let writes = vec!["{cache}".into()];
        Self { stage, files: Vec::new(), command, time_limit_s, network: None, hosts: Vec::new(), writes }
    }

    /// Adds a file that it finds in `{work}`.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, contents: impl Into<String>) -> Self {
        self.files.push(File { path: path.into(), contents: contents.into() });
        self
    }

    /// Lets it connect to a `host:port`.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Lets it talk to a registry that the host knows: `pypi`, `npm` or `crates-io`.
    #[must_use]
    pub fn with_registry(mut self, registry: impl Into<String>) -> Self {
        self.network = Some(registry.into());
        self
    }

    /// Lets it write another folder.
    #[must_use]
    pub fn writing(mut self, folder: impl Into<String>) -> Self {
        self.writes.push(folder.into());
        self
    }
}

impl CommandLine {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}
