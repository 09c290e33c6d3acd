use std::{any::Any, collections::BTreeMap, fmt, net::TcpListener, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a process and everything below it may reach, and how much they may use. It is in force before the first
/// instruction of the program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Confinement {
    /// What happens where this machine cannot enforce all of it.
    pub strictness: Strictness,
    /// Folders and files that it may read and execute, beside what every program of the system needs.
    pub read: Vec<PathBuf>,
    /// Folders that it may read and write.
    pub write: Vec<PathBuf>,
    /// Where it may connect to.
    pub egress: Egress,
    /// How much it may use.
    pub caps: Caps,
}

/// What happens where a machine cannot enforce everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// The process is started all the same, and [`Enforced`] says what is missing.
    #[default]
    BestEffort,
    /// It is not started.
    Require,
}

/// Where a process may connect to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// Nowhere.
    #[default]
    None,
    /// To a gate of its own alone, behind which the host decides. Nobody can be asked for names.
    Gate(Gate),
    /// Everywhere.
    All,
}

/// The one address that a process can connect to: a listening socket inside its own network, which is handed out to the
/// host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Environment variables that tell the process where it is: `{gate}` in a value becomes `ADDRESS:PORT`.
    pub variables: BTreeMap<String, String>,
    /// Who serves it: nobody by default, and whoever comes is hung up on.
    #[serde(skip)]
    pub keeper: Gatekeeper,
}

/// Takes the listening socket of a gate, which does not block; what it answers is kept until the process has ended, and
/// dropped then. Called within the runtime that starts processes.
#[derive(Clone)]
pub struct Gatekeeper(pub Arc<dyn Fn(TcpListener) -> Box<dyn Any + Send + Sync> + Send + Sync>);

/// How much a process and everything below it may use together; what is not set is not bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Caps {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Processor cores.
    pub cpu: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Open files of each process.
    pub files: Option<u64>,
    /// Bytes below the folders that it may write.
    pub disk_bytes: Option<u64>,
}

/// What holds for a process that was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// One for each thing that is confined, such as `files`, `network`, `memory`.
    pub measures: Vec<Measure>,
}

/// A thing that is confined, or should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// `files`, `network`, `sockets`, `signals`, `processes`, `privileges`, `system calls`, `memory`, `process count`,
    /// `processor`, `open files`, `disk`.
    pub what: String,
    /// What sees to it, such as `bubblewrap and landlock`, `seccomp`, `rlimit`, `cgroup`, `watchdog`; none when nothing
    /// does.
    pub by: Option<String>,
    /// How far it goes, where that is less than wholly: `bounded, not capped`.
    pub short_of: Option<String>,
    /// Whether what was promised of it holds all the same; if not, [`Strictness::Require`] refuses.
    pub kept: bool,
}

impl Enforced {
    /// The measures that do not hold what they promise.
    pub fn broken(&self) -> impl Iterator<Item = &Measure> {
        self.measures.iter().filter(|measure| !measure.kept)
    }
}

/// `memory: watchdog (bounded, not capped)`.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match (&self.by, &self.short_of) {
            (None, None) => f.write_str(": not confined"),
            (None, Some(short)) => write!(f, ": not confined ({short})"),
            (Some(by), None) => write!(f, ": {by}"),
            (Some(by), Some(short)) => write!(f, ": {by} ({short})"),
        }
    }
}

impl Default for Gatekeeper {
    /// Hangs up on everybody.
    fn default() -> Self {
        Self(Arc::new(|listener| {
            drop(listener);
            Box::new(())
        }))
    }
}

impl PartialEq for Gatekeeper {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gatekeeper(…)")
    }
}
