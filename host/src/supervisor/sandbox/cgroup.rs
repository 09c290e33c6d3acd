//! Caps by the kernel, where a part of the cgroup tree (version 2) is ours to use.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::measures::Capped;
use crate::supervisor::{Caps, tree};

/// What names of ours begin with.
const PREFIX: &str = "perennial-";

/// Where the host and its sidecars go when the folder that they are in is to have folders with caps.
const OWN: &str = "perennial-host";

/// Microseconds in which a share of the processor is counted.
const PERIOD: u64 = 100_000;

/// A folder for one tree; removed when it is dropped.
#[derive(Debug)]
pub(in crate::supervisor) struct Cgroup {
    folder: PathBuf,
    pub(in crate::supervisor) capped: Capped,
}

/// The folder below which this process may make others with caps, made ready for it; none where there is no such place.
/// `mount` is where version 2 is mounted, `path` where this process is in it, both as `/proc/self` says.
pub(in crate::supervisor) fn delegated() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then(|| place.split(' ').nth(4)).flatten()
    })?;
    let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
    find(Path::new(mount), path, is_given)
}

/// Ordinary users can write only where it was given to them. Root can write everywhere, also where systemd does.
fn is_given(folder: &Path) -> bool {
    let systemd = Path::new("/run/systemd/system").exists();
    let marked = |name: &str| rustix::fs::getxattr(folder, name, &mut [0u8; 8][..]).is_ok();
    let owned = fs::metadata(folder).is_ok_and(|folder| folder.uid() == rustix::process::geteuid().as_raw());
    owned
        && (!rustix::process::geteuid().is_root() || !systemd || marked("user.delegate") || marked("trusted.delegate"))
}

fn find(mount: &Path, path: &str, is_given: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    if path.contains("/..") || !own.starts_with(mount) {
        return None;
    }
    let above = own.parent().filter(|parent| parent.starts_with(mount));
    let ready =
        [Some(own.as_path()), above].into_iter().flatten().find(|folder| is_given(folder) && distributes(folder));
    let base = match ready {
        Some(folder) => folder.to_owned(),
        None if is_given(&own) && has(&own.join("cgroup.controllers")) => {
            move_into_own(&own).ok()?;
            distribute(&own).ok()?;
            own
        }
        None => return None,
    };
    sweep(&base);
    Cgroup::create(&base, &Caps { memory_bytes: Some(1 << 40), pids: Some(100), ..Caps::default() }).map(|_| base)
}

fn distributes(folder: &Path) -> bool {
    has(&folder.join("cgroup.subtree_control"))
}

fn has(list: &Path) -> bool {
    let list = fs::read_to_string(list).unwrap_or_default();
    ["memory", "pids"].iter().all(|name| list.split_ascii_whitespace().any(|one| one == *name))
}

/// A folder that has processes cannot have folders with caps. Moves them, unless one is not ours.
fn move_into_own(folder: &Path) -> io::Result<()> {
    let processes = fs::read_to_string(folder.join("cgroup.procs"))?;
    let host = std::process::id().cast_signed();
    let ours = tree::descendants(host);
    let pids: Vec<i32> = processes.lines().filter_map(|pid| pid.parse().ok()).collect();
    if pids.iter().any(|pid| *pid != host && !ours.contains(pid)) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let own = folder.join(OWN);
    match fs::create_dir(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    pids.iter().try_for_each(|pid| fs::write(own.join("cgroup.procs"), pid.to_string()))
}

fn distribute(folder: &Path) -> io::Result<()> {
    let control = folder.join("cgroup.subtree_control");
    fs::write(&control, "+memory +pids")?;
    // Not given to users everywhere.
    let _ = fs::write(&control, "+cpu");
    Ok(())
}

/// Removes what killed sidecars left; what is in use cannot be removed.
fn sweep(base: &Path) {
    for folder in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_some_and(|owner: i32| tree::stat(owner).is_none()) {
            let _ = fs::remove_dir(folder.path());
        }
    }
}

impl Cgroup {
    /// A folder below `base` with as many of `caps` as can be had; none when that is none.
    pub(in crate::supervisor) fn create(base: &Path, caps: &Caps) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let mut cgroup = Self { folder, capped: Capped::default() };
        if let Some(bytes) = caps.memory_bytes {
            cgroup.capped.memory = cgroup.set("memory.max", bytes) && cgroup.set("memory.oom.group", 1);
            cgroup.set("memory.swap.max", 0);
        }
        if let Some(pids) = caps.pids {
            // bubblewrap and the first process of its namespaces are two.
            cgroup.capped.pids = cgroup.set("pids.max", pids.saturating_add(2));
        }
        if let Some(cores) = caps.cpu {
            let quota = ((cores * PERIOD as f64) as u64).max(PERIOD / 100);
            cgroup.capped.cpu = cgroup.set("cpu.max", format!("{quota} {PERIOD}"));
        }
        (cgroup.capped != Capped::default()).then_some(cgroup)
    }

    /// The file by which a process gets in, when it writes `0`.
    pub(in crate::supervisor) fn door(&self) -> io::Result<File> {
        File::options().write(true).open(self.folder.join("cgroup.procs"))
    }

    /// Whether the kernel killed for want of memory in it.
    pub(in crate::supervisor) fn ran_out_of_memory(&self) -> bool {
        self.events("memory.events", "oom_kill") > 0
    }

    /// Whether a process could not be started for want of room.
    pub(in crate::supervisor) fn ran_out_of_processes(&self) -> bool {
        self.events("pids.events", "max") > 0
    }

    /// Kills everything in it (Linux 5.14).
    pub(in crate::supervisor) fn kill(&self) {
        self.set("cgroup.kill", 1);
    }

    fn set(&self, file: &str, value: impl ToString) -> bool {
        fs::write(self.folder.join(file), value.to_string()).is_ok()
    }

    fn events(&self, file: &str, name: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process leaves a moment after it was reaped.
        for _ in 0..20 {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A tree as the kernel shows it, but of ordinary files: what is written to them stays there to be read.
    fn fake(path: &str, controllers: &str, subtree: &str, processes: &str) -> TempDir {
        let mount = tempfile::tempdir().unwrap();
        let own = mount.path().join(path);
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.controllers"), controllers).unwrap();
        fs::write(own.join("cgroup.subtree_control"), subtree).unwrap();
        fs::write(own.join("cgroup.procs"), processes).unwrap();
        mount
    }

    fn read(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap()
    }

    #[test]
    fn nothing_is_found_where_nothing_was_given() {
        let mount = fake("user", "cpu memory pids", "memory pids", "");
        assert_eq!(find(mount.path(), "/user", |_| false), None);
        assert_eq!(find(mount.path(), "/../elsewhere", |_| true), None);
        let bare = fake("user", "cpu", "", "");
        assert_eq!(find(bare.path(), "/user", |_| true), None);
    }

    #[test]
    fn what_hands_out_memory_and_pids_is_taken_as_it_is() {
        let mount = fake("service", "cpu memory pids", "memory pids", "");
        fs::create_dir(mount.path().join("service/host")).unwrap();
        let service = mount.path().join("service");
        assert_eq!(find(mount.path(), "/service/host", |_| true), Some(service.clone()));
        assert_eq!(read(&service, "cgroup.subtree_control"), "memory pids");
    }

    #[test]
    fn the_host_makes_room_when_it_is_alone() {
        let mount = fake("service", "cpu memory pids", "", &format!("{}\n", std::process::id()));
        let service = mount.path().join("service");
        assert_eq!(find(mount.path(), "/service", |_| true), Some(service.clone()));
        assert_eq!(read(&service.join(OWN), "cgroup.procs"), std::process::id().to_string());
        assert_eq!(read(&service, "cgroup.subtree_control"), "+cpu", "written after the others");
    }

    #[test]
    fn nobody_else_is_moved() {
        let mount = fake("session", "cpu memory pids", "", &format!("1\n{}\n", std::process::id()));
        assert_eq!(find(mount.path(), "/session", |_| true), None);
        assert!(!mount.path().join("session").join(OWN).exists());
    }

    #[test]
    fn a_tree_gets_what_was_asked_for() {
        let base = tempfile::tempdir().unwrap();
        let caps = Caps { memory_bytes: Some(512 << 20), pids: Some(64), cpu: Some(1.5), ..Caps::default() };
        let cgroup = Cgroup::create(base.path(), &caps).unwrap();
        assert_eq!(cgroup.capped, Capped { memory: true, pids: true, cpu: true });
        let folder = cgroup.folder.clone();
        let set =
            ["memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max"].map(|f| read(&folder, f));
        assert_eq!(set, ["536870912", "0", "1", "66", "150000 100000"]);
        assert!(!cgroup.ran_out_of_memory() && !cgroup.ran_out_of_processes());
        fs::write(folder.join("memory.events"), "oom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        fs::write(folder.join("pids.events"), "max 7\n").unwrap();
        assert!(cgroup.ran_out_of_memory() && cgroup.ran_out_of_processes());
        assert!(Cgroup::create(base.path(), &Caps::default()).is_none());
    }
}
