//! The content-addressed cache of installed dependencies and of what was built of a server's files, and the way from a
//! plan to something that can be started.
//!
//! An environment is known by its toolchain, its installation steps and its lock. It is built in its final place, since
//! one that is moved no longer runs, under a lock that other hosts respect; what makes it count is written last, so that
//! nothing that was interrupted is ever used.

mod cargo;
mod contents;
mod disk;
mod hosts;
mod lockfile;
mod marker;
mod npmrc;
mod output;
mod placeholders;
mod prune;
mod quota;
mod registry;
mod roof;
mod server;
mod slot;
mod stages;
mod steps;

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use perennial_sdk::{Cx, Description, Error, Plan, Resolve, Result, Toolchain};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    blocking::blocking,
    current::Current,
    supervisor::{ProcessSpec, Supervisor},
};

pub use contents::{Contents, Entry, Kind};
pub use prune::{Prune, Pruned};
pub use registry::Registries;
pub use roof::Roof;
pub use slot::Guard;

use placeholders::Placeholders;
use slot::{About, Slot};
use steps::{Phase, Steps};

/// Counts the changes that make older environments unusable.
const FORMAT: u32 = 1;

/// Where the progress of a server that only needs to be started stands, and what it comes to.
pub const STARTING: (f64, f64) = (Phase::Building.span().1, Phase::ALL);

/// Carries out plans. One for the whole host; several hosts may share `cache_dir`.
#[derive(Debug)]
pub struct Environments {
    supervisor: Arc<Supervisor>,
    cache_dir: PathBuf,
    registries: Current<Registries>,
    quota: Current<Quota>,
    roof: Current<Roof>,
}

/// How much of the disk environments may take.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    /// Bytes of the whole cache: above it what was not used for longest is removed after a build.
    pub all: u64,
    /// Bytes of one environment: one that grows above it is given up.
    pub each: u64,
}

/// A server that only needs to be started.
#[derive(Debug)]
pub struct Prepared {
    /// The command; values of granted variables are to be added to its environment.
    pub process: ProcessSpec,
    /// What the dependencies were resolved to; none without dependencies.
    pub lock: Option<String>,
    /// Keeps the environment from being removed: hold it while the server runs.
    pub environment: Option<Guard>,
    /// The same for the server's files, where the plan keeps them.
    pub kept: Option<Guard>,
    /// Folders that the server must be able to read and execute: its programs, its environment, its own files.
    pub read: Vec<PathBuf>,
    /// Folders that it must be able to write.
    pub write: Vec<PathBuf>,
    /// Whether an environment had to be built for it.
    pub built: bool,
}

/// What a plan is carried out with.
struct Job<'a> {
    cx: &'a Cx,
    runtime_id: &'a str,
    description: &'a Description,
    toolchain: &'a Toolchain,
    missing: Option<&'a Error>,
}

impl Environments {
    /// Keeps environments, locks and package caches below `cache_dir`.
    pub fn new(supervisor: Arc<Supervisor>, cache_dir: PathBuf) -> Self {
        let cache_dir = std::path::absolute(&cache_dir).unwrap_or(cache_dir);
        let quota = Current::new(Quota { all: u64::MAX, each: u64::MAX });
        Self {
            supervisor,
            cache_dir,
            registries: Current::new(Registries::of_this_process()),
            quota,
            roof: Current::default(),
        }
    }

    /// Keeps the cache within these bounds; without any it grows for ever.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        self.quota.replace(quota);
        self
    }

    /// Uses these mirrors and proxies instead of those that this process' environment names.
    #[must_use]
    pub fn with_registries(self, registries: Registries) -> Self {
        self.registries.replace(registries);
        self
    }

    /// Confines the steps of plans like this; without it as far as the machine can, and nobody is told of a file.
    #[must_use]
    pub fn under(self, roof: Roof) -> Self {
        self.roof.replace(roof);
        self
    }

    /// Uses these from the next step of an installation on.
    pub fn change(&self, registries: Registries, quota: Quota, roof: Roof) {
        self.registries.replace(registries);
        self.quota.replace(quota);
        self.roof.replace(roof);
    }

    /// The registries in use.
    pub fn registries(&self) -> Arc<Registries> {
        self.registries.get()
    }

    /// Installs the dependencies of a plan unless they are there, writes the server's files into `server_dir`, which
    /// should be new, and runs the build steps. With `lock` nothing is resolved, and nothing touches the network while
    /// the environment is there. `missing` says which of the programs is no longer there: that is the error if one is
    /// needed.
    ///
    /// # Errors
    /// `unavailable` or `invalid` when a step fails, with the last lines of its output as a cause and as `data.tail`, or
    /// as `data.log` when it is the server's own code that does not build; `timeout` and `cancelled`. Nothing half-made
    /// counts, and what was made is removed.
    #[expect(clippy::too_many_arguments, reason = "each is a fact that only the launch knows")]
    pub async fn prepare(
        &self,
        cx: &Cx,
        runtime_id: &str,
        description: &Description,
        toolchain: &Toolchain,
        missing: Option<&Error>,
        plan: &Plan,
        lock: Option<&str>,
        server_dir: &Path,
        state_dir: &Path,
    ) -> Result<Prepared> {
        let job = Job { cx, runtime_id, description, toolchain, missing };
        let lock = match &plan.environment {
            Some(environment) => Some(match lock.filter(|_| !plan.resolve_again) {
                Some(lock) => lock.to_string(),
                None => self.resolve(&job, &environment.requirements, &environment.resolve).await?,
            }),
            None => None,
        };
        let mut ready = Ready::default();
        let mut kept = None;
        if plan.keep {
            let (guard, environment) = self.kept(&job, plan, lock.as_deref()).await?;
            (ready, kept) = (environment, Some(guard));
        }
        if plan.keep && !runs_in_environment(plan) {
            ready.guard = None;
        } else if ready.guard.is_none() {
            ready = self.environment(&job, plan, lock.as_deref()).await?;
        }
        let mut places = Placeholders::new(toolchain)?;
        places.set("state", state_dir)?;
        server::make_state(state_dir).await?;
        let server_dir = kept.as_ref().map_or(server_dir, Guard::root);
        if plan.keep {
            places.set("server", server_dir)?;
        } else {
            self.build(&job, plan, ready.guard.as_ref(), server_dir, &mut places).await?;
        }
        if let Some(guard) = &ready.guard {
            places.set("env", guard.root())?;
        }
        let process = server::process(plan, &places, state_dir)?;
        if let Some(missing) = missing.filter(|_| !process.program.is_file()) {
            return Err(missing.clone());
        }
        let mut read: Vec<PathBuf> = roof::folders_of(toolchain).collect();
        read.extend(ready.guard.as_ref().map(|guard| guard.root().to_path_buf()));
        // in an environment it is often a link to an interpreter elsewhere
        read.extend(process.program.canonicalize());
        read.push(server_dir.to_path_buf());
        for path in &plan.read {
            read.push(places.expand(path)?.into());
        }
        Ok(Prepared {
            process,
            lock,
            environment: ready.guard,
            kept,
            read: roof::outermost(read),
            write: vec![state_dir.to_path_buf()],
            built: ready.built,
        })
    }

    /// The folder of a server whose plan keeps it, and the environment if it was needed to build that.
    async fn kept(&self, job: &Job<'_>, plan: &Plan, lock: Option<&str>) -> Result<(Guard, Ready)> {
        let install: Vec<_> =
            plan.environment.iter().flat_map(|made| &made.install).map(|step| &step.command).collect();
        let key = key(job, &json!([plan.files, plan.build, install, lock]));
        let slot = Slot::new(self.cache_dir.join("builds").join(key));
        loop {
            if let Some(guard) = slot.open(job.cx).await? {
                return Ok((guard, Ready::default()));
            }
            let ready = self.environment(job, plan, lock).await?;
            let Some(building) = slot.build(job.cx).await? else { continue };
            let requirements = plan.environment.iter().flat_map(|environment| environment.requirements.lines());
            let about = About {
                runtime: job.runtime_id.into(),
                requirements: requirements.map(str::to_owned).collect(),
                bytes: 0,
            };
            let building = building.described(about, self.quota.get().each);
            let mut places = Placeholders::new(job.toolchain)?;
            self.build(job, plan, ready.guard.as_ref(), building.root(), &mut places).await?;
            if let Some(guard) = building.finish().await? {
                self.trim();
                return Ok((guard, ready));
            }
        }
    }

    /// Writes a server's files and runs the steps that make something of them.
    async fn build(
        &self,
        job: &Job<'_>,
        plan: &Plan,
        environment: Option<&Guard>,
        server_dir: &Path,
        places: &mut Placeholders,
    ) -> Result<()> {
        places.set("server", server_dir)?;
        if let Some(guard) = environment {
            places.set("env", guard.root())?;
        }
        server::write(server_dir, &plan.files).await?;
        server::link(server_dir, plan, places).await?;
        if plan.build.is_empty() {
            return Ok(());
        }
        let work = self.scratch().await?;
        places.set("work", work.path())?;
        let packages = self.package_cache(job.cx, job.runtime_id).await?;
        places.set("cache", &packages.folder)?;
        self.steps(job, Phase::Building).run(&plan.build, places, work.path()).await?;
        places.unset("work");
        Ok(())
    }

    /// The environment of a plan; nothing, when it has none.
    async fn environment(&self, job: &Job<'_>, plan: &Plan, lock: Option<&str>) -> Result<Ready> {
        let (Some(environment), Some(lock)) = (&plan.environment, lock) else { return Ok(Ready::default()) };
        // Not the files of the steps: a script that was corrected installs the same.
        let commands: Vec<_> = environment.install.iter().map(|step| &step.command).collect();
        let key = key(job, &json!([commands, lock]));
        let slot = Slot::new(self.cache_dir.join("environments").join(key));
        loop {
            if let Some(guard) = slot.open(job.cx).await? {
                return Ok(Ready { guard: Some(guard), built: false });
            }
            let Some(building) = slot.build(job.cx).await? else { continue };
            let about = About {
                runtime: job.runtime_id.into(),
                requirements: environment.requirements.lines().map(str::to_owned).collect(),
                bytes: 0,
            };
            let building = building.described(about, self.quota.get().each);
            let work = self.scratch().await?;
            // some installers insist on the name
            let name = environment.resolve.output.rsplit('/').next().unwrap_or("lock");
            let lock_file = work.path().join(name);
            write_text(&lock_file, lock).await?;
            let mut places = Placeholders::new(job.toolchain)?;
            places.set("env", building.root())?;
            places.set("lock", &lock_file)?;
            places.set("work", work.path())?;
            let packages = self.package_cache(job.cx, job.runtime_id).await?;
            places.set("cache", &packages.folder)?;
            let install = async |cx: &Cx| {
                let job = Job { cx, ..*job };
                self.steps(&job, Phase::Installing).run(&environment.install, &places, work.path()).await
            };
            quota::within(job.cx, building.root(), self.quota.get().each, install).await?;
            drop(packages);
            if let Some(guard) = building.finish().await? {
                self.trim();
                return Ok(Ready { guard: Some(guard), built: true });
            }
        }
    }

    /// The lock of these requirements, from the memo when they were resolved before.
    async fn resolve(&self, job: &Job<'_>, requirements: &str, resolve: &Resolve) -> Result<String> {
        // one package manager cannot read the other's
        let key = key(job, &json!([requirements, resolve.output]));
        let folder = self.cache_dir.join("locks");
        let memo = folder.join(format!("{key}.lock"));
        if let Some(lock) = read_text(&memo).await? {
            return Ok(lock);
        }
        let _alone =
            lockfile::exclusive(job.cx, Phase::Resolving.span().0, &folder.join(format!("{key}.guard"))).await?;
        if let Some(lock) = read_text(&memo).await? {
            return Ok(lock);
        }
        let work = self.scratch().await?;
        let mut places = Placeholders::new(job.toolchain)?;
        places.set("work", work.path())?;
        let packages = self.package_cache(job.cx, job.runtime_id).await?;
        places.set("cache", &packages.folder)?;
        self.steps(job, Phase::Resolving).run(&resolve.steps, &places, work.path()).await?;
        let output = PathBuf::from(places.expand(&resolve.output)?);
        let lock = read_text(&output)
            .await?
            .ok_or_else(|| Error::internal(format!("the `{}` runtime's steps wrote no lock", job.runtime_id)))?;
        write_text(&memo, &lock).await?;
        Ok(lock)
    }

    fn steps<'a>(&'a self, job: &'a Job<'a>, phase: Phase) -> Steps<'a> {
        Steps {
            supervisor: &self.supervisor,
            registries: self.registries.get(),
            roof: self.roof.get(),
            toolchain: job.toolchain,
            cx: job.cx,
            runtime_id: job.runtime_id,
            description: job.description,
            missing: job.missing,
            phase,
        }
    }

    async fn scratch(&self) -> Result<tempfile::TempDir> {
        let folder = self.cache_dir.join("work");
        blocking(move || {
            std::fs::create_dir_all(&folder)?;
            server::sweep(&folder);
            Ok(tempfile::TempDir::new_in(folder)?)
        })
        .await
    }

    async fn package_cache(&self, cx: &Cx, runtime_id: &str) -> Result<PackageCache> {
        let place = contents::packages(&self.cache_dir, runtime_id);
        let shared = lockfile::shared(cx, Phase::Resolving.span().0, &place.guard).await?;
        let _ = shared.set_modified(SystemTime::now());
        let folder = place.folder;
        blocking(move || {
            std::fs::create_dir_all(&folder)?;
            Ok(PackageCache { folder, _shared: shared })
        })
        .await
    }

    /// Removes what installations left behind that were interrupted, such as by the end of a host before this one.
    pub async fn sweep(&self) {
        let contents = Contents::of(&self.cache_dir);
        let _ = tokio::task::spawn_blocking(move || contents.sweep()).await;
    }

    /// Sees to it, after a build and behind everybody's back, that the cache does not outgrow its bounds.
    fn trim(&self) {
        let (contents, most_bytes) = (Contents::of(&self.cache_dir), self.quota.get().all);
        if most_bytes < u64::MAX {
            tokio::task::spawn_blocking(move || contents.trim(most_bytes));
        }
    }
}

/// What an ecosystem's own tools downloaded, kept from being removed while one of them runs.
struct PackageCache {
    folder: PathBuf,
    _shared: File,
}

#[derive(Default)]
struct Ready {
    guard: Option<Guard>,
    built: bool,
}

/// Whether the server needs the environment when it is built.
fn runs_in_environment(plan: &Plan) -> bool {
    let texts = [&plan.run.program].into_iter().chain(&plan.run.args).chain(plan.run.env.values()).chain(&plan.read);
    texts.into_iter().any(|text| text.contains("{env}"))
}

/// What must be equal for two environments, or two resolutions, to be the same. Of the programs only those count that are
/// required: a newer installer installs the same.
fn key(job: &Job<'_>, rest: &serde_json::Value) -> String {
    let required = job.description.programs.iter().filter(|program| program.required);
    let identity: BTreeMap<_, _> = required
        .filter_map(|program| {
            let tool = job.toolchain.tool(&program.name)?;
            Some((&program.name, (&tool.path, &tool.version, tool.facts.get("said"))))
        })
        .collect();
    let material = json!([FORMAT, job.runtime_id, job.toolchain.platform, identity, rest]).to_string();
    Sha256::digest(material).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

async fn read_text(path: &Path) -> Result<Option<String>> {
    let path = path.to_path_buf();
    blocking(move || match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error).context(format!("failed to read `{}`", path.display()))),
    })
    .await
}

/// Writes a file whole or not at all.
async fn write_text(path: &Path, text: &str) -> Result<()> {
    let (path, text) = (path.to_path_buf(), text.to_string());
    blocking(move || {
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        write_file(&path, &text)
    })
    .await
}

/// [`write_text`], into a folder that is there.
fn write_file(path: &Path, text: &str) -> Result<()> {
    let temporary = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(temporary.path(), text)?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}
