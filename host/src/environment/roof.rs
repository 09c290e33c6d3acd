//! What the steps of a plan may reach: the same roof as servers live under, with the registry's hosts for those steps that
//! fetch.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use perennial_sdk::{Result, Step, Toolchain};

use super::{Registries, placeholders::Placeholders};
use crate::{
    egress::{Gates, Reach, Rule, Rules, Traffic, Whose},
    supervisor::{Caps, Confinement, Egress, Strictness},
};

/// How much all processes of a step may use: compilers take a lot, but nothing may take the machine.
const CAPS: Caps = Caps { memory_bytes: Some(8 << 30), cpu: None, pids: Some(2048), files: None, disk_bytes: None };

/// How the steps of plans are confined.
#[derive(Debug, Clone)]
pub struct Roof {
    /// How strictly; none when the operator wants no confinement.
    pub strictness: Option<Strictness>,
    /// Serves the gates of steps that fetch.
    pub gates: Arc<Gates>,
    /// The configuration, for what is said of a host that is denied.
    pub file: Option<PathBuf>,
}

/// A step's confinement, and what goes through its gate.
#[derive(Default)]
pub(super) struct Confined {
    pub(super) confinement: Option<Confinement>,
    pub(super) traffic: Option<Arc<Traffic>>,
}

impl Default for Roof {
    fn default() -> Self {
        Self { strictness: Some(Strictness::BestEffort), gates: Gates::new(), file: None }
    }
}

impl Roof {
    /// The confinement of a step that has `environment` and works in `work`.
    pub(super) fn over(
        &self,
        step: &Step,
        registries: &Registries,
        toolchain: &Toolchain,
        environment: &BTreeMap<String, String>,
        places: &Placeholders,
        work: &Path,
    ) -> Result<Confined> {
        let Some(strictness) = self.strictness else { return Ok(Confined::default()) };
        let mut read: BTreeSet<PathBuf> = folders_of(toolchain).collect();
        read.extend(places.folders(&["env", "server"]));
        let mut write = BTreeSet::from([work.to_path_buf()]);
        for folder in &step.writes {
            write.insert(places.expand(folder)?.into());
        }
        let (mut egress, mut traffic) = (Egress::None, None);
        if let Some(registry) = &step.network {
            read.extend(files_in(environment.values().map(String::as_str)));
            read.extend(registries.files(registry).iter().flat_map(|file| files_in(file.contents.split(['"', '\'']))));
            let places = registries.places(registry).into_iter();
            let allowed = places.map(|endpoint| Rule { endpoint, reach: Reach::Private }).collect();
            let rules = Rules { allowed, of: Whose::Installer(self.file.clone()) };
            let through = Traffic::new(rules, Arc::new(registries.upstream(registry)));
            egress = Egress::Gate(self.gates.gate(&through)?);
            traffic = Some(through);
        }
        let read = read.into_iter().filter(|path| !write.iter().any(|folder| path.starts_with(folder)));
        let read = outermost(read);
        let confinement = Confinement { strictness, read, write: write.into_iter().collect(), egress, caps: CAPS };
        Ok(Confined { confinement: Some(confinement), traffic })
    }
}

/// What the programs of a toolchain need to read: their roots, themselves, and for one that is a script of a package all of
/// the package.
pub(super) fn folders_of(toolchain: &Toolchain) -> impl Iterator<Item = PathBuf> {
    toolchain.tools.values().flat_map(|tool| {
        let own = [Some(tool.path.clone()), package(&tool.path)];
        tool.roots.iter().cloned().chain(own.into_iter().flatten())
    })
}

/// Paths without those that are below others.
pub(super) fn outermost(paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut sorted: Vec<PathBuf> = paths.into_iter().collect();
    // by their parts, so that what is below a path follows it
    sorted.sort();
    let mut outer: Vec<PathBuf> = Vec::new();
    for path in sorted {
        if outer.last().is_none_or(|last| !path.starts_with(last)) {
            outer.push(path);
        }
    }
    outer
}

/// The folder of the package that a file belongs to: `…/node_modules/npm`, `…/node_modules/@scope/name`.
fn package(file: &Path) -> Option<PathBuf> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let folders: Vec<&Path> = file.ancestors().skip(1).collect();
    let modules = folders.iter().position(|folder| name(folder).as_deref() == Some("node_modules"))?;
    let is_scope = name(folders.get(modules.checked_sub(1)?)?).is_some_and(|name| name.starts_with('@'));
    folders.get(modules.checked_sub(if is_scope { 2 } else { 1 })?).map(|folder| folder.to_path_buf())
}

/// The files and folders of the machine that settings name: certificates, folders of packages, local mirrors.
pub(super) fn files_in<'a>(settings: impl Iterator<Item = &'a str>) -> Vec<PathBuf> {
    let parts = settings.flat_map(|value| value.split([',', ' ', '\n']).chain([value]));
    let paths = parts.map(|part| part.trim().trim_start_matches("sparse+").trim_start_matches("file://"));
    // the root, or a word that happens to be a folder, is nothing that anybody meant
    let paths = paths.map(PathBuf::from).filter(|path| path.is_absolute() && path.components().count() > 2);
    // nor is a device, such as the one that stands for no file of settings
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.is_file() || path.is_dir()).collect();
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use perennial_sdk::{CommandLine, Stage, Tool};

    use super::*;

    fn over(step: &Step, registries: &Registries) -> Confined {
        let tool = |path: &str, roots: &[&str]| Tool {
            path: path.into(),
            roots: roots.iter().map(PathBuf::from).collect(),
            ..Tool::default()
        };
        let tools = [
            ("python", tool("/opt/python/bin/python3", &["/opt/python"])),
            ("uv", tool("/home/me/.local/bin/uv", &[])),
        ];
        let toolchain = Toolchain {
            tools: tools.into_iter().map(|(name, tool)| (name.to_owned(), tool)).collect(),
            platform: "linux-x86_64-gnu".into(),
        };
        let mut places = Placeholders::new(&toolchain).unwrap();
        for (name, path) in [("cache", "/cache/p"), ("env", "/cache/e"), ("work", "/cache/w")] {
            places.set(name, Path::new(path)).unwrap();
        }
        let environment = registries.environment("pypi");
        Roof::default().over(step, registries, &toolchain, &environment, &places, Path::new("/cache/w")).unwrap()
    }

    #[test]
    fn a_step_reads_its_programs_and_writes_what_it_declares() {
        let step = Step::new(Stage::Installing, CommandLine::new("{uv}"), 1).writing("{env}");
        let confined = over(&step, &Registries::default());
        let confinement = confined.confinement.unwrap();
        let paths = |all: &[PathBuf]| all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(paths(&confinement.read), ["/home/me/.local/bin/uv", "/opt/python"]);
        assert_eq!(paths(&confinement.write), ["/cache/e", "/cache/p", "/cache/w"]);
        assert_eq!(confinement.egress, Egress::None);
        assert!(confined.traffic.is_none());
    }

    #[test]
    fn a_step_that_fetches_reaches_its_registry_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (ca, wheels) = (folder.path().join("ca.pem"), folder.path().join("wheels"));
        std::fs::write(&ca, "").unwrap();
        std::fs::create_dir(&wheels).unwrap();
        let variables = [
            ("PIP_INDEX_URL", "https://me:s3cret@mirror.corp:8443/simple".to_owned()),
            ("PIP_FIND_LINKS", wheels.display().to_string()),
            ("SSL_CERT_FILE", ca.display().to_string()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let registries = Registries::of(variables.into_iter().chain([("PIP_CONFIG_FILE".into(), "/dev/null".into())]));
        let registries = registries.hosts(["files.corp:443".parse().unwrap()]);
        let step = Step::new(Stage::Installing, CommandLine::new("{uv}"), 1).with_registry("pypi");
        let confined = over(&step, &registries);
        let confinement = confined.confinement.unwrap();
        assert!(confinement.read.contains(&ca) && confinement.read.contains(&wheels), "{:?}", confinement.read);
        let Egress::Gate(gate) = confinement.egress else { panic!("no gate") };
        assert!(gate.variables["HTTPS_PROXY"].ends_with("@{gate}"));
        let rules = &confined.traffic.unwrap().rules;
        let places: Vec<_> = rules.allowed.iter().map(|rule| rule.endpoint.to_string()).collect();
        assert_eq!(places, ["files.corp:443", "files.pythonhosted.org:443", "mirror.corp:8443", "pypi.org:443"]);
    }

    #[test]
    fn a_script_comes_with_its_package() {
        for (script, folder) in [
            ("/home/me/.nvm/v20/lib/node_modules/npm/bin/npm-cli.js", Some("/home/me/.nvm/v20/lib/node_modules/npm")),
            ("/opt/node_modules/@pnpm/exe/pnpm", Some("/opt/node_modules/@pnpm/exe")),
            ("/a/node_modules/x/node_modules/pnpm/bin/pnpm.cjs", Some("/a/node_modules/x/node_modules/pnpm")),
            ("/a/node_modules/script.js", None),
            ("/usr/bin/uv", None),
        ] {
            assert_eq!(package(Path::new(script)).as_deref(), folder.map(Path::new), "{script}");
        }
    }

    #[test]
    fn settings_lead_to_files_and_folders_and_to_no_device() {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("/dev/null /nowhere/at/all / words,file://{}", folder.path().display());
        assert_eq!(files_in([settings.as_str()].into_iter()), [folder.path()]);
    }

    #[test]
    fn without_a_sandbox_there_is_nothing_to_say() {
        let roof = Roof { strictness: None, ..Roof::default() };
        let step = Step::new(Stage::Installing, CommandLine::new("{uv}"), 1).with_registry("pypi");
        let places = Placeholders::new(&Toolchain::default()).unwrap();
        let over =
            roof.over(&step, &Registries::default(), &Toolchain::default(), &BTreeMap::new(), &places, Path::new("/w"));
        assert_eq!(over.unwrap().confinement, None);
    }
}
