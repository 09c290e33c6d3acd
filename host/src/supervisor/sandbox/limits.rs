use std::{fs, os::unix::fs::MetadataExt};

use rustix::process::{Resource, Rlimit, getrlimit, nice, setpriority_process, setrlimit};

use crate::supervisor::{Caps, tree};

/// How much less than the host a process weighs on the processor.
const NICE: i32 = 5;

/// What a sidecar weighs that looks after a tree.
const ALERT: i32 = -10;

/// Processes and threads that a user may start elsewhere before a confined process notices.
const LEEWAY: u64 = 256;

/// How much sooner than others it is killed when the whole machine is out of memory, out of 1000.
const OOM_SCORE: i32 = 800;

/// What every process below a sidecar has, those of bubblewrap too. A kernel that refuses some of it takes nothing from
/// what is promised.
pub(in crate::supervisor) fn settle() {
    let _ = nice(NICE);
    let score = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    if score.is_none_or(|score: i32| score < OOM_SCORE) {
        let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE.to_string());
    }
    limit(Resource::Core, 0);
}

/// Last of all: few files may be fewer than are open on the way.
pub(super) fn limit_files(caps: &Caps) {
    if let Some(files) = caps.files {
        limit(Resource::Nofile, files);
    }
}

/// Where the kernel shares the processor out to sessions first, the weight of a new one. A session inherits none.
pub(super) fn weigh_session() {
    let _ = fs::write("/proc/self/autogroup", NICE.to_string());
}

/// Has a sidecar get its share beside many processes of its tree, if it may. What it forks inherits that.
pub(in crate::supervisor) fn stay_awake() {
    let _ = setpriority_process(None, ALERT);
    let _ = fs::write("/proc/self/autogroup", ALERT.to_string());
}

/// Has the caller run before everything that is not of its kind, if it may: for a sidecar that has to end a tree. A fork bomb
/// whose processes each have a session has as many shares of the processor, and leaves one for whoever kills it.
pub(in crate::supervisor) fn hurry() {
    let priority = libc::sched_param { sched_priority: 1 };
    #[expect(unsafe_code, reason = "no crate wraps sched_setscheduler")]
    // SAFETY: reads one structure, which lives until it returns, and changes the caller alone.
    let refused =
        unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const priority) };
    if refused != 0 {
        let _ = setpriority_process(None, -20);
    }
}

/// Whose processes the kernel counts against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Those of this sandbox alone.
    Own,
    /// All that the user runs.
    User,
    /// None: those of root.
    Nobody,
}

/// What only the program has; true when it bounds the number of processes.
pub(super) fn confine(caps: &Caps, counted: Counted) -> bool {
    if let Some(disk) = caps.disk_bytes {
        limit(Resource::Fsize, disk);
    }
    if let Some(memory) = caps.memory_bytes {
        // Much more than it may use: stacks of threads and what was set aside without being used count here. What is used
        // is the watchdog's, which says so; this is what no single process gets past in a moment.
        limit(Resource::Data, memory.saturating_mul(2).saturating_add(1 << 30));
    }
    let Some(pids) = caps.pids else { return false };
    match counted {
        // One is the first process of the namespace.
        Counted::Own => limit(Resource::Nproc, pids.saturating_add(1)),
        Counted::User => {
            // Not the cap, which others would use up, but where the growth of a fork bomb ends.
            limit(Resource::Nproc, pids.saturating_add(of_user()).saturating_add(LEEWAY));
            false
        }
        Counted::Nobody => false,
    }
}

/// Processes and threads of the user, about.
fn of_user() -> u64 {
    let user = rustix::process::getuid().as_raw();
    let owned = |pid: &i32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == user);
    tree::processes().filter(owned).filter_map(tree::stat).map(|stat| stat.threads).sum()
}

/// Lowers a limit, and never raises one.
fn limit(resource: Resource, most: u64) -> bool {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).is_ok()
}
