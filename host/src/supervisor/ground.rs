//! What this machine has to confine processes with: found out when it is first needed, by trying.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use perennial_sdk::Cx;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{
    Caps, Confinement, Egress, ExitCause, Gate, ProcessSpec, Supervisor, leftovers::boot_id, lifeline::Stdin, sandbox,
};

/// How long a trial may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where bubblewrap is when `PATH` does not say so.
const USUAL: [&str; 3] = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap"];

/// What the sidecar may use of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ground {
    /// Makes namespaces; none where it is missing or may not.
    pub(super) bubblewrap: Option<sandbox::Bubblewrap>,
    /// Why there is none.
    pub(super) without: Option<String>,
    /// The newest ABI of Landlock to be used; none for all that is known, 0 for none at all.
    pub(super) landlock: Option<i32>,
    /// A folder of cgroups below which others can be made.
    pub(super) cgroup: Option<PathBuf>,
}

/// What was found out, for as long as nothing changes that it depends on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Memo {
    /// [`Memo::FORM`].
    form: u32,
    boot: String,
    user: u32,
    /// Device, inode, size and time of change of the program.
    identity: (u64, u64, u64, i64),
    bubblewrap: sandbox::Bubblewrap,
}

impl Ground {
    /// Tries what is there; remembers in `supervisor`'s folder what worked.
    pub(super) async fn explore(supervisor: &Arc<Supervisor>) -> Self {
        let cgroup = tokio::task::spawn_blocking(sandbox::delegated).await.ok().flatten();
        let bare = Self { cgroup, ..Self::default() };
        let Some(program) = find() else {
            return Self { without: Some("`bwrap` (bubblewrap) is not installed".into()), ..bare };
        };
        let memo = supervisor.memo();
        if let Some(bubblewrap) = Memo::read(&memo, &program) {
            return Self { bubblewrap: Some(bubblewrap), ..bare };
        }
        match trial(supervisor, &program).await {
            Ok(bubblewrap) => {
                Memo::write(&memo, &bubblewrap);
                Self { bubblewrap: Some(bubblewrap), ..bare }
            }
            Err(reason) => Self { without: Some(reason), ..bare },
        }
    }
}

fn find() -> Option<PathBuf> {
    which::which("bwrap").ok().or_else(|| USUAL.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Runs bubblewrap itself confined by bubblewrap, in the way in which everything else will be.
async fn trial(supervisor: &Arc<Supervisor>, program: &Path) -> Result<sandbox::Bubblewrap, String> {
    let spec = |argument: &str| ProcessSpec {
        label: "bubblewrap".into(),
        program: program.into(),
        args: vec![argument.into()],
        cwd: "/".into(),
        ..ProcessSpec::default()
    };
    let help = supervisor.run(&Cx::detached(), spec("--help"), PATIENCE, |_| ()).await.map_err(|e| e.message)?;
    let sized = String::from_utf8_lossy(&help.stdout).contains("--size");
    let root = rustix::process::geteuid().is_root();
    let mut failed = String::new();
    // Root needs no user namespace where it may do what root can; others need one.
    for users in if root { vec![false, true] } else { vec![true] } {
        let bubblewrap = sandbox::Bubblewrap { program: program.into(), users, sized };
        let egress = Egress::Gate(Gate::default());
        let confinement =
            Confinement { read: vec![program.into()], egress, caps: Caps::default(), ..Confinement::default() };
        let spec = ProcessSpec { confinement: Some(confinement), ..spec("--version") };
        let ground = Ground { bubblewrap: Some(bubblewrap.clone()), ..Ground::default() };
        match ended(supervisor, spec, ground).await {
            Ok(()) => return Ok(bubblewrap),
            Err(reason) => failed = reason,
        }
    }
    Err(failed)
}

async fn ended(supervisor: &Arc<Supervisor>, spec: ProcessSpec, ground: Ground) -> Result<(), String> {
    let started = supervisor.start_on(spec, Stdin::Null, ground).await.map_err(|error| error.message)?;
    let process = started.process;
    started.watch.spawn(None);
    match timeout(PATIENCE, process.exited()).await.map(|exit| exit.cause) {
        Ok(ExitCause::Exited(0)) => Ok(()),
        Ok(cause) => Err(format!("`bwrap` {cause}")),
        Err(_) => Err("`bwrap` does not come to an end".into()),
    }
}

impl Memo {
    /// Changes with what is asked of bubblewrap.
    const FORM: u32 = 2;

    fn read(file: &Path, program: &Path) -> Option<sandbox::Bubblewrap> {
        let memo: Self = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let bubblewrap = memo.bubblewrap.clone();
        (bubblewrap.program == program && Self::now(bubblewrap.clone()).ok()? == memo).then_some(bubblewrap)
    }

    /// One that cannot be kept is found out again.
    fn write(file: &Path, bubblewrap: &sandbox::Bubblewrap) {
        let written = Self::now(bubblewrap.clone()).and_then(|memo| {
            let folder = file.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut draft = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut draft, &memo)?;
            draft.persist(file)?;
            Ok(())
        });
        if let Err(error) = written {
            tracing::debug!(file = %file.display(), %error, "what was found out of this machine is not kept");
        }
    }

    fn now(bubblewrap: sandbox::Bubblewrap) -> io::Result<Self> {
        let program = fs::metadata(&bubblewrap.program)?;
        let identity = (program.dev(), program.ino(), program.size(), program.ctime());
        Ok(Self { form: Self::FORM, boot: boot_id(), user: rustix::process::geteuid().as_raw(), identity, bubblewrap })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_holds_until_the_program_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (program, file) = (folder.path().join("bwrap"), folder.path().join("state/sandbox.json"));
        fs::write(&program, "one").unwrap();
        let found = sandbox::Bubblewrap { program: program.clone(), users: true, sized: false };
        Memo::write(&file, &found);
        assert_eq!(Memo::read(&file, &program), Some(found));
        assert_eq!(Memo::read(&file, Path::new("/elsewhere/bwrap")), None);
        fs::write(&program, "another").unwrap();
        assert_eq!(Memo::read(&file, &program), None);
        fs::write(&file, "{").unwrap();
        assert_eq!(Memo::read(&file, &program), None);
    }
}
