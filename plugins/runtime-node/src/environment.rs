//! The steps that make an environment, by npm or by pnpm.

use perennial_sdk::{CommandLine, Environment, Error, File, Resolve, Result, Stage, Step, Toolchain};

use crate::{Config, Installer, lock::Lock, requirement::Requirements};

const REGISTRY: &str = "npm";
const RESOLVE_LIMIT_S: u64 = 180;
const INSTALL_LIMIT_S: u64 = 900;
const LOCAL_LIMIT_S: u64 = 60;

/// What a server that runs in an environment loads first.
pub(crate) const START: &str = "{env}/start.cjs";

/// A program that installs packages. A lock can only be read by the one that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Npm,
    Pnpm,
}

/// The environment for what a server needs; what `lock` says counts more than what is preferred.
///
/// # Errors
/// `unavailable` when there is no program that could install it.
pub(crate) fn environment(
    config: &Config,
    requirements: &Requirements,
    lock: Option<&Lock>,
    toolchain: &Toolchain,
) -> Result<Environment> {
    match manager(config, lock, toolchain)? {
        Manager::Npm => Ok(by_npm(requirements)),
        Manager::Pnpm => Ok(by_pnpm(requirements, lock)),
    }
}

fn manager(config: &Config, lock: Option<&Lock>, toolchain: &Toolchain) -> Result<Manager> {
    let is_there = |manager: Manager| toolchain.tool(manager.name()).is_some();
    if let Some(manager) = lock.map(Lock::manager) {
        let name = manager.name();
        let missing = || {
            Error::unavailable(format!("the server's lock was written by {name}, and `{name}` was not found"))
                .hint(format!("{}; or remove the lock: the dependencies are then resolved again", manager.way_to_get()))
        };
        return if is_there(manager) { Ok(manager) } else { Err(missing()) };
    }
    // npm comes with Node, so that its locks can be read on the next machine too
    let wanted: &[Manager] = match config.installer {
        Installer::Auto => &[Manager::Npm, Manager::Pnpm],
        Installer::Npm => &[Manager::Npm],
        Installer::Pnpm => &[Manager::Pnpm],
    };
    wanted.iter().copied().find(|manager| is_there(*manager)).ok_or_else(|| {
        let names = wanted.iter().map(|manager| format!("`{}`", manager.name())).collect::<Vec<_>>();
        let verb = if names.len() == 1 { "was" } else { "were" };
        let names = names.join(" and ");
        Error::unavailable(format!("{names} {verb} not found, so that nothing can install packages"))
            .hint(wanted[0].way_to_get())
    })
}

impl Manager {
    fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
        }
    }

    fn way_to_get(self) -> &'static str {
        match self {
            Self::Npm => "install npm: it comes with Node from nodejs.org, and in some systems as a package of its own",
            Self::Pnpm => "install pnpm with `npm install -g pnpm`, your system's packages or from pnpm.io",
        }
    }
}

fn by_npm(requirements: &Requirements) -> Environment {
    let resolve = Step {
        files: vec![package_file(requirements.to_package())],
        ..Step::new(Stage::Resolving, npm("install").args(["--package-lock-only"]), RESOLVE_LIMIT_S)
            .with_registry(REGISTRY)
    };
    // at this level it tells every download, which is what there is of progress
    let install = npm("ci").args(["--prefix", "{env}", "--prefer-offline", "--loglevel=http"]);
    Environment {
        requirements: requirements.to_text(),
        resolve: Resolve { steps: vec![resolve], output: "{work}/package-lock.json".into() },
        install: vec![lay_out(Vec::new()), install_step(install), compile()],
    }
}

fn by_pnpm(requirements: &Requirements, lock: Option<&Lock>) -> Environment {
    let package = lock.and_then(Lock::package).unwrap_or_else(|| requirements.to_package());
    let script = || file("pnpm.cjs", include_str!("../node/pnpm.cjs"));
    let resolve = Step {
        files: vec![package_file(package.clone()), script()],
        ..Step::new(Stage::Resolving, pnpm("{work}").arg("--lockfile-only"), RESOLVE_LIMIT_S).with_registry(REGISTRY)
    };
    let install = pnpm("{env}").args(["--frozen-lockfile", "--prefer-offline"]);
    Environment {
        requirements: requirements.to_text(),
        resolve: Resolve { steps: vec![resolve], output: "{work}/pnpm-lock.yaml".into() },
        install: vec![lay_out(vec![package_file(package), script()]), install_step(install), compile()],
    }
}

fn lay_out(mut files: Vec<File>) -> Step {
    files.push(file("lay_out.cjs", include_str!("../node/lay_out.cjs")));
    files.push(file("start.cjs", include_str!("../node/start.cjs")));
    let command = CommandLine::new("{node}").args(["{work}/lay_out.cjs", "{lock}", "{env}"]);
    Step { files, ..Step::new(Stage::Installing, command, LOCAL_LIMIT_S) }.writing("{env}")
}

fn install_step(command: CommandLine) -> Step {
    Step::new(Stage::Installing, command, INSTALL_LIMIT_S).with_registry(REGISTRY).writing("{env}")
}

fn compile() -> Step {
    let command = CommandLine::new("{node}").args(["{work}/compile.cjs", "{env}"]);
    let files = vec![file("compile.cjs", include_str!("../node/compile.cjs"))];
    Step { files, ..Step::new(Stage::Compiling, command, LOCAL_LIMIT_S) }.writing("{env}")
}

fn package_file(contents: String) -> File {
    File { path: "package.json".into(), contents }
}

/// npm by the interpreter that was found, since its own first line would look for one on `PATH`; without scripts of
/// packages, and saying no more than it must.
fn npm(command: &str) -> CommandLine {
    CommandLine::new("{node}")
        .args(["{npm}", command])
        .args(["--ignore-scripts", "--omit=dev", "--omit-lockfile-registry-resolved", "--no-bin-links"])
        .args(["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--color=false"])
        .args(["--loglevel=error", "--logs-max=0", "--fetch-retries=2", "--fetch-retry-mintimeout=1000"])
        .args(["--fetch-retry-maxtimeout=5000", "--cache", "{cache}"])
}

/// `pnpm install` in a folder: without scripts, with nothing of a workspace around, packages laid out as npm does and
/// copied, since an environment is sealed and the store is not.
fn pnpm(folder: &str) -> CommandLine {
    CommandLine::new("{node}")
        .args(["{work}/pnpm.cjs", "{pnpm}", "install", "--dir", folder])
        .args(["--ignore-scripts", "--prod", "--ignore-workspace", "--reporter=append-only"])
        .args(["--store-dir", "{cache}/pnpm/store", "--config.cache-dir={cache}/pnpm/metadata"])
        .args(["--config.node-linker=hoisted", "--config.package-import-method=copy"])
        .args(["--config.update-notifier=false", "--config.strict-dep-builds=false"])
        .args(["--config.fetch-retries=2", "--config.fetch-retry-mintimeout=1000"])
        .args(["--config.fetch-retry-maxtimeout=5000"])
        .env("NO_COLOR", "1")
        .env("CI", "1")
}

fn file(path: &str, contents: &str) -> File {
    File { path: path.into(), contents: contents.into() }
}
