use std::time::Instant;

use perennial_sdk::{Error, Result};

use super::Case::Initialize;
use crate::{
    client::Client,
    peers::Peers,
    report::{Report, Target},
    samples::Samples,
};

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut host, mut floor, mut python) = (Samples::default(), Samples::default(), Samples::default());
    // the folders of a first start are made
    Client::connect(peers.host())?.end()?;
    for _ in 0..if quick { 10 } else { 100 } {
        for (command, samples) in [(peers.host(), &mut host), (peers.python(), &mut python)] {
            let begun = Instant::now();
            let mut client = Client::start(command)?;
            client.initialize()?;
            samples.push(begun.elapsed());
        }
        let begun = Instant::now();
        let version = peers.host_version().output()?;
        floor.push(begun.elapsed());
        if !version.status.success() {
            return Err(Error::internal("`perennial --version` failed"));
        }
    }
    report.judge(Initialize, "spawn to answer, p50", host.median_us() / 1e3, "ms", Target::AtMost(8.0));
    report.note(Initialize, "p90", host.quantile_us(0.9) / 1e3, "ms");
    report.note(Initialize, "`perennial --version`, p50", floor.median_us() / 1e3, "ms");
    report.note(Initialize, "a bare Python server, p50", python.median_us() / 1e3, "ms");
    Ok(())
}
