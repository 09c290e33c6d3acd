use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::Pid,
};
use serde::{Deserialize, Serialize};

use super::{files, places, settle};
use crate::supervisor::{Confinement, Egress, ProcessSpec, wire::Order};

/// The most that a folder in memory may hold, where nothing smaller is asked for: bytes.
const SCRATCH: u64 = 64 << 20;

/// Names that shells and programs use for what they were started with.
const STREAMS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// A bubblewrap that was seen to work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::supervisor) struct Bubblewrap {
    pub(in crate::supervisor) program: PathBuf,
    /// Whether namespaces have to be made within a user namespace: for whoever is not root, or is but may not.
    pub(in crate::supervisor) users: bool,
    /// Whether it can bound what a folder in memory holds (0.7 and later); without that there is none.
    pub(in crate::supervisor) sized: bool,
}

/// A bubblewrap at work.
pub(in crate::supervisor) struct Making {
    /// bubblewrap itself, a child of the sidecar.
    pub(in crate::supervisor) outer: Pid,
    /// Readable when there are namespaces, or never will be.
    pub(in crate::supervisor) made: UnixStream,
    /// Ends when everything is where it belongs, and is reset when it never will be.
    pub(in crate::supervisor) mounted: UnixStream,
    /// What the first process ends with.
    pub(in crate::supervisor) lifeline: OwnedFd,
}

/// What is at a place inside. Each mount costs a tenth of a millisecond, so that there are as few as will do.
#[derive(Debug, PartialEq)]
enum Mount {
    Processes,
    Device,
    Scratch,
    Read,
    Write,
    /// A link, as it is outside, or where one of the folders above it is one.
    Link(PathBuf),
}

impl Bubblewrap {
    /// Starts it, with `perennial __init` as the first process of its namespaces.
    pub(in crate::supervisor) fn start(
        &self,
        order: &Order,
        complaints: Stdio,
        mut before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Making> {
        // bubblewrap reads a byte of it when all is mounted, or at most to its end, and closes it then. When it fails before,
        // the byte stays unread, and the other end is reset.
        let (mounted, block) = UnixStream::pair()?;
        (&mounted).write_all(&[0])?;
        mounted.shutdown(Shutdown::Write)?;
        // It writes this one when there are namespaces, and closes it.
        let (made, info) = UnixStream::pair()?;
        // Opened here, since the file may be gone or another by now. As descriptor 1 it is still there when nothing of the
        // old tree of files is; bubblewrap passes the first three on and writes to none but the last.
        let own = File::open("/proc/self/exe")?;
        let (lifeline, held) = io::pipe()?;
        #[expect(clippy::disallowed_methods, reason = "the supervisor is where processes start")]
        let mut command = Command::new(&self.program);
        command
            .args(["--info-fd", &info.as_raw_fd().to_string(), "--block-fd", &block.as_raw_fd().to_string()])
            .args(&order.around)
            .args(["--", "/proc/self/fd/1", "__init"])
            .env_clear()
            .envs(order.env.get_key_value(ProcessSpec::MARK))
            .current_dir("/")
            .stdin(lifeline)
            .stdout(own)
            .stderr(complaints);
        #[expect(unsafe_code, reason = "std has no other way to run code between fork and exec")]
        // SAFETY: the sidecar has one thread, so that between fork and exec no lock is held by anybody.
        unsafe {
            command.pre_exec(move || {
                before()?;
                settle();
                fcntl_setfd(&info, FdFlags::empty())?;
                fcntl_setfd(&block, FdFlags::empty())?;
                Ok(())
            })
        };
        let id = command.spawn()?.id().cast_signed();
        let outer = Pid::from_raw(id).ok_or_else(|| io::Error::other("a process without an id"))?;
        Ok(Making { outer, made, mounted, lifeline: held.into() })
    }

    /// What it is to put around a process. `landlock` says that there will be Landlock, too.
    ///
    /// # Errors
    /// For a path that is not UTF-8.
    pub(in crate::supervisor) fn arguments(
        &self,
        confinement: &Confinement,
        landlock: bool,
    ) -> io::Result<Vec<String>> {
        let mut arguments: Vec<String> =
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
        // With Landlock around what is inside, nobody reads of the settings what is not for everybody.
        let read = if landlock && files::exist() {
            places::readable_and_settings(confinement)
        } else {
            places::readable(confinement)
        };
        let size = scratch(confinement).to_string();
        for (place, mount) in self.mounts(read.into_iter(), places::writable(confinement)) {
            let place = text(&place)?;
            let mut push = |words: &[&str]| arguments.extend(words.iter().map(ToString::to_string));
            match mount {
                Mount::Processes => push(&["--proc", place]),
                Mount::Device => push(&["--dev-bind", place, place]),
                Mount::Scratch => push(&["--size", &size, "--tmpfs", place]),
                Mount::Read => push(&["--ro-bind", place, place]),
                Mount::Write => push(&["--bind", place, place]),
                Mount::Link(target) => push(&["--symlink", text(&target)?, place]),
            }
        }
        for (target, place) in STREAMS {
            arguments.extend(["--symlink", target, place].map(Into::into));
        }
        arguments.extend(["--remount-ro", "/"].map(Into::into));
        Ok(arguments)
    }

    /// What is where, outer places before what is inside them.
    fn mounts(
        &self,
        read: impl Iterator<Item = PathBuf>,
        write: impl IntoIterator<Item = PathBuf>,
    ) -> BTreeMap<PathBuf, Mount> {
        let bound = |path: PathBuf, mount| match fs::canonicalize(&path) {
            Ok(real) if real != path => (path, Mount::Link(real)),
            _ => (path, mount),
        };
        let mut wanted: BTreeMap<PathBuf, Mount> = read.map(|path| (path, Mount::Read)).collect();
        wanted.insert(places::PROCESSES.into(), Mount::Processes);
        wanted.extend(places::DEVICES.map(|path| (path.into(), Mount::Device)));
        if self.sized {
            wanted.extend(places::SCRATCH.map(|path| (path.into(), Mount::Scratch)));
        }
        wanted.extend(write.into_iter().map(|path| (path, Mount::Write)));
        let mut mounts: BTreeMap<PathBuf, Mount> = BTreeMap::new();
        for (place, mount) in wanted {
            let around = place.ancestors().skip(1).find_map(|above| mounts.get(above));
            // Whether it is a link or not, it is seen there: it need not be looked at.
            if matches!((around, &mount), (Some(Mount::Read), Mount::Read)) {
                continue;
            }
            let (place, mount) =
                if matches!(mount, Mount::Read | Mount::Write) { bound(place, mount) } else { (place, mount) };
            let seen = match around {
                Some(Mount::Link(_)) => true,
                Some(Mount::Read) => matches!(mount, Mount::Read | Mount::Link(_)),
                Some(Mount::Write) => matches!(mount, Mount::Write | Mount::Link(_)),
                _ => false,
            };
            if !seen {
                mounts.insert(place, mount);
            }
        }
        mounts
    }
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other(format!("`{}` is not UTF-8", path.display())))
}

/// What each folder in memory may hold: it is memory that no limit of a process counts.
fn scratch(confinement: &Confinement) -> u64 {
    let part = |cap: Option<u64>| cap.map_or(SCRATCH, |cap| (cap / 4).clamp(1 << 20, SCRATCH));
    part(confinement.caps.memory_bytes).min(part(confinement.caps.disk_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outer_places_come_first_and_what_they_show_is_not_mounted_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["runtime/bin", "state/cache", "elsewhere"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("runtime"), root.join("link")).unwrap();
        let bubblewrap = Bubblewrap { program: "bwrap".into(), users: false, sized: false };
        let read = ["runtime", "runtime/bin", "link", "link/bin", "state/cache"].map(|name| root.join(name));
        let write = ["state"].map(|name| root.join(name));
        let mounts = bubblewrap.mounts(read.into_iter(), write);
        let own: Vec<_> =
            mounts.iter().filter_map(|(path, mount)| Some((path.strip_prefix(&root).ok()?, mount))).collect();
        let shown = own
            .iter()
            .map(|(path, mount)| format!("{} {mount:?}", path.display()).replace(root.to_str().unwrap(), "…"));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            ["link Link(\"…/runtime\")", "runtime Read", "state Write", "state/cache Read"]
        );
    }
}
