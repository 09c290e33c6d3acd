use std::{thread::sleep, time::Instant};

use perennial_sdk::Result;
use serde_json::{Value, json};

use super::{
    Case::Twenty,
    memory::{REST, below, pss},
};
use crate::{client::Client, peers::Peers, report::Report, samples::median};

/// Templates without packages, so that no registry is measured.
const LANGUAGES: [(&str, usize); 3] = [("python", 8), ("javascript", 6), ("typescript", 6)];

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (mut took, mut host_mib, mut sidecars_mib, mut servers_mib, mut all) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..if quick { 1 } else { 5 } {
        let mut host = Client::connect(peers.host())?;
        let languages = LANGUAGES.iter().flat_map(|(language, count)| [language].repeat(*count));
        let calls: Vec<Value> = languages
            .map(|language| json!({ "name": "create-server-from-template", "arguments": { "language": language } }))
            .collect();
        let begun = Instant::now();
        let created = host.at_once("tools/call", &calls)?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
        for result in &created {
            let asked = json!({ "serverId": result["structuredContent"]["serverId"], "toolName": "echo", "args": { "message": "hé" } });
            host.tool("execute-tool", asked)?;
        }
        sleep(REST);
        let own = pss(host.pid())?.all;
        let sidecars = sum(&below(host.pid())?)?;
        let servers = below(host.pid())?.into_iter().map(below).collect::<Result<Vec<_>>>()?.concat();
        let servers = sum(&servers)?;
        host_mib.push(own);
        sidecars_mib.push(sidecars);
        servers_mib.push(servers);
        all.push(own + sidecars + servers);
        host.end()?;
    }
    report.note(Twenty, "requests at once to the last answer, p50", median(took), "ms");
    report.note(Twenty, "PSS of the host", median(host_mib), "MiB");
    report.note(Twenty, "PSS of the sidecars, together", median(sidecars_mib), "MiB");
    report.note(Twenty, "PSS of the servers, together", median(servers_mib), "MiB");
    report.note(Twenty, "PSS of all", median(all), "MiB");
    Ok(())
}

fn sum(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|process| Ok(pss(*process)?.all)).sum()
}
