use perennial_sdk::prelude::*;

use crate::{Config, environment, lock::Lock, project::Project, requirement::Requirements};

/// What to do so that the server runs.
pub(crate) fn plan(config: &Config, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    let lock = spec.lock.as_deref().map(Lock::parse).transpose()?;
    let project = Project::parse(spec)?;
    let requirements = Requirements::of(&spec.dependencies, &project)?;
    let mut run = CommandLine::new("{node}");
    if project.is_translated() {
        run = run.arg("--enable-source-maps");
    }
    if !requirements.is_empty() {
        run = run.args(["--require", environment::START]);
    }
    run = run.arg(format!("{{server}}/{}", project.entry()));
    let mut plan = Plan::run(run);
    plan.files = project.files()?;
    if !requirements.is_empty() {
        plan.environment = Some(environment::environment(config, &requirements, lock.as_ref(), toolchain)?);
        plan = plan.link("node_modules", "{env}/node_modules");
    }
    plan.notes = requirements.notes;
    Ok(plan)
}
