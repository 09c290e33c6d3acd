//! What a host leaves behind when it is killed together with its sidecars, and how the next one finds it.
//!
//! A file per host, `running/MARK.json`: a line about the host and one for each sidecar. The host holds a lock on it for
//! life. The mark is random and in the environment of everything below a sidecar, so that a process is known for sure; a
//! sidecar is known by pid and start time as well, within one boot.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, getpid};
use serde::{Deserialize, Serialize};

use super::{ProcessSpec, orphans, tree};

/// How long a sweep goes on killing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Lines after which the ones about ended sidecars are dropped.
const LONG: usize = 512;

#[derive(Debug)]
pub(super) struct Leftovers {
    folder: PathBuf,
    mark: String,
    file: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    lines: usize,
}

/// The first line of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Host {
    boot: String,
    #[serde(flatten)]
    identity: Identity,
}

/// A process, for as long as the machine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    started: u64,
}

impl Leftovers {
    pub(super) fn new(state_dir: PathBuf) -> Self {
        let mark = uuid::Uuid::new_v4().simple().to_string();
        Self { folder: state_dir.join("running"), mark, file: Mutex::default() }
    }

    /// What everything that this host starts has in its environment.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// Beside the records, for what else is known of this machine.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.with_file_name(name)
    }

    /// Writes down a sidecar that was just started. Without a place to write, a start is worth more than its record.
    pub(super) fn record(&self, pid: u32) {
        let Some(identity) = Identity::of(pid.cast_signed()) else { return };
        let mut file = self.lock();
        let done = match &mut *file {
            Some(open) if open.lines < LONG => open.append(identity),
            _ => self.create(identity).map(|open| *file = Some(open)),
        };
        if let Err(error) = done {
            tracing::warn!(folder = %self.folder.display(), %error, "running processes are not recorded");
        }
    }

    /// Removes this host's file: nothing runs any more.
    pub(super) fn forget(&self) {
        if self.lock().take().is_some() {
            let _ = fs::remove_file(self.path());
        }
    }

    /// Kills what dead hosts left, removes their files, and answers how many processes that were.
    pub(super) fn sweep(&self) -> usize {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let foreign = files.filter(|path| path.extension().is_some_and(|kind| kind == "json") && *path != self.path());
        foreign.map(|path| sweep_one(&path).unwrap_or(0)).sum()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.mark))
    }

    /// The file is locked before it has its name: a sweep never sees the file of a living host without the lock.
    fn create(&self, newest: Identity) -> io::Result<Open> {
        fs::create_dir_all(&self.folder)?;
        let host = Identity::of(getpid().as_raw_pid()).ok_or(io::ErrorKind::NotFound)?;
        let mut text = serde_json::to_string(&Host { boot: boot_id(), identity: host })?;
        let sidecars = orphans::live_sidecars().into_iter().filter_map(Identity::of).filter(|one| *one != newest);
        for identity in sidecars.chain([newest]) {
            text.push('\n');
            text.push_str(&serde_json::to_string(&identity)?);
        }
        text.push('\n');
        let draft = self.folder.join(format!("{}.draft", self.mark));
        let mut file = File::create(&draft)?;
        file.try_lock().map_err(io::Error::from)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, self.path())?;
        Ok(Open { file, lines: 0 })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn append(&mut self, identity: Identity) -> io::Result<()> {
        self.lines += 1;
        writeln!(self.file, "{}", serde_json::to_string(&identity)?)
    }
}

impl Identity {
    fn of(pid: i32) -> Option<Self> {
        tree::stat(pid).filter(|stat| !stat.zombie).map(|stat| Self { pid, started: stat.started })
    }

    fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

fn sweep_one(path: &Path) -> io::Result<usize> {
    let file = File::open(path)?;
    if file.try_lock().is_err() {
        return Ok(0);
    }
    let text = io::read_to_string(&file)?;
    let mut lines = text.lines();
    let host: Option<Host> = lines.next().and_then(|line| serde_json::from_str(line).ok());
    let killed = match host {
        Some(host) if host.boot == boot_id() => {
            if host.identity.lives() {
                return Ok(0);
            }
            let sidecars: Vec<Identity> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
            let mark = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            end(mark, &sidecars)
        }
        _ => 0,
    };
    fs::remove_file(path)?;
    Ok(killed)
}

fn end(mark: &str, sidecars: &[Identity]) -> usize {
    let variable = format!("{}={mark}", ProcessSpec::MARK);
    let marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
    };
    let mut killed = Vec::new();
    let patience = Instant::now() + PATIENCE;
    while Instant::now() < patience {
        let known = sidecars.iter().filter(|sidecar| sidecar.lives()).map(|sidecar| sidecar.pid);
        let roots: Vec<i32> = tree::processes().filter(marked).chain(known).collect();
        if roots.is_empty() {
            break;
        }
        for root in roots {
            for pid in tree::descendants(root).into_iter().chain([root]) {
                tree::signal(pid, Signal::KILL);
                if !killed.contains(&pid) {
                    killed.push(pid);
                }
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    killed.len()
}

/// Empty where it cannot be read; pids of another boot are then told by their start times alone.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
