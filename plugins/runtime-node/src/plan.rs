use perennial_sdk::prelude::*;

use crate::{environment, lock, project::Project, requirement::Requirements};

/// What to do so that the server runs.
pub(crate) fn plan(spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    spec.lock.as_deref().map_or(Ok(()), lock::check)?;
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
        plan.environment = Some(environment::environment(requirements.to_text(), toolchain)?);
        plan = plan.link("node_modules", "{env}/node_modules");
    }
    plan.notes = requirements.notes;
    Ok(plan)
}
