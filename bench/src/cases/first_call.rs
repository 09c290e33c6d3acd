use std::time::Instant;

use perennial_sdk::{Error, Result};
use serde_json::{Value, json};

use super::{Case::FirstCall, arguments};
use crate::{
    client::Client,
    peers::{PYTHON_SERVER, Peers},
    report::{Report, Target},
    samples::{Samples, median},
};

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let data = peers.new_folder("saved-one")?;
    let mut host = Client::connect(peers.host_at(&data))?;
    let created = host.tool("create-server-from-template", json!({ "language": "python", "code": PYTHON_SERVER }))?;
    host.tool("save-server", json!({ "serverId": created["serverId"], "name": "one" }))?;
    host.end()?;
    let (mut through, mut alone, mut added) = (Samples::default(), Samples::default(), Vec::new());
    for _ in 0..if quick { 10 } else { 60 } {
        let begun = Instant::now();
        let mut bare = Client::connect(peers.python())?;
        answered(&bare.request("tools/call", json!({ "name": "echo", "arguments": arguments(32) }))?)?;
        let direct = begun.elapsed();
        bare.end()?;

        let mut host = Client::connect(peers.host_at(&data))?;
        let list = host.request("tools/list", json!({}))?;
        let mut names = list["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str());
        let name = names.find(|name| name.ends_with("__echo"));
        let name = name.ok_or_else(|| Error::internal("the saved tool is not in the first list"))?;
        let begun = Instant::now();
        answered(&host.request("tools/call", json!({ "name": name, "arguments": arguments(32) }))?)?;
        let took = begun.elapsed();
        host.end()?;
        through.push(took);
        alone.push(direct);
        added.push((took.as_secs_f64() - direct.as_secs_f64()) * 1e3);
    }
    let what = "a saved server's first call after a restart, beyond its own start, p50";
    report.judge(FirstCall, what, median(added), "ms", Target::AtMost(20.0));
    report.note(FirstCall, "call to answer, p50", through.median_us() / 1e3, "ms");
    report.note(FirstCall, "call to answer, p90", through.quantile_us(0.9) / 1e3, "ms");
    report.note(FirstCall, "the bare server, spawn to the same answer, p50", alone.median_us() / 1e3, "ms");
    Ok(())
}

fn answered(result: &Value) -> Result<()> {
    match result["isError"] == true || !result["content"].is_array() {
        true => Err(Error::internal(format!("the first call failed: {result}"))),
        false => Ok(()),
    }
}
