use std::{fs, time::Instant};

use perennial_sdk::Result;
use serde_json::{Value, json};

use super::{Case::Library, save::old_library};
use crate::{client::Client, peers::Peers, report::Report, samples::Samples};

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let size = if quick { 1_000 } else { 10_000 };
    let data = peers.new_folder("library")?;
    let library = data.join("saved_servers.json");
    fs::write(&library, old_library(size)?)?;
    let mut host = Client::connect(peers.host_at(&data))?;
    host.tool("list-saved-servers", json!({}))?;
    host.end()?;
    let (mut start, mut first, mut again, mut parse) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for _ in 0..if quick { 3 } else { 20 } {
        let begun = Instant::now();
        let mut host = Client::connect(peers.host_at(&data))?;
        start.push(begun.elapsed());
        for samples in [&mut first, &mut again] {
            let begun = Instant::now();
            host.tool("list-saved-servers", json!({}))?;
            samples.push(begun.elapsed());
        }
        host.end()?;
        let begun = Instant::now();
        serde_json::from_slice::<Value>(&fs::read(&library)?)?;
        parse.push(begun.elapsed());
    }
    report.note(Library, format!("{size} saved servers, spawn to answer, p50"), start.median_us() / 1e3, "ms");
    report.note(Library, "the first `list-saved-servers` of a session, p50", first.median_us() / 1e3, "ms");
    report.note(Library, "the second one, p50", again.median_us() / 1e3, "ms");
    report.note(Library, "the older file read and parsed, p50", parse.median_us() / 1e3, "ms");
    Ok(())
}
