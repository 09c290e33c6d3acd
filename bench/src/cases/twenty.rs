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
        let (servers, sidecars): (Vec<_>, Vec<_>) = all_below(host.pid())?.into_iter().partition(|pid| is_server(*pid));
        let (servers, sidecars) = (sum(&servers)?, sum(&sidecars)?);
        host_mib.push(own);
        sidecars_mib.push(sidecars);
        servers_mib.push(servers);
        all.push(own + sidecars + servers);
        host.end()?;
    }
    report.note(Twenty, "requests at once to the last answer, p50", median(took), "ms");
    report.note(Twenty, "PSS of the host", median(host_mib), "MiB");
    report.note(Twenty, "PSS of the sidecars with what confines, together", median(sidecars_mib), "MiB");
    report.note(Twenty, "PSS of the servers, together", median(servers_mib), "MiB");
    report.note(Twenty, "PSS of all", median(all), "MiB");
    Ok(())
}

/// Whether a process is none that keeps a server: no sidecar, no bubblewrap, and no first process of namespaces.
fn is_server(process: u32) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words = line.split('\0');
    let program = words.next().unwrap_or_default();
    !program.ends_with("bwrap") && !words.next().is_some_and(|word| word.starts_with("__"))
}

fn all_below(parent: u32) -> Result<Vec<u32>> {
    let mut found = below(parent)?;
    let mut seen = 0;
    while let Some(process) = found.get(seen) {
        found.extend(below(*process)?);
        seen += 1;
    }
    Ok(found)
}

fn sum(processes: &[u32]) -> Result<f64> {
    processes.iter().map(|process| Ok(pss(*process)?.all)).sum()
}
