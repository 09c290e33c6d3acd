use std::fs;

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vitals {
    /// Memory of its own, in KiB: the anonymous part of its proportional set, since what it shares with other hosts
    /// depends on how many of them there are.
    pub memory: f64,
    pub descriptors: f64,
    pub threads: f64,
    /// Processes below it, however deep.
    pub processes: f64,
}

impl Vitals {
    /// # Panics
    /// When the process is gone.
    pub fn of(process: u32) -> Self {
        let entries = |folder: &str| fs::read_dir(format!("/proc/{process}/{folder}")).unwrap().count() as f64;
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
        let memory = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")?.split_whitespace().next());
        Self {
            memory: memory.unwrap().parse().unwrap(),
            descriptors: entries("fd"),
            threads: entries("task"),
            processes: super::Memory::of(process).processes as f64,
        }
    }
}
