use std::time::{Duration, Instant};

use perennial_sdk::Result;
use serde_json::{Value, json};

use super::{Case::Siblings, arguments};
use crate::{
    client::{Client, Request},
    echo,
    peers::Peers,
    report::Report,
    samples::Samples,
};

const ATTACKER: &str = include_str!("../attacker.py");

/// What an attacker does, and what the report calls it.
const DEEDS: [(&str, &str); 6] = [
    ("spin", "spins with five threads"),
    ("forks", "forks into new sessions without end"),
    ("programs", "starts programs without end"),
    ("memory", "takes and gives back 64 MiB"),
    ("disk", "writes and syncs 16 MiB"),
    ("output", "floods its output"),
];

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut host, id) = peers.host_with_echo()?;
    let mut request = Request::through_host(&id, echo::TOOL, &arguments(32));
    let length = Duration::from_secs(if quick { 1 } else { 5 });
    let quiet = calls(&mut host, &mut request, length)?;
    report.note(Siblings, "a call while nobody attacks, p50", quiet.median_us(), "µs");
    report.note(Siblings, "p99", quiet.quantile_us(0.99), "µs");
    for (deed, shown) in DEEDS {
        let attacker = attacker(&mut host)?;
        host.begin(
            "tools/call",
            json!({
                "name": "execute-tool",
                "arguments": { "serverId": attacker, "toolName": "attack", "args": { "what": deed } },
            }),
        )?;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(500) {
            host.round_trip(&mut request)?;
        }
        let during = calls(&mut host, &mut request, length)?;
        report.note(Siblings, format!("while another {shown}, p50"), during.median_us(), "µs");
        report.note(Siblings, "p99", during.quantile_us(0.99), "µs");
        report.note(Siblings, "the longest", during.quantile_us(1.0) / 1e3, "ms");
        host.tool("delete-server", json!({ "serverId": attacker }))?;
    }
    Ok(())
}

fn attacker(host: &mut Client) -> Result<Value> {
    let limits = json!({ "pids": 64, "memory_mb": 256, "disk_mb": 64 });
    let created =
        host.tool("create-server-from-template", json!({ "language": "python", "code": ATTACKER, "limits": limits }))?;
    Ok(created["serverId"].clone())
}

/// Calls one after the other, a pause of a millisecond between.
fn calls(host: &mut Client, request: &mut Request, length: Duration) -> Result<Samples> {
    let (begun, mut samples) = (Instant::now(), Samples::default());
    while begun.elapsed() < length {
        samples.push(host.round_trip(request)?);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(samples)
}
