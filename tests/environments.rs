//! Toolchains and environments with real processes: a runtime whose packages are files that a shell writes, and Python
//! with a package of its own.

#![allow(clippy::unwrap_used, reason = "a test ends there")]

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use perennial::{
    environment::{Environments, Prepared, Registries},
    supervisor::{Finished, Supervisor},
    toolchain::{Surroundings, Toolchains},
};
use perennial_runtime_python::Python;
use perennial_sdk::{Exported, Resolve, Stage, Step, prelude::*};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::watch,
};

/// Tells where it is, as any probe should, and counts how often it was asked.
const PROBE: &str = r#"echo x >> "$HOME/probes"; echo '{"version": "1.2.3", "path": "/bin/sh", "roots": ["/bin"]}'"#;

struct World {
    folder: TempDir,
    supervisor: Arc<Supervisor>,
    environments: Environments,
}

impl World {
    fn new() -> Self {
        Self::with_variables([])
    }

    fn with_variables<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::with_sidecar(folder.path().join("host"), env!("CARGO_BIN_EXE_perennial").into());
        let variables = variables.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let environments = Environments::new(supervisor.clone(), folder.path().join("cache"))
            .with_registries(Registries::of(variables));
        Self { folder, supervisor, environments }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn toolchains(&self) -> Toolchains {
        let surroundings = Surroundings {
            path: vec!["/usr/bin".into(), "/bin".into()],
            home: Some(self.folder.path().into()),
            variables: BTreeMap::new(),
        };
        Toolchains::new(self.supervisor.clone(), self.path("cache"), vec![self.folder.path().into()])
            .with_surroundings(surroundings)
    }

    async fn prepare(&self, cx: &Cx, plan: &Plan, lock: Option<&str>) -> Result<Prepared> {
        let description = shell();
        let toolchain = self.toolchains().find("shell", &description).await?;
        let server = self.path("server");
        self.environments
            .prepare(cx, "shell", &description, &toolchain, None, plan, lock, &server, &self.path("state"))
            .await
    }

    async fn run(&self, prepared: &Prepared) -> Finished {
        let limit = Duration::from_secs(20);
        self.supervisor.run(&Cx::detached(), prepared.process.clone(), limit, |_| ()).await.unwrap()
    }

    fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.path(name)).unwrap_or_default().lines().count()
    }

    /// The attempts at environments that there are, finished or not.
    fn attempts(&self) -> usize {
        let slots = std::fs::read_dir(self.path("cache/environments")).into_iter().flatten().flatten();
        let entries = slots.flat_map(|slot| std::fs::read_dir(slot.path()).unwrap().flatten());
        entries.filter(|entry| entry.path().is_dir()).count()
    }
}

fn shell() -> Description {
    let mut program = Program::new("sh", ["sh"]);
    program.probe = vec!["-c".into(), PROBE.into()];
    program.install_hint = Some("install a shell".into());
    Description::new([]).program(program).hint("no such package", "check the name")
}

fn step(script: &str, args: &[&str]) -> Step {
    Step {
        stage: Stage::Installing,
        files: Vec::new(),
        command: CommandLine::new("{sh}").args(["-c", script, "sh"]).args(args.iter().copied()),
        time_limit_s: 20,
        network: Some("pypi".into()),
        // the folders among its arguments
        writes: args
            .iter()
            .filter(|arg| ["{cache}", "{env}", "{server}"].contains(arg))
            .map(ToString::to_string)
            .collect(),
    }
}

/// A server whose package is a greeting; `install` runs after it was installed.
fn greeting(install: &str) -> Plan {
    let resolve = step("echo x >> $1/resolutions; echo hello > $2", &["{cache}", "{work}/lock.out"]);
    let run = CommandLine::new("{sh}").args(["-c", "cat $1/greeting; cat main.txt 2>/dev/null; env", "sh", "{env}"]);
    let mut plan = Plan::run(run).file("main.txt", "{env} {cache}");
    plan.environment = Some(perennial_sdk::Environment {
        requirements: "hello".into(),
        resolve: Resolve { steps: vec![resolve], output: "{work}/lock.out".into() },
        install: vec![
            step("echo x >> $1/installations; cp $2 $3/greeting", &["{cache}", "{lock}", "{env}"]),
            step(install, &["{env}"]),
        ],
    });
    plan
}

/// A server that is a copy of its package; `then` runs after it was made.
fn compiled(then: &str) -> Plan {
    let mut plan = greeting("true");
    let mut compile = step(
        "echo x >> $1/builds; sleep 0.1; (echo '#!/bin/sh'; echo \"echo $(cat $2/greeting)\") > $3/program",
        &["{cache}", "{env}", "{server}"],
    );
    (compile.network, compile.stage) = (None, Stage::Compiling);
    let mut chmod = step("chmod +x $1/program", &["{server}"]);
    chmod.network = None;
    let mut then = step(then, &[]);
    (then.network, then.stage) = (None, Stage::Compiling);
    plan.build = vec![compile, chmod, then];
    plan.keep = true;
    plan.run = CommandLine::new("{server}/program");
    plan
}

#[tokio::test]
async fn an_environment_is_built_once_and_sealed() {
    let world = World::new();
    let cx = Cx::detached();
    let first = world.prepare(&cx, &greeting("env > $1/environment"), None).await.unwrap();
    assert!(first.built);
    assert_eq!(first.lock.as_deref(), Some("hello\n"));
    let finished = world.run(&first).await;
    let output = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(output.starts_with("hello\n"), "{output}");
    assert!(output.contains(&format!("HOME={}", world.path("state").display())), "{output}");
    assert_eq!(std::fs::read_to_string(world.path("server/main.txt")).unwrap(), "{env} {cache}");

    let root = first.environment.as_ref().unwrap().root();
    assert!(root.join("greeting").metadata().unwrap().permissions().readonly());
    let seen = std::fs::read_to_string(root.join("environment")).unwrap();
    assert!(!seen.contains(&format!("HOME={}\n", world.folder.path().display())), "{seen}");
    // beside the way to its own gate nothing of this process' environment
    let inherited: Vec<_> = seen.lines().filter(|line| !line.contains("=http://perennial:")).collect();
    assert!(!inherited.iter().any(|line| line.contains("CARGO")), "{seen}");

    let second = world.prepare(&cx, &greeting("env > $1/environment"), None).await.unwrap();
    assert!(!second.built);
    assert_eq!(second.environment.unwrap().root(), root);
    assert_eq!(world.lines("cache/packages/shell/resolutions"), 1);
    assert_eq!(world.lines("cache/packages/shell/installations"), 1);
    assert_eq!(world.lines("probes"), 1, "a second search asks the memo");
}

#[tokio::test]
async fn a_lock_is_taken_as_it_is() {
    let world = World::new();
    let prepared = world.prepare(&Cx::detached(), &greeting("true"), Some("bonjour")).await.unwrap();
    assert_eq!(world.lines("cache/packages/shell/resolutions"), 0);
    assert!(world.run(&prepared).await.stdout.starts_with(b"bonjour"));
}

#[tokio::test]
async fn two_at_once_build_one() {
    let world = World::new();
    let cx = Cx::detached();
    let plan = greeting("sleep 0.1");
    let (one, two) = tokio::join!(world.prepare(&cx, &plan, None), world.prepare(&cx, &plan, None));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.built != two.built);
    assert_eq!(one.environment.unwrap().root(), two.environment.unwrap().root());
    assert_eq!(world.lines("cache/packages/shell/installations"), 1);
}

#[tokio::test]
async fn a_failure_shows_the_last_lines_and_leaves_nothing() {
    let world = World::new();
    let script = "echo 'no such package at https://me:secret@index' >&2; exit 3";
    let error = world.prepare(&Cx::detached(), &greeting(script), None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(error.hint.as_deref(), Some("check the name"));
    let text = error.to_string();
    assert!(text.contains("code 3") && text.contains("no such package") && !text.contains("secret"), "{text}");
    gone(&world).await;
    assert!(world.prepare(&Cx::detached(), &greeting("true"), None).await.unwrap().built);
}

#[tokio::test]
async fn a_cancelled_or_dropped_build_leaves_nothing() {
    let world = World::new();
    let (cancel, cancelled) = watch::channel(false);
    let cx = Cx::detached().with_cancel(cancelled);
    let plan = greeting("sleep 20");
    let (outcome, ()) = tokio::join!(world.prepare(&cx, &plan, None), async {
        started(&world, 1).await;
        cancel.send(true).unwrap();
    });
    assert_eq!(outcome.unwrap_err().code, ErrorCode::Cancelled);
    gone(&world).await;

    let cx = Cx::detached();
    tokio::select! {
        _ = world.prepare(&cx, &plan, None) => unreachable!("it takes 20 s"),
        () = started(&world, 2) => {}
    }
    gone(&world).await;
    assert!(world.prepare(&Cx::detached(), &greeting("true"), None).await.unwrap().built);
}

#[tokio::test]
async fn what_a_killed_host_left_is_not_used() {
    let world = World::new();
    let built = world.prepare(&Cx::detached(), &greeting("true"), None).await.unwrap();
    let slot = built.environment.as_ref().unwrap().root().parent().unwrap().to_path_buf();
    drop(built);
    std::fs::remove_file(slot.join("ready")).unwrap();
    let again = world.prepare(&Cx::detached(), &greeting("true"), None).await.unwrap();
    assert!(again.built);
    assert_eq!(world.attempts(), 1, "the leftover is removed");
}

#[tokio::test]
async fn what_is_built_of_a_server_is_kept_by_its_content() {
    let world = World::new();
    let cx = Cx::detached();
    let (one, two) = (compiled("true"), compiled("true"));
    let (one, two) = tokio::join!(world.prepare(&cx, &one, None), world.prepare(&cx, &two, None));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(world.lines("cache/packages/shell/builds"), 1);
    let root = one.kept.as_ref().unwrap().root();
    assert_eq!(two.kept.as_ref().unwrap().root(), root);
    assert!(root.join("program").metadata().unwrap().permissions().readonly());
    assert!(!world.path("server").exists());
    assert!(two.environment.is_none() && one.read.contains(&root.to_path_buf()));
    assert!(world.run(&two).await.stdout.starts_with(b"hello\n"));

    let mut changed = compiled("true");
    changed.files[0].contents.push('!');
    world.prepare(&cx, &changed, None).await.unwrap();
    world.prepare(&cx, &compiled("true"), Some("another lock")).await.unwrap();
    assert_eq!(world.lines("cache/packages/shell/builds"), 3);
}

#[tokio::test]
async fn what_was_built_runs_where_the_programs_are_gone() {
    let world = World::new();
    let cx = Cx::detached();
    let (description, plan) = (shell(), compiled("true"));
    world.prepare(&cx, &plan, None).await.unwrap();
    let toolchain = world.toolchains().last_found("shell").await.unwrap();
    assert!(world.toolchains().last_found("other").await.is_none());
    let missing = Error::unavailable("`sh` was not found");
    let prepare = async |plan: &Plan| {
        let (server, state) = (world.path("server"), world.path("state"));
        world
            .environments
            .prepare(&cx, "shell", &description, &toolchain, Some(&missing), plan, None, &server, &state)
            .await
    };
    assert!(prepare(&plan).await.is_ok());
    assert_eq!(prepare(&compiled("echo other")).await.unwrap_err().message, missing.message);
    let mut gone = Plan::run(CommandLine::new("{server}/main.txt/no-such-program"));
    assert_eq!(prepare(&gone).await.unwrap_err().message, missing.message);
    gone.run = CommandLine::new("{sh}");
    assert!(prepare(&gone).await.is_ok());
}

#[tokio::test]
async fn what_a_compiler_says_is_shown_from_its_beginning() {
    let world = World::new();
    let script = "seq 1000 >&2; echo 'no such package' >&2; exit 3";
    let error = world.prepare(&Cx::detached(), &compiled(script), None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert_eq!(error.hint.as_deref(), Some("check the name"));
    assert_eq!(error.to_string(), "the compiler exited with code 3 while compiling the server");
    let log = error.data["log"].as_str().unwrap();
    assert!(log.starts_with("1\n2\n") && log.ends_with("lines more"), "{log}");
    assert!(world.prepare(&Cx::detached(), &compiled("true"), None).await.is_ok());
}

#[tokio::test]
async fn a_lock_that_no_longer_fits_is_resolved_again() {
    let world = World::new();
    let mut plan = greeting("true");
    plan.resolve_again = true;
    let prepared = world.prepare(&Cx::detached(), &plan, Some("bonjour")).await.unwrap();
    assert_eq!(prepared.lock.as_deref(), Some("hello\n"));
}

#[tokio::test]
async fn the_real_program_is_where_another_says() {
    let world = World::new();
    let toolchain = world.path("toolchain/bin");
    std::fs::create_dir_all(&toolchain).unwrap();
    std::fs::copy("/bin/sh", toolchain.join("sh")).unwrap();
    let mut description = shell();
    let program = &mut description.programs[0];
    program.home = Some(perennial_sdk::ProgramHome {
        ask: "sh".into(),
        args: vec!["-c".into(), format!("echo {}", world.path("toolchain").display())],
        path: "bin/sh".into(),
    });
    program.probe = vec!["-c".into(), "echo sh 4.2.0 of today".into()];
    let found = world.toolchains().find("shell", &description).await.unwrap();
    let tool = found.tool("sh").unwrap();
    assert_eq!(tool.path, toolchain.join("sh").canonicalize().unwrap());
    assert_eq!((tool.version.as_str(), &tool.facts["said"]), ("4.2.0", &json!("sh 4.2.0 of today")));
    assert!(tool.roots.contains(&world.path("toolchain")));
}

#[tokio::test]
async fn a_file_outside_the_server_is_refused() {
    let world = World::new();
    let plan = Plan::run(CommandLine::new("{sh}")).file("../outside", "");
    let error = world.prepare(&Cx::detached(), &plan, None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(!world.path("outside").exists());
}

#[tokio::test]
async fn a_missing_program_is_named_with_the_way_to_get_it() {
    let world = World::new();
    let mut description = shell();
    description.programs[0].minimum = Some("2.0".into());
    let error = world.toolchains().find("shell", &description).await.unwrap_err();
    assert!(error.message.contains("`sh` 2.0 or newer") && error.message.contains("1.2.3"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("install a shell"));
}

#[tokio::test]
async fn a_program_that_would_expose_the_home_folder_is_refused() {
    let world = World::new();
    let mut description = shell();
    let above = world.folder.path().parent().unwrap().display();
    let probe = format!(r#"echo '{{"version": "1.0", "path": "/bin/sh", "roots": ["{above}"]}}'"#);
    description.programs[0].probe = vec!["-c".into(), probe];
    let error = world.toolchains().find("shell", &description).await.unwrap_err();
    assert!(error.message.contains("could read"), "{error}");
}

#[tokio::test]
async fn python_answers_and_gets_a_package_by_pip() {
    let wheels = tempfile::tempdir().unwrap();
    let links = wheels.path().to_str().unwrap();
    let world =
        World::with_variables([("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", links), ("PIP_CONFIG_FILE", "/dev/null")]);
    let python = Python::open(json!({"installer": "pip"}), Home { data_dir: world.path("data") }).await.unwrap();
    let runtime = python.runtime.unwrap();
    let description = runtime.describe();
    let toolchain = Toolchains::new(world.supervisor.clone(), world.path("cache"), vec![world.path("data")])
        .find("python", &description)
        .await
        .unwrap();
    let prepare = async |code: &str, packages: &[&str]| {
        let dependencies = Dependencies::List(packages.iter().map(ToString::to_string).collect());
        let spec = ServerSpec { language: "python".into(), code: code.into(), dependencies, ..ServerSpec::default() };
        let plan = runtime.plan(&Cx::detached(), &spec, &toolchain).unwrap();
        let (server, state) = (world.path("server"), world.path("state"));
        let cx = Cx::detached();
        world.environments.prepare(&cx, "python", &description, &toolchain, None, &plan, None, &server, &state).await
    };

    let template = prepare(&description.languages[0].templates[0].code, &[]).await.unwrap();
    assert_eq!(echoed(&world, template).await, "hé");

    let make = prepare(include_str!("fixtures/make_wheel.py"), &[]).await.unwrap();
    let mut made = make.process;
    made.args.push(links.into());
    let finished = world.supervisor.run(&Cx::detached(), made, Duration::from_secs(20), |_| ()).await.unwrap();
    assert!(finished.exit.success(), "{}", finished.tail);

    let code = "import greeting, sys; print(greeting.__cached__, greeting.hello('é'), sys.flags.dev_mode)";
    let prepared = prepare(code, &["Greeting ^1.0"]).await.unwrap();
    let lock = prepared.lock.as_deref().unwrap();
    assert!(lock.starts_with("greeting==1.0 \\\n    --hash=sha256:"), "{lock}");
    let output = String::from_utf8(world.run(&prepared).await.stdout).unwrap();
    let compiled = output.split(' ').next().unwrap();
    assert!(output.contains("hello é"), "{output}");
    assert_eq!(std::fs::read(compiled).unwrap()[4], 1, "byte-code is never checked against its source");

    let missing = prepare("", &["greeting==2.0"]).await.unwrap_err();
    assert!(missing.to_string().contains("greeting==2.0") && missing.hint.is_some(), "{missing:?}");
}

/// What the tool `echo` of a template answers to `hé`.
async fn echoed(world: &World, prepared: Prepared) -> String {
    let mut child = world.supervisor.spawn(prepared.process).await.unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"message": "hé"}}});
    child.stdin.write_all(format!("{call}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout).read_line(&mut line).await.unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["id"], 7);
    answer["result"]["content"][0]["text"].as_str().unwrap().to_string()
}

async fn started(world: &World, installations: usize) {
    while world.lines("cache/packages/shell/installations") < installations {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Removal goes on in the background for a moment after a drop.
async fn gone(world: &World) {
    let removed = async {
        while world.attempts() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), removed).await.expect("the partial environment is removed");
}
