//! Process trees as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Walks that [`kill_below`] spends on stopping; the callers come again while anything is left.
const STOPPING_ROUNDS: usize = 20;

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    /// It has ended and waits for its parent to take notice.
    pub(super) zombie: bool,
    pub(super) stopped: bool,
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

/// None when there is no such process.
pub(super) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let fields: Vec<&str> = std::str::from_utf8(&text[after_name..]).ok()?.split_ascii_whitespace().collect();
    Some(Stat {
        zombie: *fields.first()? == "Z",
        stopped: matches!(*fields.first()?, "T" | "t"),
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
    let Some(mut threads) =
        fs::read_dir(format!("/proc/{parent}/task")).ok().map(Iterator::flatten).map(Iterator::peekable)
    else {
        return Vec::new();
    };
    let listed = threads.peek().is_none_or(|thread| thread.path().join("children").exists());
    if !listed {
        // Kernels without CONFIG_PROC_CHILDREN, gVisor.
        return processes().filter(|pid| stat(*pid).is_some_and(|stat| stat.parent == parent)).collect();
    }
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// The most that a walk looks at: a tree that grows faster than it is read has no end.
const MOST: usize = 10_000;

/// Everything below `root`, parents before their children; of a very large tree a part.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    walk(root, MOST, |_| ())
}

/// [`descendants`] until there are more than `enough`.
pub(super) fn some_descendants(root: i32, enough: usize) -> Vec<i32> {
    walk(root, enough.min(MOST), |_| ())
}

/// [`descendants`], shown to `visit` as they are found, each before its children are read.
fn walk(root: i32, enough: usize, mut visit: impl FnMut(i32)) -> Vec<i32> {
    let (mut found, mut next) = (Vec::new(), Some(root));
    let mut seen = 0;
    while let Some(pid) = next.filter(|_| found.len() <= enough) {
        for child in children(pid) {
            visit(child);
            found.push(child);
        }
        next = found.get(seen).copied();
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

/// Kills everything below `root` that can be found, and the process group of each; the group of `root` itself is left
/// alone.
///
/// They are stopped first, until a walk finds nobody who still runs: killing alone never ends a fork bomb that leaves its
/// group, since every death makes room for a birth, while the stopped fill the room and give the processor back.
pub(super) fn kill_below(root: i32) {
    let own = stat(root).map(|stat| stat.group);
    let mut groups = Vec::new();
    for _ in 0..STOPPING_ROUNDS {
        let mut running = false;
        walk(root, MOST, |pid| {
            let Some(stat) = stat(pid).filter(|stat| !stat.zombie && !stat.stopped) else { return };
            running = true;
            signal(pid, Signal::STOP);
            if own != Some(stat.group) && !groups.contains(&stat.group) {
                groups.push(stat.group);
                signal_group(stat.group, Signal::STOP);
            }
        });
        if !running {
            break;
        }
    }
    groups.into_iter().for_each(|group| signal_group(group, Signal::KILL));
    descendants(root).into_iter().for_each(|pid| signal(pid, Signal::KILL));
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
