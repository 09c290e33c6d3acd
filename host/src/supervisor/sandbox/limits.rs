use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use crate::supervisor::Caps;

/// How much less than the host a process weighs on the processor.
const NICE: i32 = 5;

/// How much sooner than others it is killed when the whole machine is out of memory, out of 1000.
const OOM_SCORE: i32 = 800;

/// What every process below a sidecar has, those of bubblewrap too. A kernel that refuses some of it takes nothing from
/// what is promised.
pub(in crate::supervisor) fn settle(caps: &Caps) {
    let _ = nice(NICE);
    let _ = fs::write("/proc/self/autogroup", NICE.to_string());
    let score = fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok());
    if score.is_none_or(|score: i32| score < OOM_SCORE) {
        let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE.to_string());
    }
    limit(Resource::Core, 0);
    if let Some(files) = caps.files {
        limit(Resource::Nofile, files);
    }
}

/// What only the program has. `own_user` says that processes are counted for this sandbox alone, rather than for all that
/// the user runs; true when that bounds them.
pub(super) fn confine(caps: &Caps, own_user: bool) -> bool {
    if let Some(disk) = caps.disk_bytes {
        limit(Resource::Fsize, disk);
    }
    if let Some(memory) = caps.memory_bytes {
        // Much more than it may use: stacks of threads and what was set aside without being used count here. What is used
        // is the watchdog's, which says so; this is what no single process gets past in a moment.
        limit(Resource::Data, memory.saturating_mul(2).saturating_add(1 << 30));
    }
    match caps.pids {
        // One is the first process of the namespace.
        Some(pids) if own_user => limit(Resource::Nproc, pids.saturating_add(1)),
        _ => false,
    }
}

/// Lowers a limit, and never raises one.
fn limit(resource: Resource, most: u64) -> bool {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).is_ok()
}
