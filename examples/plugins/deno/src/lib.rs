//! Servers in TypeScript on Deno, with packages from npm.

use perennial_sdk::prelude::*;

/// A server asks for nothing, fetches nothing and installs nothing. Its variables are those that the host gives it.
const RUN: &str = "run --no-prompt --no-remote --no-lock --node-modules-dir=manual --allow-env --allow-write={state}";

pub struct Deno;

impl Plugin for Deno {
    type Config = NoConfig;

    async fn init(_: NoConfig, _: Home) -> Result<Self> {
        Ok(Deno)
    }
}

impl LanguageRuntime for Deno {
    fn describe(&self) -> Description {
        let deno = Program::new("deno", ["deno"]).place("~/.deno/bin").minimum("2.5").install_hint("see docs.deno.com");
        let language = Language::new("deno", Template::new(include_str!("template.ts")));
        Description::new([language]).program(deno).hint("not a dependency", "add the package to `dependencies`")
    }

    fn plan(&self, _: &Cx, spec: &ServerSpec, _: &Toolchain) -> Result<Plan> {
        let packages = spec.dependencies.packages()?;
        let imports: Value = packages.iter().map(|(name, v)| (name.clone(), format!("npm:{name}@{v}"))).collect();
        let project = json!({ "imports": imports, "nodeModulesDir": "auto" }).to_string();
        let net = match &spec.permissions.network {
            Network::None => "--deny-net".into(),
            Network::Hosts(hosts) => format!("--allow-net={}", hosts.join(",")),
            Network::All => "--allow-net".into(),
        };
        let read = format!("--allow-read={{server}},{{state}}{}", if packages.is_empty() { "" } else { ",{env}" });
        let run = CommandLine::new("{deno}").args(RUN.split(' ')).args([&net, &read, "{server}/main.ts"]);
        let plan = Plan::run(run).file("main.ts", &spec.code).file("deno.json", &project).files(&spec.files);
        if packages.is_empty() {
            return Ok(plan);
        }
        let deno = |args: &str| CommandLine::new("{deno}").args(args.split(' ')).env("DENO_TLS_CA_STORE", "system");
        let step = |stage, args| Step::new(stage, deno(args), 300).with_registry("npm").file("deno.json", &project);
        let resolve = step(Stage::Resolving, "install --lockfile-only");
        let install = step(Stage::Installing, "run -A install.ts {env}").file("install.ts", include_str!("install.ts"));
        let requirements: String = packages.iter().map(|(name, v)| format!("{name}@{v}\n")).collect();
        let environment = Environment::new(requirements, "{work}/deno.lock").resolve(resolve);
        Ok(plan.environment(environment.install(install.writing("{env}"))).link("node_modules", "{env}/node_modules"))
    }
}

export_plugin!(deno, Deno: [runtime]);
