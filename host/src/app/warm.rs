use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use perennial_sdk::{Cx, Dependencies, Result, ServerSpec, Template};

use super::{App, command::with_app};
use crate::{
    config::{Config, Directories},
    exit::Failure,
};

/// What was prepared ahead for one template of a language.
#[derive(Debug)]
pub struct Warmed {
    /// The language.
    pub language: String,
    /// The packages that the template depends on.
    pub packages: Vec<String>,
    /// Whether anything had to be installed, or why it cannot be.
    pub outcome: Result<bool>,
    /// How long it took.
    pub took: Duration,
}

/// Hears what happens: the language, and what is being done for it.
type Hear = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Finds the programs of languages, of all when none is named, and installs what their templates depend on.
///
/// # Errors
/// A language that nothing runs. Whatever goes wrong with one that is known is an outcome.
pub fn warm(
    config: Config,
    directories: Directories,
    languages: &[String],
    hear: Hear,
) -> Result<Vec<Warmed>, Failure> {
    with_app(config, directories, async |app| {
        let plugins = &app.host.plugins;
        let names: Vec<String> = match languages {
            [] => plugins.languages().collect(),
            named => named.iter().map(|name| Ok(plugins.runtime(name)?.1)).collect::<Result<_>>()?,
        };
        let mut warmed = Vec::new();
        for name in names {
            let (runtime, _) = plugins.runtime(&name)?;
            let Some(language) = runtime.description.languages.iter().find(|language| language.name == name) else {
                continue;
            };
            for template in &language.templates {
                let begun = Instant::now();
                let outcome = prepare(app, &name, template, hear.clone()).await;
                let packages = packages(&template.dependencies);
                warmed.push(Warmed { language: name.clone(), packages, outcome, took: begun.elapsed() });
            }
        }
        Ok(warmed)
    })
}

async fn prepare(app: &App, language: &str, template: &Template, hear: Hear) -> Result<bool> {
    let spec = ServerSpec {
        language: language.into(),
        code: template.code.clone(),
        dependencies: template.dependencies.clone(),
        ..ServerSpec::default()
    };
    let shown = language.to_owned();
    let cx = Cx::detached().with_progress(move |step| hear(&shown, &step.message));
    let (source, state) = (app.launch.sources.folder()?, app.launch.sources.folder()?);
    let built = app.launch.build(&cx, &spec, source.path(), state.path()).await?;
    Ok(built.prepared.built)
}

fn packages(dependencies: &Dependencies) -> Vec<String> {
    match dependencies {
        Dependencies::List(list) => list.clone(),
        Dependencies::Map(map) => map.iter().map(|(name, version)| format!("{name} {version}")).collect(),
    }
}
