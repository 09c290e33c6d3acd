//! A server that costs next to nothing, so that what is measured is the way to it.

use std::io::{BufRead, BufReader, Write, stdin, stdout};

use perennial_sdk::Result;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

/// The hidden argument that makes this program the server.
pub(crate) const WORD: &str = "__echo";

/// The name of its tool.
pub(crate) const TOOL: &str = "echo";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    arguments: Arguments<'a>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
}

/// Answers until standard input ends; what came in one piece is answered in one piece.
pub(crate) fn run() -> Result<()> {
    let mut input = BufReader::with_capacity(256 * 1024, stdin().lock());
    let mut output = stdout().lock();
    let (mut line, mut answers) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        answer(&line, &mut answers)?;
        line.clear();
        if !input.buffer().contains(&b'\n') {
            output.write_all(&answers)?;
            output.flush()?;
            answers.clear();
        }
    }
    Ok(())
}

fn answer(line: &[u8], answers: &mut Vec<u8>) -> Result<()> {
    let message: Message<'_> = serde_json::from_slice(line)?;
    let Some(id) = message.id else { return Ok(()) };
    write!(answers, "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":")?;
    match (message.method, message.params) {
        ("tools/call", Some(params)) => {
            let params: Params<'_> = serde_json::from_str(params.get())?;
            answers.extend_from_slice(br#"{"isError":false,"content":[{"type":"text","text":"#);
            answers.extend_from_slice(params.arguments.message.get().as_bytes());
            answers.extend_from_slice(b"}]}");
        }
        ("tools/list", _) => {
            let schema =
                json!({ "type": "object", "properties": { "message": { "type": "string" } }, "required": ["message"] });
            let tool = json!({ "name": TOOL, "description": "Says the message back.", "inputSchema": schema });
            write!(answers, "{}", json!({ "tools": [tool] }))?;
        }
        _ => {
            let us = json!({ "name": "echo", "version": "1.0.0" });
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": us });
            write!(answers, "{result}")?;
        }
    }
    answers.extend_from_slice(b"}\n");
    Ok(())
}
