use perennial_sdk::{File, prelude::*};

use crate::{Config, dependency, environment, imports, kit, layout, lock, manifest, requirement};

/// Crates that servers use without declaring them.
const OFTEN_FORGOTTEN: &[&str] = &["anyhow", "rmcp", "schemars", "serde", "serde_json", "tokio"];

/// Those of them that an author should know of; the others come with whatever a server is written with.
const NOTED: &[&str] = &["rmcp", "tokio"];

/// What to do so that the server runs.
pub(crate) fn plan(config: &Config, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
    let (main, mut files) = layout::files(spec)?;
    let (mut needed, mut notes) = requirement::parse(&spec.dependencies)?;
    complete(&mut needed, spec, &mut notes);
    let locked = spec.lock.as_deref().map(lock::read).transpose()?;
    let fits = |locked: &dependency::Dependencies| {
        needed
            .iter()
            .all(|(name, needed)| locked.get(name).is_some_and(|dependency| dependency.has_features_of(name, needed)))
    };
    let resolve_again = locked.as_ref().is_some_and(|locked| !fits(locked));
    let dependencies = match locked.filter(|_| !resolve_again) {
        Some(locked) => locked,
        None => kit::complete(needed),
    };
    // procedural macros look there for the names of crates
    files.push(File { path: "Cargo.toml".into(), contents: manifest::text("server", &dependencies) });

    let exe = if toolchain.platform.starts_with("windows") { ".exe" } else { "" };
    let mut plan = Plan::run(CommandLine::new(format!("{{server}}/target/server{exe}")));
    plan.build = vec![environment::compile(config, main, &dependencies, toolchain)];
    if !dependencies.is_empty() {
        plan.environment = Some(environment::environment(&dependencies, toolchain));
    }
    plan.files = files;
    plan.keep = true;
    plan.resolve_again = resolve_again;
    plan.notes = notes;
    Ok(plan)
}

/// Adds the crates that the code uses and nobody declared, and what rmcp cannot serve without.
fn complete(needed: &mut dependency::Dependencies, spec: &ServerSpec, notes: &mut Vec<String>) {
    let further = spec.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(_, contents)| contents);
    let sources: Vec<String> =
        std::iter::once(&spec.code).chain(further).map(|source| imports::code_of(source)).collect();
    for name in OFTEN_FORGOTTEN {
        if !needed.contains_key(*name)
            && imports::uses(&sources, name)
            && let Some(dependency) = kit::undeclared(name)
        {
            needed.insert(name.to_string(), dependency);
            if NOTED.contains(name) {
                notes.push(format!("`{name}` was added to the dependencies, since the code uses it"));
            }
        }
    }
    if let Some(sdk) = needed.get_mut("rmcp") {
        sdk.features.insert("transport-io".into());
    }
}
