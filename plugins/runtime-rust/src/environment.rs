//! The steps that compile dependencies, once, and the server against them.

use perennial_sdk::{CommandLine, Environment, File, Resolve, Stage, Step, Toolchain};

use crate::{
    Config,
    config::OptLevel,
    dependency::Dependencies,
    manifest::{self, PROFILE},
};

const REGISTRY: &str = "crates-io";
const RESOLVE_LIMIT_S: u64 = 180;
const FETCH_LIMIT_S: u64 = 600;
const DEPENDENCIES_LIMIT_S: u64 = 1800;
const COMPILE_LIMIT_S: u64 = 600;

/// The arguments that make the compiler find the dependencies, one a line.
const ARGUMENTS: &str = "{env}/rustc.args";
const RECORD: &str = "{work}/record";

/// The environment of these dependencies.
pub(crate) fn environment(dependencies: &Dependencies, toolchain: &Toolchain) -> Environment {
    let requirements = manifest::requirements(dependencies);
    let mut resolve =
        Step::new(Stage::Resolving, cargo(["generate-lockfile"]), RESOLVE_LIMIT_S).with_registry(REGISTRY);
    resolve.files = manifest::crate_files(dependencies);
    resolve.files.push(manifest::unlocked(dependencies));

    let mut fetch = cargo(["fetch", "--locked"]);
    if let Some(target) = host(toolchain) {
        fetch = fetch.args(["--target", target]);
    }
    let mut fetch = Step::new(Stage::Installing, fetch, FETCH_LIMIT_S).with_registry(REGISTRY);
    fetch.files = manifest::crate_files(dependencies);
    let recorder = CommandLine::new("{rustc}")
        .args(["--edition", "2021", "-C", "strip=symbols", "-o", RECORD])
        .args(linker(toolchain).map(|linker| format!("-C{linker}")))
        .arg("{work}/record.rs");
    let mut recorder = Step::new(Stage::Compiling, recorder, COMPILE_LIMIT_S);
    recorder.files = vec![File { path: "record.rs".into(), contents: include_str!("../rust/record.rs").into() }];
    let build = Step::new(Stage::Compiling, build(toolchain), DEPENDENCIES_LIMIT_S).writing("{env}");
    let prune = CommandLine::new(RECORD).args(["--prune", "{env}/target"]);
    let prune = Step::new(Stage::Installing, prune, COMPILE_LIMIT_S).writing("{env}");
    Environment {
        requirements,
        resolve: Resolve { steps: vec![resolve], output: "{work}/Cargo.lock".into() },
        install: vec![fetch, recorder, build, prune],
    }
}

/// The step that compiles a server: by the compiler alone, since cargo would want to write where dependencies are.
pub(crate) fn compile(config: &Config, main: &str, dependencies: &Dependencies, toolchain: &Toolchain) -> Step {
    let mut command = CommandLine::new("{rustc}");
    if !dependencies.is_empty() {
        command = command.arg(format!("@{ARGUMENTS}"));
    }
    let level = config.optimize.map_or_else(|| u8::from(!dependencies.contains_key("tokio")), OptLevel::number);
    let command = command
        .args(["--crate-name", "server", "--crate-type", "bin", "--edition", config.edition.as_str()])
        .args([format!("-Copt-level={level}"), "-Coverflow-checks=on".into(), "-Cstrip=symbols".into()])
        .args(linker(toolchain).map(|linker| format!("-C{linker}")))
        .args(["--cap-lints=allow", "--error-format=human", "--color=never", "--remap-path-prefix={server}="])
        .args(["--out-dir", "{server}/target"])
        .arg(format!("{{server}}/{main}"))
        .env("CARGO_MANIFEST_DIR", "{server}");
    let step = Step::new(
        Stage::Compiling,
        PACKAGE.iter().fold(command, |command, (name, value)| command.env(*name, *value)),
        COMPILE_LIMIT_S,
    );
    step.writing("{server}")
}

/// What cargo tells the compiler of a package: macros ask for it.
const PACKAGE: &[(&str, &str)] = &[
    ("CARGO_BIN_NAME", "server"),
    ("CARGO_CRATE_NAME", "server"),
    ("CARGO_PKG_AUTHORS", ""),
    ("CARGO_PKG_DESCRIPTION", ""),
    ("CARGO_PKG_HOMEPAGE", ""),
    ("CARGO_PKG_NAME", "server"),
    ("CARGO_PKG_REPOSITORY", ""),
    ("CARGO_PKG_VERSION", "1.0.0"),
    ("CARGO_PKG_VERSION_MAJOR", "1"),
    ("CARGO_PKG_VERSION_MINOR", "0"),
    ("CARGO_PKG_VERSION_PATCH", "0"),
    ("CARGO_PKG_VERSION_PRE", ""),
];

/// All that decides what comes out is in the command: it is part of what an environment is known by.
fn build(toolchain: &Toolchain) -> CommandLine {
    let mut build = cargo(["build", "--offline", "--locked", "--profile", PROFILE, "--target-dir", "{env}/target"])
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTC_WORKSPACE_WRAPPER", RECORD)
        .env("PERENNIAL_ARGUMENTS", ARGUMENTS);
    let settings = [("OPT_LEVEL", "1"), ("DEBUG", "false"), ("CODEGEN_UNITS", "16"), ("LTO", "false")];
    for (name, value) in settings {
        build = build.env(format!("CARGO_PROFILE_{}_{name}", PROFILE.to_uppercase()), value);
    }
    // set even when it is empty: it keeps the flags of the user's own settings away
    let flags = linker(toolchain).map(|linker| format!("-C{linker}"));
    build.env("CARGO_ENCODED_RUSTFLAGS", flags.unwrap_or_default())
}

/// cargo with the compiler that was found, and without the user's wrapper of it.
fn cargo(command: impl IntoIterator<Item = &'static str>) -> CommandLine {
    CommandLine::new("{cargo}")
        .args(command)
        .args(["--color", "never", "--manifest-path", "{work}/Cargo.toml"])
        .env("CARGO_HOME", "{cache}")
        .env("RUSTC", "{rustc}")
        .env("RUSTC_WRAPPER", "")
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
}

/// Where the linker is, which may be beyond the `PATH` of a step.
fn linker(toolchain: &Toolchain) -> Option<&'static str> {
    toolchain.tool("cc").map(|_| "linker={cc}")
}

/// The target that the compiler makes programs for: crates for others are not fetched.
fn host(toolchain: &Toolchain) -> Option<&str> {
    let said = toolchain.tool("rustc")?.facts.get("said")?.as_str()?;
    said.lines().find_map(|line| line.strip_prefix("host: ")).map(str::trim)
}
