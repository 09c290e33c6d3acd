use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::{places, settle};
use crate::supervisor::{Confinement, Egress, ProcessSpec, wire::Order};

/// The most that a folder in memory may hold, where nothing smaller is asked for: bytes.
const SCRATCH: u64 = 64 << 20;

/// A bubblewrap that was seen to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::supervisor) struct Bubblewrap {
    pub(in crate::supervisor) program: PathBuf,
    /// Whether namespaces have to be made within a user namespace: for whoever is not root, or is but may not.
    pub(in crate::supervisor) users: bool,
    /// Whether it can bound what a folder in memory holds (0.7 and later); without that there is none.
    pub(in crate::supervisor) sized: bool,
}

enum Mount<'a> {
    Processes,
    Devices,
    Scratch,
    Read(&'a Path),
    Write(&'a Path),
}

impl Bubblewrap {
    /// Starts it, with `perennial __enter` as the first process of its namespaces, which speaks through `passage` and gets
    /// the descriptors of the program there.
    pub(in crate::supervisor) fn start(
        &self,
        order: &Order,
        confinement: &Confinement,
        passage: Stdio,
        complaints: Stdio,
        mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Child> {
        // Opened here, since the file may be gone or another by now. As descriptor 1 it is still there when nothing of the
        // old tree of files is; bubblewrap passes the first three on and writes to none but the last.
        let own = File::open("/proc/self/exe")?;
        #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
        let mut command = Command::new(&self.program);
        command
            .args(self.arguments(confinement))
            .args(["--", "/proc/self/fd/1", "__enter"])
            .env_clear()
            .envs(order.env.get_key_value(ProcessSpec::MARK))
            .current_dir("/")
            .stdin(passage)
            .stdout(own)
            .stderr(complaints);
        let caps = confinement.caps;
        #[expect(unsafe_code, reason = "std has no other way to run code between fork and exec")]
        // SAFETY: the sidecar has one thread, so that between fork and exec no lock is held by anybody.
        unsafe {
            command.pre_exec(move || {
                before()?;
                settle(&caps);
                Ok(())
            })
        };
        command.spawn()
    }

    fn arguments(&self, confinement: &Confinement) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1"]
                .map(Into::into)
                .into();
        arguments.push("--die-with-parent".into());
        if confinement.egress != Egress::All {
            arguments.push("--unshare-net".into());
        }
        if self.users {
            arguments.push("--unshare-user".into());
        }
        for (place, mount) in self.mounts(&places::readable(confinement), &places::writable(confinement)) {
            let mut push = |words: &[&std::ffi::OsStr]| arguments.extend(words.iter().map(OsString::from));
            let place = place.as_os_str();
            match mount {
                Mount::Processes => push(&["--proc".as_ref(), place]),
                Mount::Devices => push(&["--dev".as_ref(), place]),
                Mount::Scratch => {
                    let size = scratch(confinement).to_string();
                    push(&["--size".as_ref(), size.as_ref(), "--tmpfs".as_ref(), place]);
                }
                Mount::Read(source) => push(&["--ro-bind-try".as_ref(), source.as_os_str(), place]),
                Mount::Write(source) => push(&["--bind".as_ref(), source.as_os_str(), place]),
            }
        }
        arguments
    }

    /// What is where, outer places before what is inside them.
    fn mounts<'a>(&self, read: &'a [PathBuf], write: &'a [PathBuf]) -> BTreeMap<PathBuf, Mount<'a>> {
        let mut mounts: BTreeMap<PathBuf, Mount<'a>> =
            read.iter().map(|path| (path.clone(), Mount::Read(path))).collect();
        mounts.insert(places::PROCESSES.into(), Mount::Processes);
        mounts.insert("/dev".into(), Mount::Devices);
        if self.sized {
            mounts.extend(places::SCRATCH.map(|path| (path.into(), Mount::Scratch)));
        }
        mounts.extend(write.iter().map(|path| (path.clone(), Mount::Write(path))));
        mounts
    }
}

/// What each folder in memory may hold: it is memory that no limit of a process counts.
fn scratch(confinement: &Confinement) -> u64 {
    let part = |cap: Option<u64>| cap.map_or(SCRATCH, |cap| (cap / 4).clamp(1 << 20, SCRATCH));
    part(confinement.caps.memory_bytes).min(part(confinement.caps.disk_bytes))
}
