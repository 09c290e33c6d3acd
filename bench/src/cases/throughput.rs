use perennial_sdk::Result;

use super::{Case::Throughput, arguments};
use crate::{
    client::{Client, Request},
    echo,
    peers::{Peers, ourselves},
    report::{Report, Target},
    samples::median,
};

const IN_FLIGHT: usize = 64;

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut host, id) = peers.host_with_echo()?;
    let mut direct = Client::connect(ourselves(echo::WORD)?)?;
    let arguments = arguments(32);
    let mut through_host = Request::through_host(&id, echo::TOOL, &arguments);
    let mut at_once = Request::direct(echo::TOOL, &arguments);
    let (rounds, calls) = if quick { (3, 2_000) } else { (15, 10_000) };
    let (mut host_rates, mut direct_rates) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        direct_rates.push(calls as f64 / direct.flood(&mut at_once, calls, IN_FLIGHT)?.as_secs_f64());
        host_rates.push(calls as f64 / host.flood(&mut through_host, calls, IN_FLIGHT)?.as_secs_f64());
    }
    let what = format!("{IN_FLIGHT} in flight, 32 B, through the host");
    report.judge(Throughput, what, median(host_rates), "calls/s", Target::AtLeast(20_000.0));
    report.note(Throughput, "direct", median(direct_rates), "calls/s");
    Ok(())
}
