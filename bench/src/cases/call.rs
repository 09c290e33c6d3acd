use perennial_sdk::Result;

use super::{Case::Call, arguments};
use crate::{
    client::{Client, Request},
    echo,
    peers::{Peers, ourselves},
    relay,
    report::{Report, Target},
    samples::{Samples, median},
};

/// Calls that only warm up what the other peers have cooled down.
const WARMING: usize = 5;

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut host, id) = peers.host_with_echo()?;
    let mut direct = Client::connect(ourselves(echo::WORD)?)?;
    let mut relayed = Client::connect(ourselves(relay::WORD)?)?;
    for (bytes, shown, rounds, calls, target) in [(32, "32 B", 100, 50, 60.0), (100_000, "100 KB", 60, 20, 700.0)] {
        let arguments = arguments(bytes);
        let mut through_host = Request::through_host(&id, echo::TOOL, &arguments);
        let mut at_once = Request::direct(echo::TOOL, &arguments);
        let mut all = [Samples::default(), Samples::default(), Samples::default()];
        let (mut added, mut relay_added) = (Vec::new(), Vec::new());
        for _ in 0..if quick { rounds / 10 } else { rounds } {
            let round = [
                block(&mut direct, &mut at_once, calls)?,
                block(&mut host, &mut through_host, calls)?,
                block(&mut relayed, &mut at_once, calls)?,
            ];
            // within a round the machine is equally busy for all, so that differences are taken there
            added.push(round[1].median_us() - round[0].median_us());
            relay_added.push(round[2].median_us() - round[0].median_us());
            all.iter_mut().zip(&round).for_each(|(all, block)| all.extend(block));
        }
        let [direct, host, _] = all;
        report.judge(Call, format!("{shown}, the host adds, p50"), median(added), "µs", Target::AtMost(target));
        report.note(Call, format!("{shown}, a relay that reads nothing adds, p50"), median(relay_added), "µs");
        report.note(Call, format!("{shown}, through the host, p50"), host.median_us(), "µs");
        report.note(Call, format!("{shown}, through the host, p99"), host.quantile_us(0.99), "µs");
        report.note(Call, format!("{shown}, direct, p50"), direct.median_us(), "µs");
        report.note(Call, format!("{shown}, direct, p99"), direct.quantile_us(0.99), "µs");
    }
    Ok(())
}

/// So many calls, one after the other.
pub(super) fn block(client: &mut Client, request: &mut Request, calls: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for call in 0..WARMING + calls {
        let took = client.round_trip(request)?;
        if call >= WARMING {
            samples.push(took);
        }
    }
    Ok(samples)
}
