//! Process trees as `/proc` shows them.

use std::fs;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stat {
    /// It has ended and waits for its parent to take notice.
    pub(super) zombie: bool,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
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
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
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

/// Everything below `root`, parents before their children.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children(pid));
        next += 1;
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

/// Kills everything below `root` that a walk finds, and the whole process group of each: a group dies in one step, so
/// that a fork bomb which stays in its group has no time between two kills. The group of `root` itself is left alone.
pub(super) fn kill_below(root: i32) {
    let mut groups = Vec::from_iter(stat(root).map(|stat| stat.group));
    for pid in descendants(root) {
        if let Some(group) = stat(pid).map(|stat| stat.group).filter(|group| !groups.contains(group)) {
            groups.push(group);
            if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        signal(pid, Signal::KILL);
    }
}
