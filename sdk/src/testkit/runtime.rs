use std::{collections::BTreeSet, path::Path};

use indexmap::IndexMap;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    CommandLine, Cx, Dependencies, Description, ErrorCode, Exported, Home, Language, LanguageRuntime, Plan, ServerSpec,
    Step, Template, Tool, Toolchain,
};

/// Where the programs of the suite's toolchain are said to be; nothing exists there.
const ELSEWHERE: &str = "/nonexistent-toolchain";
const PLACEHOLDERS: &[&str] = &["env", "server", "state", "work", "lock", "cache"];

/// Requirements that no ecosystem's registry can mean.
const HOSTILE: &[&str] = &[
    "--index-url=https://example.com",
    "-r /etc/passwd",
    "-e .",
    "pkg @ file:///etc/passwd",
    "pkg @ https://example.com/pkg.tar.gz",
    "git+ssh://git@example.com/pkg",
    "../evil",
    "/etc/passwd",
    "file:evil",
    "pkg\n-r /etc/passwd",
    "pkg\0",
    "$(id)",
    "`id`",
    "{env}",
    "",
    " ",
];

/// Runs the whole suite against a runtime, opened with this configuration.
///
/// No program needs to be there: a plan is made without one.
///
/// # Panics
/// At the first promise of [`LanguageRuntime`] that is broken.
pub fn assert_runtime<P: Exported>(config: Value) {
    let executor = tokio::runtime::Builder::new_current_thread().build().expect("a runtime for the test");
    let home = Home { data_dir: ELSEWHERE.into() };
    let opened = executor.block_on(P::open(config, home)).expect("the plugin opens");
    let runtime = opened.runtime.clone().expect("the plugin provides a runtime");
    let description = runtime.describe();
    is_sane(&description);
    survives_json(&description);
    let suite = Suite { runtime: &*runtime, description: &description };
    for language in &description.languages {
        suite.templates(language);
        suite.hostile_dependencies(language);
        suite.odd_code(language);
    }
    executor.block_on(opened.shutdown());
}

struct Suite<'a> {
    runtime: &'a dyn LanguageRuntime,
    description: &'a Description,
}

impl Suite<'_> {
    fn templates(&self, language: &Language) {
        for template in &language.templates {
            for toolchain in [self.toolchain(|_| true), self.toolchain(|required| required)] {
                let plan = match self.plan(language, template, &toolchain) {
                    Ok(plan) => plan,
                    // packages may need an installer that nothing else does
                    Err(error) if error.code == ErrorCode::Unavailable && !template.dependencies.is_empty() => {
                        assert!(error.hint.is_some(), "nobody is told how to get what is missing: {error}");
                        continue;
                    }
                    Err(error) => panic!("the runtime's own template does not plan: {error}"),
                };
                assert_eq!(
                    Some(&plan),
                    self.plan(language, template, &toolchain).ok().as_ref(),
                    "the same spec gives the same plan"
                );
                self.is_sane_plan(&plan);
                survives_json(&plan);
            }
        }
    }

    fn hostile_dependencies(&self, language: &Language) {
        for hostile in HOSTILE {
            let version = IndexMap::from([("pkg".to_string(), hostile.to_string())]);
            let name = IndexMap::from([(hostile.to_string(), "1.0.0".to_string())]);
            let mut forms = vec![Dependencies::List(vec![hostile.to_string()]), Dependencies::Map(name)];
            if !hostile.trim().is_empty() {
                forms.push(Dependencies::Map(version));
            }
            for dependencies in forms {
                let template = Template { code: language.templates[0].code.clone(), dependencies };
                let shown = &template.dependencies;
                let error = match self.plan(language, &template, &self.toolchain(|_| true)) {
                    Ok(_) => panic!("{shown:?} was accepted"),
                    Err(error) => error,
                };
                assert!(matches!(error.code, ErrorCode::Invalid | ErrorCode::Unsupported), "{shown:?}: {error:?}");
                assert!(!error.message.contains(['\n', '\0']), "{shown:?} is shown as it came: {error:?}");
                if error.code == ErrorCode::Invalid {
                    assert!(error.message.contains('`'), "{shown:?} is not named: {error:?}");
                    assert!(error.hint.is_some(), "{shown:?} is refused without a hint: {error:?}");
                }
            }
        }
    }

    /// A plan or an error will do; a panic or a lost placeholder will not.
    fn odd_code(&self, language: &Language) {
        let long = "x = 1\n".repeat(50 * 1024 / 6);
        let odd =
            ["", "\u{feff}", "\0", "a\r\nb\r\n", "{env} {server} {nonsense}", "\"\"\"", "\u{202e}é\u{1f600}", &long];
        for code in odd {
            let template = Template { code: code.into(), dependencies: Dependencies::default() };
            if let Ok(plan) = self.plan(language, &template, &self.toolchain(|_| true)) {
                self.is_sane_plan(&plan);
                survives_json(&plan);
            }
        }
    }

    fn plan(&self, language: &Language, template: &Template, toolchain: &Toolchain) -> crate::Result<Plan> {
        let spec = ServerSpec {
            language: language.name.clone(),
            code: template.code.clone(),
            dependencies: template.dependencies.clone(),
            ..ServerSpec::default()
        };
        self.runtime.plan(&Cx::detached(), &spec, toolchain)
    }

    fn toolchain(&self, wanted: impl Fn(bool) -> bool) -> Toolchain {
        let programs = self.description.programs.iter().filter(|program| wanted(program.required));
        let tools = programs.map(|program| {
            let tool = Tool {
                path: Path::new(ELSEWHERE).join("bin").join(&program.name),
                version: program.minimum.clone().unwrap_or_else(|| "1.0.0".into()),
                roots: vec![ELSEWHERE.into()],
                facts: Value::Null,
            };
            (program.name.clone(), tool)
        });
        Toolchain { tools: tools.collect(), platform: "linux-x86_64-gnu".into() }
    }

    fn is_sane_plan(&self, plan: &Plan) {
        let mut paths = BTreeSet::new();
        for file in &plan.files {
            assert_relative(&file.path);
            assert!(paths.insert(&file.path), "`{}` is written twice", file.path);
        }
        for (path, target) in &plan.links {
            assert_relative(path);
            assert!(paths.iter().all(|file| !Path::new(file).starts_with(path)), "a file is below the link `{path}`");
            self.is_placeholder_path(target);
        }
        if let Some(environment) = &plan.environment {
            assert!(!environment.requirements.is_empty(), "an environment without requirements");
            assert!(environment.resolve.output.starts_with("{work}/"), "a lock outside `{{work}}`");
            environment.resolve.steps.iter().chain(&environment.install).for_each(|step| self.is_sane_step(step));
        }
        assert!(!plan.keep || plan.links.is_empty(), "links in a folder that outlives what they lead to");
        plan.build.iter().for_each(|step| self.is_sane_step(step));
        plan.read.iter().for_each(|path| self.is_placeholder_path(path));
        self.is_sane_command(&plan.run);
    }

    fn is_sane_step(&self, step: &Step) {
        assert!(step.time_limit_s > 0, "a step without time");
        step.hosts.iter().for_each(|host| assert_host(host));
        step.files.iter().for_each(|file| assert_relative(&file.path));
        step.writes.iter().for_each(|path| self.is_placeholder_path(path));
        self.is_sane_command(&step.command);
    }

    fn is_sane_command(&self, command: &CommandLine) {
        self.is_placeholder_path(&command.program);
        for text in command.args.iter().chain(command.env.values()) {
            assert!(!text.starts_with('/') && !text.contains(ELSEWHERE), "an absolute path: `{text}`");
            assert!(!text.contains('\0'), "a NUL in an argument");
        }
    }

    fn is_placeholder_path(&self, path: &str) {
        let name = path.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(name, _)| name);
        let known = |name| PLACEHOLDERS.contains(&name) || self.description.programs.iter().any(|p| p.name == name);
        assert!(name.is_some_and(known), "`{path}` starts with no placeholder that there is");
        assert!(!path.contains(".."), "`{path}` leaves its folder");
    }
}

fn is_sane(description: &Description) {
    assert!(!description.languages.is_empty(), "a runtime without a language");
    let mut names = BTreeSet::new();
    for language in &description.languages {
        for name in std::iter::once(&language.name).chain(&language.aliases) {
            assert!(!name.is_empty() && *name == name.to_lowercase(), "`{name}` is no name of a language");
            assert!(names.insert(name), "the language `{name}` is there twice");
        }
        let default = language.templates.first().expect("a language has a template");
        assert!(default.dependencies.is_empty(), "the default template of `{}` needs packages", language.name);
        assert!(language.templates.iter().all(|template| template.code.contains("echo")), "a template without `echo`");
    }
    let mut programs = BTreeSet::new();
    for program in &description.programs {
        assert!(programs.insert(&program.name), "the program `{}` is there twice", program.name);
        assert!(!PLACEHOLDERS.contains(&program.name.as_str()), "`{}` is a placeholder", program.name);
        assert!(!program.candidates.is_empty(), "`{}` cannot be found", program.name);
        assert!(!program.required || program.install_hint.is_some(), "nobody is told how to get `{}`", program.name);
    }
}

fn assert_host(host: &str) {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let fits = |(name, port): (&str, &str)| {
        !name.is_empty() && name.chars().all(of_a_name) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    assert!(host.rsplit_once(':').is_some_and(fits), "`{host}` is no `host:port`");
}

fn assert_relative(path: &str) {
    let parts = Path::new(path).components();
    let inside = parts.clone().all(|part| matches!(part, std::path::Component::Normal(_)));
    assert!(inside && parts.count() > 0, "`{path}` is not relative");
}

fn survives_json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("plain data");
    assert_eq!(*value, serde_json::from_str::<T>(&text).expect("plain data"), "changed on its way through JSON");
}
