//! The steps that make an environment, by npm.

use perennial_sdk::{CommandLine, Environment, Error, File, Resolve, Result, Stage, Step, Toolchain};

const REGISTRY: &str = "npm";
const RESOLVE_LIMIT_S: u64 = 180;
const INSTALL_LIMIT_S: u64 = 900;
const LOCAL_LIMIT_S: u64 = 60;

/// What a server that runs in an environment loads first.
pub(crate) const START: &str = "{env}/start.cjs";

/// The environment for a `package.json`.
///
/// # Errors
/// `unavailable` when there is no npm.
pub(crate) fn environment(package: String, toolchain: &Toolchain) -> Result<Environment> {
    if toolchain.tool("npm").is_none() {
        return Err(Error::unavailable("`npm` was not found, so that nothing can install packages")
            .hint("install npm: it comes with Node from nodejs.org, and in some systems as a package of its own"));
    }
    let resolve = Step {
        files: vec![file("package.json", &package)],
        ..Step::new(Stage::Resolving, npm("install").args(["--package-lock-only"]), RESOLVE_LIMIT_S)
            .with_registry(REGISTRY)
    };
    let lay_out = Step {
        files: vec![
            file("lay_out.cjs", include_str!("../node/lay_out.cjs")),
            file("start.cjs", include_str!("../node/start.cjs")),
        ],
        ..Step::new(
            Stage::Installing,
            CommandLine::new("{node}").args(["{work}/lay_out.cjs", "{lock}", "{env}"]),
            LOCAL_LIMIT_S,
        )
    };
    let compile = Step {
        files: vec![file("compile.cjs", include_str!("../node/compile.cjs"))],
        ..Step::new(Stage::Compiling, CommandLine::new("{node}").args(["{work}/compile.cjs", "{env}"]), LOCAL_LIMIT_S)
    };
    // at this level it tells every download, which is what there is of progress
    let install = npm("ci").args(["--prefix", "{env}", "--prefer-offline", "--loglevel=http"]);
    Ok(Environment {
        requirements: package,
        resolve: Resolve { steps: vec![resolve], output: "{work}/package-lock.json".into() },
        install: vec![
            lay_out.writing("{env}"),
            Step::new(Stage::Installing, install, INSTALL_LIMIT_S).with_registry(REGISTRY).writing("{env}"),
            compile.writing("{env}"),
        ],
    })
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

fn file(path: &str, contents: &str) -> File {
    File { path: path.into(), contents: contents.into() }
}
