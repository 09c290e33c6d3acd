//! An MCP server: one JSON-RPC message a line, requests on stdin, answers on stdout.
//!
//! Everything else that is printed belongs on stderr: `eprintln!("…")`.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

/// What the server can do: name, description and the JSON Schema of the arguments.
fn tools() -> Value {
    json!([{
        "name": "echo",
        "description": "Says the message back.",
        "inputSchema": {
            "type": "object",
            "properties": { "message": { "type": "string" } },
            "required": ["message"]
        }
    }])
}

/// Runs a tool.
fn call(name: &str, arguments: &Value) -> Result<String, String> {
    match name {
        "echo" => Ok(arguments["message"].as_str().unwrap_or_default().to_string()),
        _ => Err(format!("there is no tool `{name}`")),
    }
}

fn answer(method: &str, params: &Value) -> Option<Value> {
    match method {
        "initialize" => Some(json!({
            "protocolVersion": params["protocolVersion"].as_str().unwrap_or("2025-11-25"),
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "my-server", "version": "1.0.0" }
        })),
        "ping" => Some(json!({})),
        "tools/list" => Some(json!({ "tools": tools() })),
        "tools/call" => {
            let outcome = call(params["name"].as_str().unwrap_or_default(), &params["arguments"]);
            let failed = outcome.is_err();
            let text = outcome.unwrap_or_else(|error| error);
            Some(json!({ "content": [{ "type": "text", "text": text }], "isError": failed }))
        }
        _ => None,
    }
}

fn main() -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        let (Some(method), Some(id)) = (message["method"].as_str(), message.get("id")) else { continue };
        let mut reply = json!({ "jsonrpc": "2.0", "id": id });
        match answer(method, &message["params"]) {
            Some(result) => reply["result"] = result,
            None => reply["error"] = json!({ "code": -32601, "message": format!("unknown method `{method}`") }),
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{reply}")?;
        stdout.flush()?;
    }
    Ok(())
}
