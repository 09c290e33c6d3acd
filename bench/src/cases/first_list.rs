use std::time::Instant;

use perennial_sdk::{Error, Result};
use serde_json::{Value, json};

use super::Case::FirstList;
use crate::{
    client::Client,
    peers::Peers,
    report::{Report, Target},
    samples::Samples,
};

const SERVERS: usize = 100;
const TOOLS: usize = 4;

pub(super) fn run(peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
    let (filled, empty) = (peers.new_folder("hundred")?, peers.new_folder("none")?);
    let mut host = Client::connect(peers.host_at(&filled))?;
    for number in 0..SERVERS {
        let created =
            host.tool("create-server-from-template", json!({ "language": "python", "code": server(number) }))?;
        let id = &created["serverId"];
        host.tool("save-server", json!({ "serverId": id, "name": format!("server-{number}") }))?;
        host.tool("delete-server", json!({ "serverId": id }))?;
    }
    host.end()?;
    let (mut with, mut without) = (Samples::default(), Samples::default());
    for _ in 0..if quick { 10 } else { 100 } {
        for (data, more, samples) in [(&filled, SERVERS * TOOLS, &mut with), (&empty, 0, &mut without)] {
            let begun = Instant::now();
            let mut command = peers.host_at(data);
            command.env("PERENNIAL_EXPOSURE_MODE", "all");
            let mut host = Client::connect(command)?;
            let list = host.request("tools/list", json!({}))?;
            samples.push(begun.elapsed());
            let tools = list["tools"].as_array().map_or(0, |tools| tools.iter().filter(|tool| is_saved(tool)).count());
            if tools != more {
                return Err(Error::internal(format!("{tools} tools of saved servers are in the first list")));
            }
            host.end()?;
        }
    }
    let shown =
        format!("{SERVERS} saved servers, {} tools: spawn to the first list with all of them, p50", SERVERS * TOOLS);
    report.judge(FirstList, shown, with.median_us() / 1e3, "ms", Target::AtMost(20.0));
    report.note(FirstList, "p90", with.quantile_us(0.9) / 1e3, "ms");
    report.note(FirstList, "nothing saved, p50", without.median_us() / 1e3, "ms");
    Ok(())
}

fn is_saved(tool: &Value) -> bool {
    tool["name"].as_str().is_some_and(|name| name.contains("__"))
}

/// A server whose tools have a description and a schema of usual length.
fn server(number: usize) -> String {
    let schema = json!({
        "type": "object",
        "properties": {
            "path": { "type": "string", "description": "The file to look at, from the folder of the project" },
            "limit": { "type": "integer", "description": "How many lines of it, from the first one", "minimum": 1 },
        },
        "required": ["path"],
    });
    let tools: Vec<Value> = (0..TOOLS)
        .map(|tool| {
            let description = format!("Does what tool {tool} of server {number} is for, and says what it found there");
            json!({ "name": format!("tool_{tool}"), "description": description, "inputSchema": schema })
        })
        .collect();
    format!(
        r#"import json, sys
TOOLS = json.loads({:?})
for line in sys.stdin:
    message = json.loads(line)
    result = {{}}
    if message.get("method") == "initialize":
        result = {{"protocolVersion": message["params"]["protocolVersion"], "capabilities": {{"tools": {{}}}},
                  "serverInfo": {{"name": "server-{number}", "version": "1"}}}}
    elif message.get("method") == "tools/list":
        result = {{"tools": TOOLS}}
    if "id" in message:
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": result}}), flush=True)
"#,
        Value::from(tools).to_string()
    )
}
