//! The measuring client: one process behind two pipes, no thread and no runtime between.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use perennial_sdk::{Error, Result};
use serde_json::{Value, json};

/// The MCP conversation with a process, which ends with the client.
pub(crate) struct Client {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    line: Vec<u8>,
    next: u64,
}

/// A call that is made again and again; only its id changes.
pub(crate) struct Request {
    line: Vec<u8>,
}

const ID_AT: usize = r#"{"jsonrpc":"2.0","id":"#.len();
const FIRST_ID: u64 = 1_000_000_000;

/// How every answer of [`crate::echo`] begins, behind its id.
const ECHOED: &[u8] = br#","result":{"isError":false,"#;

impl Client {
    /// Starts the process. Its standard error goes where ours goes.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::from(error).context(shown))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::internal("the pipes are missing"));
        };
        let output = BufReader::with_capacity(256 * 1024, output);
        Ok(Self { process, input: Some(input), output, line: Vec::new(), next: FIRST_ID })
    }

    /// [`Client::start`], and the handshake.
    pub(crate) fn connect(command: Command) -> Result<Self> {
        let mut client = Self::start(command)?;
        client.initialize()?;
        client.notify("notifications/initialized")?;
        Ok(client)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn initialize(&mut self) -> Result<Value> {
        let us = json!({ "name": "perennial-bench", "version": env!("CARGO_PKG_VERSION") });
        self.request("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": us }))
    }

    /// One request and its `result`; notifications in between are skipped.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.next_id();
        self.write(
            format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).as_bytes(),
        )?;
        loop {
            let mut answer: Value = serde_json::from_slice(self.read_line()?)?;
            if answer["id"] != id {
                continue;
            }
            if answer["result"].is_object() && answer["result"]["isError"] != true {
                return Ok(answer["result"].take());
            }
            return Err(Error::internal(format!("`{method}` was answered with {answer}")));
        }
    }

    /// Requests that are all made before the first answer is read; their `result`s in the same order.
    pub(crate) fn at_once(&mut self, method: &str, params: &[Value]) -> Result<Vec<Value>> {
        let mut lines = String::new();
        let first = self.next + 1;
        for params in params {
            let id = self.next_id();
            lines += &format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        }
        self.write(lines.as_bytes())?;
        let mut results = vec![Value::Null; params.len()];
        while results.iter().any(Value::is_null) {
            let mut answer: Value = serde_json::from_slice(self.read_line()?)?;
            let Some(number) = answer["id"].as_u64().and_then(|id| id.checked_sub(first)) else { continue };
            if !answer["result"].is_object() || answer["result"]["isError"] == true {
                return Err(Error::internal(format!("`{method}` was answered with {answer}")));
            }
            if let Some(result) = results.get_mut(number as usize) {
                *result = answer["result"].take();
            }
        }
        Ok(results)
    }

    /// A tool of the host; its `structuredContent`.
    pub(crate) fn tool(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut result = self.request("tools/call", json!({ "name": name, "arguments": arguments }))?;
        Ok(result["structuredContent"].take())
    }

    /// A request whose answer nobody waits for.
    pub(crate) fn begin(&mut self, method: &str, params: Value) -> Result<()> {
        let id = self.next_id();
        self.write(
            format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).as_bytes(),
        )
    }

    /// Makes the call and waits for its answer; what else is said meanwhile is skipped.
    pub(crate) fn round_trip(&mut self, request: &mut Request) -> Result<Duration> {
        let id = self.next_id();
        let line = request.with_id(id);
        let begun = Instant::now();
        self.write(line)?;
        while !is_answer(self.read_line()?, id) {}
        let took = begun.elapsed();
        request.check(&self.line)?;
        Ok(took)
    }

    /// Makes `count` calls, `in_flight` of them at any time, and answers how long all of them took.
    pub(crate) fn flood(&mut self, request: &mut Request, count: usize, in_flight: usize) -> Result<Duration> {
        let begun = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut batch = Vec::new();
        while answered < count {
            batch.clear();
            while sent < count && sent - answered < in_flight {
                batch.extend_from_slice(request.with_id(self.next_id()));
                sent += 1;
            }
            if !batch.is_empty() {
                self.write(&batch)?;
            }
            loop {
                self.read_line()?;
                request.check(&self.line)?;
                answered += 1;
                if !self.output.buffer().contains(&b'\n') {
                    break;
                }
            }
        }
        Ok(begun.elapsed())
    }

    /// Closes its input and waits for its end.
    pub(crate) fn end(mut self) -> Result<()> {
        self.input = None;
        self.process.wait()?;
        Ok(())
    }

    fn notify(&mut self, method: &str) -> Result<()> {
        self.write(format!("{}\n", json!({ "jsonrpc": "2.0", "method": method })).as_bytes())
    }

    fn write(&mut self, line: &[u8]) -> Result<()> {
        match &mut self.input {
            Some(input) => Ok(input.write_all(line)?),
            None => Err(Error::internal("the input is closed")),
        }
    }

    fn read_line(&mut self) -> Result<&[u8]> {
        self.line.clear();
        match self.output.read_until(b'\n', &mut self.line)? {
            0 => Err(Error::unavailable("the process has closed its output")),
            _ => Ok(&self.line),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn is_answer(line: &[u8], id: u64) -> bool {
    line.get(ID_AT..).is_some_and(|rest| rest.starts_with(id.to_string().as_bytes()))
}

impl Drop for Client {
    fn drop(&mut self) {
        self.input = None;
        let deadline = Instant::now() + Duration::from_secs(3);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Request {
    /// `tools/call` of a server's own tool.
    pub(crate) fn direct(tool: &str, arguments: &Value) -> Self {
        Self::new(&json!({ "name": tool, "arguments": arguments }))
    }

    /// The same call through the host.
    pub(crate) fn through_host(server_id: &Value, tool: &str, arguments: &Value) -> Self {
        let arguments = json!({ "serverId": server_id, "toolName": tool, "args": arguments });
        Self::new(&json!({ "name": "execute-tool", "arguments": arguments }))
    }

    fn new(params: &Value) -> Self {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{FIRST_ID},\"method\":\"tools/call\",\"params\":{params}}}\n");
        Self { line: line.into_bytes() }
    }

    fn with_id(&mut self, id: u64) -> &[u8] {
        let digits = id.to_string();
        self.line[ID_AT..ID_AT + digits.len()].copy_from_slice(digits.as_bytes());
        &self.line
    }

    /// Whether the line is the echo of a call, and not an error that came faster.
    fn check(&self, answer: &[u8]) -> Result<()> {
        let head = &answer[..answer.len().min(128)];
        if memchr::memmem::find(head, ECHOED).is_some() {
            return Ok(());
        }
        let shown: String = String::from_utf8_lossy(answer).chars().take(500).collect();
        Err(Error::internal(format!("this is no echo: {shown}")))
    }
}
