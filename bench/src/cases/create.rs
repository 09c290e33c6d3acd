use std::time::Instant;

use perennial_sdk::Result;
use serde_json::json;

use super::Case::Create;
use crate::{
    client::Client,
    peers::{PYTHON_SERVER, Peers},
    report::{Report, Target},
    samples::{Samples, median},
};

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut created, mut bare, mut ratios) = (Samples::default(), Samples::default(), Vec::new());
    let mut host = Client::connect(peers.host())?;
    let code = json!({ "language": "python", "code": PYTHON_SERVER });
    for round in 0..=if quick { 10 } else { 60 } {
        let begun = Instant::now();
        let mut child = Client::connect(peers.python())?;
        child.request("tools/list", json!({}))?;
        let started = begun.elapsed();
        child.end()?;

        let begun = Instant::now();
        let id = host.tool("create-server-from-template", code.clone())?["serverId"].take();
        let ready = begun.elapsed();
        host.tool("delete-server", json!({ "serverId": id }))?;
        if round == 0 {
            report.note(Create, "the first one of a session", ready.as_secs_f64() * 1e3, "ms");
            continue;
        }
        created.push(ready);
        bare.push(started);
        ratios.push(ready.as_secs_f64() / started.as_secs_f64());
    }
    report.judge(Create, "Python, against the bare server's start, p50", median(ratios), "times", Target::AtMost(1.3));
    let quiet = created.quantile_us(0.1) / bare.quantile_us(0.1);
    report.note(Create, "the same of the quickest tenths, where nothing waited for a core", quiet, "times");
    report.note(Create, "Python, request to ready, p50", created.median_us() / 1e3, "ms");
    report.note(Create, "Python, request to ready, p90", created.quantile_us(0.9) / 1e3, "ms");
    report.note(Create, "the bare server, spawn to its tools, p50", bare.median_us() / 1e3, "ms");
    Ok(())
}
