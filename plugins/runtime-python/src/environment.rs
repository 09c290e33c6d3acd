//! The steps that make an environment, by uv or by pip.

use perennial_sdk::{CommandLine, Environment, Error, File, Resolve, Result, Stage, Step, Toolchain};

const REGISTRY: &str = "pypi";
const RESOLVE_LIMIT_S: u64 = 180;
const INSTALL_LIMIT_S: u64 = 900;
const LOCAL_LIMIT_S: u64 = 300;
const REQUIREMENTS: &str = "{work}/requirements.in";
const LOCK: &str = "{work}/requirements.lock";

/// The environment for a requirements file, of wheels alone unless `sdists`.
///
/// # Errors
/// `unavailable` when there is neither uv nor a Python that can make environments.
pub(crate) fn environment(requirements: String, toolchain: &Toolchain, sdists: bool) -> Result<Environment> {
    let file = File { path: "requirements.in".into(), contents: requirements.clone() };
    let interpreter = interpreter(toolchain);
    let (mut resolve, install) = match toolchain.tool("uv") {
        Some(_) => (uv_resolve(sdists), uv_install(interpreter, sdists)),
        None => {
            can_make_environments(toolchain)?;
            (pip_resolve(sdists), pip_install(interpreter, sdists))
        }
    };
    resolve.files.push(file);
    Ok(Environment { requirements, resolve: Resolve { steps: vec![resolve], output: LOCK.into() }, install })
}

/// The environment's own interpreter.
pub(crate) fn interpreter(toolchain: &Toolchain) -> &'static str {
    if toolchain.platform.starts_with("windows") { "{env}/Scripts/python.exe" } else { "{env}/bin/python" }
}

fn can_make_environments(toolchain: &Toolchain) -> Result<()> {
    let Some(python) = toolchain.tool("python") else { return Ok(()) };
    let lacks = |module: &str| python.facts.get(module).and_then(serde_json::Value::as_bool) == Some(false);
    match ["venv", "ensurepip"].into_iter().find(|module| lacks(module)) {
        None => Ok(()),
        Some(module) => Err(Error::unavailable(format!(
            "`{}` has no module `{module}`, so that nothing can install packages",
            python.path.display()
        ))
        .hint("install uv, or your system's package `python3-venv`")),
    }
}

fn uv_resolve(sdists: bool) -> Step {
    let command = uv(["pip", "compile"])
        .args(["--python", "{python}", "--universal", "--generate-hashes"])
        .args(only_wheels(sdists))
        .args(["--no-header", "--no-annotate", "--quiet", "--output-file", LOCK, REQUIREMENTS]);
    Step::new(Stage::Resolving, command, RESOLVE_LIMIT_S).with_registry(REGISTRY)
}

fn uv_install(interpreter: &str, sdists: bool) -> Vec<Step> {
    let venv = uv(["venv"]).args(["--python", "{python}", "--no-project", "--quiet", "{env}"]);
    let install = uv(["pip", "install"])
        .args(["--python", interpreter, "--require-hashes", "--no-deps"])
        .args(only_wheels(sdists))
        .args(["--link-mode", "copy", "--compile-bytecode", "--requirement", "{lock}"])
        .env("PYC_INVALIDATION_MODE", "UNCHECKED_HASH");
    vec![
        Step::new(Stage::Installing, venv, LOCAL_LIMIT_S).writing("{env}"),
        Step::new(Stage::Installing, install, INSTALL_LIMIT_S).with_registry(REGISTRY).writing("{env}"),
    ]
}

fn only_wheels(sdists: bool) -> impl Iterator<Item = &'static str> {
    ["--only-binary", ":all:"].into_iter().filter(move |_| !sdists)
}

/// uv with nothing of the user's: no configuration file, no keyring, no Python but the one that was found.
fn uv(command: impl IntoIterator<Item = &'static str>) -> CommandLine {
    CommandLine::new("{uv}")
        .args(command)
        .args(["--no-config", "--no-python-downloads", "--cache-dir", "{cache}"])
        .env("UV_KEYRING_PROVIDER", "disabled")
        .env("UV_NO_PROGRESS", "1")
        .env("NO_COLOR", "1")
}

fn pip_resolve(sdists: bool) -> Step {
    let command = pip("{python}", ["resolve", REQUIREMENTS, LOCK]).args(only_wheels(sdists));
    let mut resolve = Step::new(Stage::Resolving, command, RESOLVE_LIMIT_S).with_registry(REGISTRY);
    resolve.files.push(pip_script());
    resolve
}

fn pip_install(interpreter: &str, sdists: bool) -> Vec<Step> {
    let venv = CommandLine::new("{python}").args(["-E", "-s", "-m", "venv", "--without-pip", "{env}"]);
    let command = pip(interpreter, ["install", "{lock}"]).args(only_wheels(sdists));
    let mut install = Step::new(Stage::Installing, command, INSTALL_LIMIT_S);
    let mut compile = Step::new(Stage::Compiling, pip(interpreter, ["compile"]), LOCAL_LIMIT_S).writing("{env}");
    install.files.push(pip_script());
    compile.files.push(pip_script());
    vec![
        Step::new(Stage::Installing, venv, LOCAL_LIMIT_S).writing("{env}"),
        install.with_registry(REGISTRY).writing("{env}"),
        compile,
    ]
}

/// `-E` would hide the registry's settings from pip, were they not read by pip itself: it ignores `PYTHON*` alone.
fn pip<const N: usize>(python: &str, arguments: [&'static str; N]) -> CommandLine {
    CommandLine::new(python)
        .args(["-E", "-s", "-X", "utf8", "{work}/pip.py"])
        .args(arguments)
        .env("PIP_CACHE_DIR", "{cache}")
        .env("PIP_KEYRING_PROVIDER", "disabled")
}

fn pip_script() -> File {
    File { path: "pip.py".into(), contents: include_str!("../python/pip.py").into() }
}
