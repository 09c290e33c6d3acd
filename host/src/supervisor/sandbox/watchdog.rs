use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, setpriority_process},
    time::{ClockId, clock_gettime},
};

use super::{
    measures::Capped,
    places,
    usage::{Disk, Usage},
};
use crate::supervisor::{
    Caps, Confinement, ExitCause,
    tree::{self, Roots},
};

/// Between two looks, at least and at most.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_millis(500);

/// While processes are counted and something runs.
const COUNTING: Duration = Duration::from_millis(50);

/// What a tree is thought to be able to take, in bytes a second.
const MEMORY_PACE: u64 = 2 << 30;
const DISK_PACE: u64 = 1 << 30;

/// Looks take a twentieth of a processor at most.
const EFFORT: u32 = 20;

/// How long a tree may take more of the processor than it should before it gives way to everybody else, and how much it
/// then weighs.
const BURST: Duration = Duration::from_secs(1);
const YIELDING: i32 = 19;
const USUAL: i32 = 5;

/// Looks after what the kernel does not cap: memory, the number of processes, the disk, the processor.
#[derive(Debug)]
pub(in crate::supervisor) struct Watchdog {
    roots: Roots,
    caps: Caps,
    write: Vec<PathBuf>,
    due: Instant,
    pause: Duration,
    ticks: u64,
    window: (Instant, u64),
    yielding: bool,
    disk: Option<Disk>,
    disk_due: Instant,
}

impl Watchdog {
    /// For everything at `roots`, as far as it is not `capped`; none when there is nothing to look after.
    pub(in crate::supervisor) fn new(roots: Roots, confinement: &Confinement, capped: Capped) -> Option<Self> {
        let mut caps = confinement.caps;
        caps.memory_bytes = caps.memory_bytes.filter(|_| !capped.memory);
        caps.pids = caps.pids.filter(|_| !capped.pids);
        caps.cpu = caps.cpu.filter(|_| !capped.cpu);
        let idle = Caps { files: None, ..caps } == Caps::default();
        let now = Instant::now();
        (!idle).then(|| Self {
            roots,
            caps,
            write: places::writable(confinement),
            due: now + OFTEN,
            pause: OFTEN,
            ticks: 0,
            window: (now, 0),
            yielding: false,
            disk: None,
            disk_due: now + SELDOM,
        })
    }

    /// Until the next look.
    pub(in crate::supervisor) fn wait(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Looks, if it is time; answers what the tree used too much of.
    pub(in crate::supervisor) fn look(&mut self) -> Option<ExitCause> {
        let (began, cost) = (Instant::now(), spent());
        if began < self.due {
            return None;
        }
        let usage = Usage::of(self.roots, self.caps.pids);
        let active = usage.ticks != self.ticks;
        self.ticks = usage.ticks;
        let breach = self.count(&usage).or_else(|| self.memory(&usage, active)).or_else(|| self.disk(began, active));
        self.processor(&usage, began);
        if !active && self.disk.is_none() {
            // What does not run takes nothing.
            self.pause = SELDOM;
        }
        // Not by the clock: where a fork bomb leaves us little of the processor a look takes long, and the next one is due.
        let cost = spent().saturating_sub(cost);
        self.due = Instant::now() + self.pause.max(cost * EFFORT).clamp(OFTEN, SELDOM * 2);
        breach
    }

    /// Sets the pause to what could be needed to get from here to the cap.
    fn memory(&mut self, usage: &Usage, active: bool) -> Option<ExitCause> {
        self.pause = if active && self.caps.pids.is_some() { COUNTING } else { SELDOM };
        let cap = self.caps.memory_bytes?;
        let scratch = Usage::scratch(self.roots);
        let mut used = usage.resident + scratch;
        if used > cap {
            used = usage.proportional() + scratch;
            if used > cap {
                return Some(ExitCause::OutOfMemory);
            }
        }
        self.pause = self.pause.min(pace(cap - used, MEMORY_PACE));
        None
    }

    fn count(&self, usage: &Usage) -> Option<ExitCause> {
        self.caps.pids.filter(|cap| usage.threads > *cap).map(|_| ExitCause::TooManyProcesses)
    }

    fn disk(&mut self, now: Instant, active: bool) -> Option<ExitCause> {
        let cap = self.caps.disk_bytes?;
        if self.disk.is_none() && now >= self.disk_due && active {
            self.disk = Some(Disk::of(&self.write));
        }
        if let Some(bytes) = self.disk.as_mut()?.walk() {
            self.disk = None;
            if bytes > cap {
                return Some(ExitCause::DiskFull);
            }
            let cost = now.elapsed() * EFFORT;
            self.disk_due = now + pace(cap - bytes, DISK_PACE).max(cost);
        }
        None
    }

    /// A tree that spins gives way to its siblings; where the kernel lets us, it gets its weight back when it stops.
    fn processor(&mut self, usage: &Usage, now: Instant) {
        let since = now - self.window.0;
        if since < BURST {
            return;
        }
        let seconds = usage.ticks.saturating_sub(self.window.1) as f64 / ticks_per_second();
        self.window = (now, usage.ticks);
        let spins = seconds / since.as_secs_f64() > self.caps.cpu.unwrap_or(1.0) * 0.9;
        if spins || self.yielding {
            weigh(&usage.pids, if spins { YIELDING } else { USUAL });
        }
        self.yielding = spins;
    }
}

/// What this process has used of the processor.
fn spent() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap_or(0), spent.tv_nsec.try_into().unwrap_or(0))
}

fn pace(left: u64, pace: u64) -> Duration {
    Duration::from_secs_f64(left as f64 / pace as f64).clamp(OFTEN, SELDOM)
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Each thread has a weight of its own.
fn weigh(pids: &[i32], nice: i32) {
    for thread in pids.iter().flat_map(|pid| tree::threads(*pid)) {
        let _ = setpriority_process(Pid::from_raw(thread), nice);
    }
}
