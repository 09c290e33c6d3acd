use std::{
    path::{Component, Path},
    sync::Arc,
};

use perennial_sdk::{
    CommandLine, Cx, Description, ErrorCode, LanguageRuntime, Plan, ServerSpec, Template, Tool, Toolchain,
};
use serde_json::Value;

use crate::blocking::blocking;

/// Where the programs of the trial's toolchain are said to be. Nothing is there: a plan is made without a program.
const ELSEWHERE: &str = "/nonexistent-toolchain";

/// What plans may name beside the runtime's own programs.
const PLACES: [&str; 6] = ["env", "server", "state", "work", "lock", "cache"];

/// What is wrong with the plans for the runtime's own templates.
pub(super) async fn problems(runtime: Arc<dyn LanguageRuntime>, description: Arc<Description>) -> Vec<String> {
    let mut problems = Vec::new();
    if description.languages.is_empty() {
        problems.push("the runtime has no language".into());
    }
    let toolchain = toolchain(&description);
    for language in &description.languages {
        if language.templates.is_empty() {
            problems.push(format!("the language `{}` has no template", language.name));
        }
        for template in &language.templates {
            let spec = ServerSpec {
                language: language.name.clone(),
                code: template.code.clone(),
                dependencies: template.dependencies.clone(),
                ..ServerSpec::default()
            };
            let (runtime, toolchain) = (runtime.clone(), toolchain.clone());
            let planned = blocking(move || runtime.plan(&Cx::detached(), &spec, &toolchain)).await;
            let found = match planned {
                Ok(plan) => wrong_paths(&plan, &description),
                Err(error) if may_lack_an_installer(error.code.clone(), template) => Vec::new(),
                Err(error) => vec![format!("it does not plan: {error}")],
            };
            problems.extend(found.into_iter().map(|what| format!("the template for `{}`: {what}", language.name)));
        }
    }
    problems
}

fn may_lack_an_installer(code: ErrorCode, template: &Template) -> bool {
    code == ErrorCode::Unavailable && !template.dependencies.is_empty()
}

/// Every program that the runtime asks for, as if it had been found.
fn toolchain(description: &Description) -> Toolchain {
    let tool = |name: &str, minimum: &Option<String>| Tool {
        path: Path::new(ELSEWHERE).join("bin").join(name),
        version: minimum.clone().unwrap_or_else(|| "1.0.0".into()),
        roots: vec![ELSEWHERE.into()],
        facts: Value::Null,
    };
    let tools = description.programs.iter();
    Toolchain {
        tools: tools.map(|program| (program.name.clone(), tool(&program.name, &program.minimum))).collect(),
        platform: super::super::platform(),
    }
}

/// The paths of a plan that the host would refuse, or that would mean something else on another machine.
fn wrong_paths(plan: &Plan, description: &Description) -> Vec<String> {
    let environment = plan.environment.iter();
    let steps: Vec<_> = environment.flat_map(|one| one.resolve.steps.iter().chain(&one.install)).collect();
    let steps: Vec<_> = steps.into_iter().chain(&plan.build).collect();
    let places = steps.iter().flat_map(|step| &step.writes).chain(&plan.read).chain(plan.links.values());
    let commands: Vec<&CommandLine> = steps.iter().map(|step| &step.command).chain([&plan.run]).collect();
    let files = plan.files.iter().chain(steps.iter().flat_map(|step| &step.files)).map(|file| &file.path);

    let mut wrong = Vec::new();
    for place in places.chain(commands.iter().map(|command| &command.program)) {
        if !is_placeholder(place, description) {
            wrong.push(format!("`{place}` does not begin with a placeholder that there is, such as `{{server}}`"));
        }
    }
    for text in commands.iter().flat_map(|command| command.args.iter().chain(command.env.values())) {
        if text.starts_with('/') || text.contains(ELSEWHERE) {
            wrong.push(format!("`{text}` is an absolute path, where a placeholder belongs"));
        }
    }
    for path in files.chain(plan.links.keys()) {
        if path.is_empty() || !Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
            wrong.push(format!("the file `{path}` is not below the server's folder"));
        }
    }
    wrong
}

fn is_placeholder(path: &str, description: &Description) -> bool {
    let name = path.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
    let known = |name| PLACES.contains(&name) || description.programs.iter().any(|program| program.name == name);
    name.is_some_and(known) && !path.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use perennial_sdk::{Language, Program};

    use super::*;

    #[test]
    fn a_plan_names_places_and_not_paths() {
        let language = Language::new("x", Template::new(""));
        let description = Description::new([language]).program(Program::new("x", ["x"]));
        let good = Plan::run(CommandLine::new("{x}").arg("{server}/main").arg("/")).file("lib/main", "");
        assert_eq!(wrong_paths(&good, &description), ["`/` is an absolute path, where a placeholder belongs"]);
        let bad = Plan::run(CommandLine::new("x").arg("--in=/nonexistent-toolchain/bin/x")).file("../main", "");
        let bad = bad.file("/etc/x", "").link("lib", "{server}/../..").link("lib", "{nothing}");
        assert_eq!(wrong_paths(&bad, &description).len(), 5);
    }
}
