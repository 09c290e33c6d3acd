use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use perennial_sdk::{Error, Result};
use serde_json::{Map, Value, json};

use super::Case::Save;
use crate::{
    client::Client,
    peers::{PYTHON_SERVER, Peers},
    report::Report,
    samples::Samples,
};

/// How many servers are saved already.
const SIZES: [usize; 3] = [10, 1_000, 10_000];

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    for size in SIZES.into_iter().take(if quick { 2 } else { 3 }) {
        let data = peers.new_folder(&format!("save-{size}"))?;
        let library = data.join("saved_servers.json");
        fs::write(&library, old_library(size)?)?;
        let old = data.join("old.json");
        fs::copy(&library, &old)?;
        let mut host = Client::connect(peers.host_at(&data))?;
        let begun = Instant::now();
        host.tool("list-saved-servers", json!({}))?;
        report.note(Save, format!("{size} records of an older file taken over"), ms(begun.elapsed()), "ms");
        let code = json!({ "language": "python", "code": PYTHON_SERVER });
        let id = host.tool("create-server-from-template", code)?["serverId"].take();
        let (mut ours, mut in_place, mut renamed) = (Samples::default(), Samples::default(), Samples::default());
        for round in 0..if quick { 5 } else { 40 } {
            let name = format!("save {round}");
            let begun = Instant::now();
            host.tool("save-server", json!({ "serverId": id, "name": name }))?;
            ours.push(begun.elapsed());
            for (samples, write) in
                [(&mut in_place, write_in_place as Recipe), (&mut renamed, write_and_rename as Recipe)]
            {
                let begun = Instant::now();
                rewrite(&old, &name, write)?;
                samples.push(begun.elapsed());
            }
            // the file that users know is written behind, and is to be written in between as it is in life
            std::thread::sleep(Duration::from_millis(50));
        }
        host.end()?;
        report.note(Save, format!("with {size} records, `save-server`, p50"), ours.median_us() / 1e3, "ms");
        report.note(Save, format!("with {size} records, p90"), ours.quantile_us(0.9) / 1e3, "ms");
        let what = format!("with {size} records, the whole file written over, not durable, p50");
        report.note(Save, what, in_place.median_us() / 1e3, "ms");
        let what = format!("with {size} records, the whole file to a new one, synced and renamed, p50");
        report.note(Save, what, renamed.median_us() / 1e3, "ms");
    }
    Ok(())
}

/// The older system's file with so many servers in it, of 1.5 kB each.
pub(super) fn old_library(size: usize) -> Result<String> {
    let code = "# a line of a server that somebody wrote\n".repeat(35);
    let record = |number: usize| {
        let id = format!("server-{number:06}");
        let record = json!({
            "name": format!("Server {number}"), "code": code, "language": "python",
            "savedAt": "2024-01-15T10:30:00.000Z", "serverId": id
        });
        (id, record)
    };
    Ok(serde_json::to_string_pretty(&(0..size).map(record).collect::<Map<String, Value>>())?)
}

type Recipe = fn(&Path, &str) -> Result<()>;

/// What the older system does for a save: reads all, changes one, writes all.
fn rewrite(path: &Path, name: &str, write: Recipe) -> Result<()> {
    let mut servers: Value = serde_json::from_slice(&fs::read(path)?)?;
    servers["server-saved"] = json!({
        "name": name, "code": PYTHON_SERVER, "language": "python",
        "savedAt": "2024-01-15T10:30:00.000Z", "serverId": "server-saved"
    });
    write(path, &serde_json::to_string_pretty(&servers)?)
}

fn write_in_place(path: &Path, text: &str) -> Result<()> {
    Ok(fs::write(path, text)?)
}

fn write_and_rename(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().ok_or_else(|| Error::internal("a file without a folder"))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(fs::File::open(folder)?.sync_all()?)
}

fn ms(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}
