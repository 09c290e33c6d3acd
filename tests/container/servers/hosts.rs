use std::{io::stdin, os::unix::fs::MetadataExt};

use serde_json::{Value, json};

fn encode(name: &str) -> String {
    let label = |label: &str| match label.is_ascii() {
        true => label.to_owned(),
        false => format!("xn--{}", punycode::encode(label).unwrap()),
    };
    name.split('.').map(label).collect::<Vec<_>>().join(".")
}

fn answer(method: &str, params: &Value) -> Value {
    match method {
        "initialize" => json!({
            "protocolVersion": params["protocolVersion"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "hosts", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [{
            "name": "encode",
            "description": "Encodes a host name",
            "inputSchema": {
                "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"],
            },
        }] }),
        "tools/call" => {
            let encoded = encode(params["arguments"]["name"].as_str().unwrap());
            let user = std::fs::metadata("/proc/self").unwrap().uid();
            json!({ "content": [{ "type": "text", "text": format!("{encoded} by user {user}") }] })
        }
        _ => json!({}),
    }
}

fn main() {
    for line in stdin().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = message.get("id") else { continue };
        let result = answer(message["method"].as_str().unwrap(), &message["params"]);
        println!("{}", json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }
}
