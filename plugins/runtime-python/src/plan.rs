use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use perennial_sdk::prelude::*;

use crate::{environment, lock, requirement::Requirements, script, sdk_versions};

/// The file with the server's code.
const MAIN: &str = "main.py";

/// What to do so that the server runs; with `sdists` packages are built where there is no wheel of them.
pub(crate) fn plan(spec: &ServerSpec, toolchain: &Toolchain, sdists: bool) -> Result<Plan> {
    if spec.files.contains_key(MAIN) {
        return Err(Error::invalid(format!("`files` has a `{MAIN}`, which is where `code` goes"))
            .hint("give the file another name, or pass it as `code`"));
    }
    spec.lock.as_deref().map_or(Ok(()), lock::check)?;
    let script = script::parse(&spec.code)?;
    runs_on(script.requires_python.as_deref(), toolchain)?;
    let mut requirements = Requirements::parse(&spec.dependencies)?;
    for dependency in &script.dependencies {
        requirements.add(dependency, None)?;
    }
    sdk_versions::complete(&mut requirements, &sources(spec))?;

    let mut plan = Plan::run(run("{python}").arg("-S"));
    if !requirements.is_empty() {
        plan = Plan::run(run(environment::interpreter(toolchain)));
        plan.environment = Some(environment::environment(requirements.to_text(), toolchain, sdists)?);
    }
    plan.run = plan.run.arg(format!("{{server}}/{MAIN}"));
    plan = plan.file(MAIN, &spec.code);
    for (path, contents) in &spec.files {
        plan = plan.file(path, contents);
    }
    plan.notes = requirements.notes;
    Ok(plan)
}

/// Isolated from the user's settings and packages, but not from the folder of the script as `-I` would be: that is where
/// the server's further modules are. Without an environment `-S` is added: packages that happen to be installed beside
/// the interpreter are not there on the next machine.
fn run(python: &str) -> CommandLine {
    CommandLine::new(python).args(["-E", "-s", "-B", "-u", "-X", "utf8"])
}

fn sources(spec: &ServerSpec) -> Vec<&str> {
    let further = spec.files.iter().filter(|(path, _)| path.ends_with(".py")).map(|(_, contents)| contents.as_str());
    std::iter::once(spec.code.as_str()).chain(further).collect()
}

fn runs_on(requires: Option<&str>, toolchain: &Toolchain) -> Result<()> {
    let (Some(requires), Some(python)) = (requires, toolchain.tool("python")) else { return Ok(()) };
    let specifiers = VersionSpecifiers::from_str(requires)
        .map_err(|error| Error::invalid(format!("`requires-python` of the `# /// script` block: {error}")))?;
    match Version::from_str(&python.version) {
        Ok(version) if !specifiers.contains(&version) => {
            Err(Error::unsupported(format!("the code needs Python {requires}, and this is {version}"))
                .hint("change `requires-python`, or set `python` in the configuration of the python plugin"))
        }
        _ => Ok(()),
    }
}
