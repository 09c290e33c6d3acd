use std::fs;

/// Proportional set sizes in MiB: what a process takes, pages that it shares with others by its share.
pub struct Memory {
    /// Of the process itself.
    pub own: f64,
    /// Of the process and all below it.
    pub tree: f64,
    /// How many there are below it.
    pub processes: usize,
}

impl Memory {
    pub fn of(process: u32) -> Self {
        let below = below(process);
        let tree = below.iter().map(|process| pss(*process)).sum::<f64>() + pss(process);
        Self { own: pss(process), tree, processes: below.len() }
    }
}

/// A process and all below it.
pub fn tree(process: u32) -> Vec<u32> {
    std::iter::once(process).chain(below(process)).collect()
}

fn below(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.iter().flat_map(|child| below(*child)).chain(children.iter().copied()).collect()
}

fn pss(process: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}
