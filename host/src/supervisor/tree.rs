//! Process trees as `/proc` shows them.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Walks that [`kill_all`] spends on stopping; the callers come again while anything is left.
const STOPPING_ROUNDS: usize = 20;

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    /// It has ended and waits for its parent to take notice.
    pub(super) zombie: bool,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// Clock ticks on the processor, its ended and awaited children's among them.
    pub(super) ticks: u64,
    pub(super) threads: u64,
    /// Pages of memory, those that it shares with others too.
    pub(super) pages: u64,
    /// Clock ticks after boot: with the pid and the boot id it names a process for ever.
    pub(super) started: u64,
}

/// Where the processes of a server begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Roots {
    /// Below a process that is none of them.
    Below(i32),
    /// At its main process, and below the first one of its namespaces, to which orphans come.
    Inside {
        /// The main process.
        main: i32,
        /// The first one.
        first: i32,
    },
}

impl Roots {
    fn now(self) -> Vec<i32> {
        match self {
            Self::Below(pid) => children(pid),
            Self::Inside { main, first } => [vec![main], children(first)].concat(),
        }
    }

    /// All processes of the server, parents before their children; of a very large tree a part.
    pub(super) fn descendants(self) -> Vec<i32> {
        walk(self.now(), MOST, |_| ())
    }

    /// [`Roots::descendants`] until there are more than `enough`.
    pub(super) fn some_descendants(self, enough: usize) -> Vec<i32> {
        walk(self.now(), enough.min(MOST), |_| ())
    }
}

/// None when there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&text[after_name..]).ok()?.split_ascii_whitespace().collect();
    Some(Stat {
        zombie: *fields.first()? == "Z",
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ticks: fields.get(11..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum(),
        threads: fields.get(17)?.parse().ok()?,
        pages: fields.get(21)?.parse().unwrap_or(0),
        started: fields.get(19)?.parse().ok()?,
    })
}

/// The direct children of `parent`, zombies included.
pub(super) fn children(parent: i32) -> Vec<i32> {
    static LISTED: LazyLock<bool> = LazyLock::new(|| Path::new("/proc/thread-self/children").exists());
    if !*LISTED {
        // Kernels without CONFIG_PROC_CHILDREN, gVisor.
        return processes().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent)).collect();
    }
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The most that a walk looks at: a tree that grows faster than it is read has no end.
const MOST: usize = 10_000;

/// Everything below `root`, parents before their children; of a very large tree a part.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    Roots::Below(root).descendants()
}

/// `roots` and everything below them, shown to `visit` as they are found, each before its children are read; no further
/// when there are more than `enough`.
fn walk(roots: Vec<i32>, enough: usize, mut visit: impl FnMut(i32)) -> Vec<i32> {
    roots.iter().for_each(|pid| visit(*pid));
    let (mut found, mut seen) = (roots, 0);
    while let Some(pid) = found.get(seen).copied().filter(|_| found.len() <= enough) {
        for child in children(pid) {
            visit(child);
            found.push(child);
        }
        seen += 1;
    }
    found
}

/// Every process that `/proc` shows.
pub(super) fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Signals one process; one that is gone already is no matter.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        let _ = kill_process(pid, signal);
    }
}

/// [`kill_all`] below `root`; the group of `root` itself is left alone.
pub(super) fn kill_below(root: i32) {
    kill_all(stat(root).map(|stat| stat.group), || children(root));
}

/// Kills the processes that `roots` tells of, everything below them that can be found, and the process group of each;
/// `spared` is a group that is not killed as such.
///
/// They are stopped first, until a walk finds nobody new: killing alone never ends a fork bomb that leaves its group, since
/// every death makes room for a birth, while the stopped fill the room and give the processor back. A group is stopped as a
/// whole, by one signal: whoever has it pending cannot fork, even before he gets to run and stop.
pub(super) fn kill_all(spared: Option<i32>, roots: impl Fn() -> Vec<i32>) {
    let (mut groups, mut alone) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..STOPPING_ROUNDS {
        let mut news = false;
        walk(roots(), MOST, |pid| {
            let Some(stat) = stat(pid).filter(|stat| !stat.zombie) else { return };
            if spared == Some(stat.group) {
                if alone.insert(pid) {
                    news = true;
                    signal(pid, Signal::STOP);
                }
            } else if groups.insert(stat.group) {
                news = true;
                signal_group(stat.group, Signal::STOP);
            }
        });
        if !news {
            break;
        }
    }
    groups.into_iter().for_each(|group| signal_group(group, Signal::KILL));
    alone.into_iter().for_each(|pid| signal(pid, Signal::KILL));
}

fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
        let _ = kill_process_group(group, signal);
    }
}

/// The threads of a process.
pub(super) fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
