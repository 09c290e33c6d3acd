use std::{thread::sleep, time::Duration};

use perennial_sdk::{Error, Result};

use super::{Case::Memory, arguments};
use crate::{
    client::{Client, Request},
    echo,
    peers::Peers,
    report::{Report, Target},
};

/// Proportional set size, in MiB.
pub(super) struct Pss {
    pub(super) all: f64,
    /// Heap and stacks: what is left without the pages of files, of which more or less are mapped for no reason of ours.
    anonymous: f64,
}

/// After this long without work the host counts as idle: its threads for blocking work have ended.
pub(super) const REST: Duration = Duration::from_millis(2500);

/// MiB that may come and go without anything growing.
const FLAT: f64 = 0.25;

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let host = Client::connect(peers.host())?;
    sleep(REST);
    let most = Target::AtMost(8.0);
    report.judge(Memory, "PSS of the host after `initialize`", pss(host.pid())?.all, "MiB", most);
    host.end()?;

    let (mut host, id) = peers.host_with_echo()?;
    sleep(REST);
    report.judge(Memory, "with one server", pss(host.pid())?.all, "MiB", most);
    for child in below(host.pid())? {
        report.note(Memory, "PSS of the server's sidecar", pss(child)?.all, "MiB");
    }
    let mut small = Request::through_host(&id, echo::TOOL, &arguments(32));
    let mut large = Request::through_host(&id, echo::TOOL, &arguments(100_000));
    let mut call = |count: usize| -> Result<Pss> {
        host.flood(&mut small, count / 2, 64)?;
        for call in 0..count / 2 {
            host.round_trip(if call % 20 == 0 { &mut large } else { &mut small })?;
        }
        sleep(REST);
        pss(host.pid())
    };
    let after = call(2_000)?;
    report.judge(Memory, "after 2,000 calls, some of 100 KB", after.all, "MiB", most);
    let more = if quick { 2_000 } else { 20_000 };
    let later = call(more)?;
    let grown = later.all - after.all;
    report.judge(Memory, format!("growth through {more} more calls"), grown, "MiB", Target::AtMost(FLAT));
    report.note(Memory, "its share that is no file", later.anonymous - after.anonymous, "MiB");
    Ok(())
}

pub(super) fn pss(process: u32) -> Result<Pss> {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let mib = |field: &str| {
        let kib =
            rollup.lines().find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| Error::internal(format!("`smaps_rollup` has no `{field}`")))
    };
    Ok(Pss { all: mib("Pss:")?, anonymous: mib("Pss_Anon:")? })
}

/// The children of a process.
pub(super) fn below(parent: u32) -> Result<Vec<u32>> {
    let all = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent_of_it = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parent_of_it == Some(parent)
    };
    Ok(all.filter(is_child).collect())
}
