use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Cx, Dependencies, Plan, Result, ServerSpec};

/// A programming language that servers can be written in.
///
/// A runtime plans and the host acts: neither call starts a process or writes a file, so that a plan is plain data, can
/// be tested without an interpreter, and survives any plugin boundary.
pub trait LanguageRuntime: Send + Sync {
    /// The languages, their templates, the programs that they need.
    fn describe(&self) -> Description;

    /// What to do so that `spec` runs with the programs that were found.
    ///
    /// # Errors
    /// `invalid` for dependencies that the ecosystem's grammar refuses; whatever a parser finds wrong with the code.
    fn plan(&self, cx: &Cx, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan>;
}

/// What a runtime is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The languages that it runs.
    pub languages: Vec<Language>,
    /// The programs that the host looks for.
    pub programs: Vec<Program>,
    /// Explanations of error texts that its tools are known to print.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// How lines begin that its tools print and nobody needs: they are left out of what a failed step is shown with.
    #[serde(default)]
    pub noise: Vec<String>,
}

/// A language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// What records call it: `python`.
    pub name: String,
    /// What else it may be called: `py`.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Working servers; the first one is the default.
    pub templates: Vec<Template>,
}

/// A working server that a person can start from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// The main source file.
    pub code: String,
    /// What it depends on. It is taken instead of the default when a server without code asks for these packages.
    #[serde(default)]
    pub dependencies: Dependencies,
}

/// A program that the host looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// What plans call it; `{name}` in a command line stands for its path.
    pub name: String,
    /// File names or absolute paths, the preferred one first.
    pub candidates: Vec<String>,
    /// Folders to look in beyond `PATH`; `~` is the home folder, `*` matches one part of a path, and of several
    /// matches the highest version number wins.
    #[serde(default)]
    pub places: Vec<String>,
    /// Arguments that make it tell about itself: a JSON object with `version`, `path`, `roots` and whatever else the
    /// runtime wants to know, or any text with a version number in it. The answer is kept until the program changes, or
    /// the file or folder that it names as `watch`.
    #[serde(default)]
    pub probe: Vec<String>,
    /// Where the real program is when a file of its name may be a shim that cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<ProgramHome>,
    /// The oldest version that will do.
    #[serde(default)]
    pub minimum: Option<String>,
    /// Whether nothing works without it.
    #[serde(default)]
    pub required: bool,
    /// How a person gets it.
    #[serde(default)]
    pub install_hint: Option<String>,
}

/// The folder that a program really lives in, as a program beside its shim tells it. What that names is probed and used
/// when it is there, and else the file that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramHome {
    /// The file name of the program to ask, in the folder of the file that was found: `rustc`.
    pub ask: String,
    /// Arguments that make it print the folder as a line.
    pub args: Vec<String>,
    /// The program in that folder: `bin/cargo`.
    pub path: String,
}

/// An explanation of an error text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Found anywhere in the output.
    pub when: String,
    /// What to do about it.
    pub hint: String,
}

/// The programs that the host found, by the name that the description gave them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Toolchain {
    /// Name → program.
    pub tools: BTreeMap<String, Tool>,
    /// Operating system, architecture and C library, such as `linux-x86_64-gnu`.
    pub platform: String,
}

/// A program that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// The real file, never a shim.
    pub path: PathBuf,
    /// As the probe told it.
    pub version: String,
    /// Folders that it needs to read to run.
    #[serde(default)]
    pub roots: Vec<PathBuf>,
    /// All that the probe told; the text of one that did not answer in JSON is in `said`.
    #[serde(default)]
    pub facts: Value,
}

impl Description {
    /// A runtime for these languages, which needs no program yet.
    pub fn new(languages: impl IntoIterator<Item = Language>) -> Self {
        Self { languages: languages.into_iter().collect(), ..Self::default() }
    }

    /// Adds a program.
    #[must_use]
    pub fn program(mut self, program: Program) -> Self {
        self.programs.push(program);
        self
    }

    /// Leaves lines that begin like this out of what a failed step is shown with.
    #[must_use]
    pub fn noise(mut self, beginning: impl Into<String>) -> Self {
        self.noise.push(beginning.into());
        self
    }

    /// Adds an explanation of an error text.
    #[must_use]
    pub fn hint(mut self, when: impl Into<String>, hint: impl Into<String>) -> Self {
        self.hints.push(Hint { when: when.into(), hint: hint.into() });
        self
    }
}

impl Language {
    /// A language with its default template.
    pub fn new(name: impl Into<String>, template: Template) -> Self {
        Self { name: name.into(), aliases: Vec::new(), templates: vec![template] }
    }

    /// Adds another name.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Adds another template.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.templates.push(template);
        self
    }
}

impl Template {
    /// A template without dependencies.
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), dependencies: Dependencies::default() }
    }
}

impl Program {
    /// A required program, to be found under any of these names.
    pub fn new(name: impl Into<String>, candidates: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            name: name.into(),
            candidates: candidates.into_iter().map(Into::into).collect(),
            places: Vec::new(),
            probe: vec!["--version".into()],
            home: None,
            minimum: None,
            required: true,
            install_hint: None,
        }
    }

    /// Looks in another folder beyond `PATH`; see [`Program::places`].
    #[must_use]
    pub fn place(mut self, folder: impl Into<String>) -> Self {
        self.places.push(folder.into());
        self
    }

    /// Takes no version older than this.
    #[must_use]
    pub fn minimum(mut self, version: impl Into<String>) -> Self {
        self.minimum = Some(version.into());
        self
    }

    /// Says how a person gets it.
    #[must_use]
    pub fn install_hint(mut self, hint: impl Into<String>) -> Self {
        self.install_hint = Some(hint.into());
        self
    }
}

impl Toolchain {
    /// A program by its name in the description.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }
}

impl Tool {
    /// Whether `path` lies in one of the folders that the program needs.
    pub fn contains(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }
}
