use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Reply;

/// How long a first build of many crates may take on a machine that does other things too.
pub const LONGEST_BUILD: Duration = Duration::from_secs(900);

/// How long any single answer may take: a cold environment with packages is the slowest.
const PATIENCE: Duration = Duration::from_secs(150);

/// A running host and the client's end of its wire.
///
/// A line on its stdout that is not a JSON-RPC message fails the test that reads it. Every failure shows what the host
/// said on stderr.
pub struct TestHost {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    aside: VecDeque<Value>,
    stderr: Arc<Mutex<Vec<u8>>>,
    last_id: u64,
}

impl TestHost {
    pub fn spawn(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stdout
                .split(b'\n')
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(String::from_utf8_lossy(&line).into_owned()))
        });
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (mut source, kept) = (process.stderr.take().unwrap(), stderr.clone());
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                kept.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        let stdin = process.stdin.take();
        Self { process, stdin, lines, aside: VecDeque::new(), stderr, last_id: 0 }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has said on stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Writes bytes as they are; whether the host still reads.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let stdin = self.stdin.as_mut().expect("stdin is still open");
        match stdin.write_all(bytes).and_then(|()| stdin.flush()) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
            Err(error) => panic!("failed to write to the host: {error}"),
        }
    }

    pub fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        assert!(self.write(line.as_bytes()), "the host no longer reads\n{}", self.stderr());
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// Sends a request and returns its id.
    pub fn begin(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = json!(self.last_id);
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends a request and waits for the whole message that answers it.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.answer(&id)
    }

    /// Waits for the message that answers `id`; others are kept for [`TestHost::receive`].
    pub fn answer(&mut self, id: &Value) -> Value {
        self.expect(&format!("an answer to request {id}"), |message| {
            message.get("method").is_none() && message.get("id") == Some(id)
        })
    }

    /// Waits for a notification of this method.
    pub fn notification(&mut self, method: &str) -> Value {
        self.expect(method, |message| message["method"] == method)
    }

    /// Waits for a message that fits; others are kept.
    pub fn expect(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(index) = self.aside.iter().position(&fits) {
            return self.aside.remove(index).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_line(deadline) {
                Some(message) if fits(&message) => return message,
                Some(message) => self.aside.push_back(message),
                None => panic!("no {what} came; kept aside: {:?}\nstderr of the host:\n{}", self.aside, self.stderr()),
            }
        }
    }

    /// The next message, whatever it is; `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<Value> {
        self.aside.pop_front().or_else(|| self.next_line(Instant::now() + PATIENCE))
    }

    /// The next message that was kept aside.
    pub fn receive_aside(&mut self) -> Option<Value> {
        self.aside.pop_front()
    }

    /// Every message that is still to come before the host closes its stdout.
    pub fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    /// Drops every message that was kept aside.
    pub fn forget(&mut self) {
        self.aside.clear();
    }

    /// Calls one of the host's tools.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        let id = self.begin_call(tool, arguments);
        self.reply(&id)
    }

    /// Calls one of the host's tools without waiting.
    pub fn begin_call(&mut self, tool: &str, arguments: Value) -> Value {
        self.begin("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Waits for the result of a call; an error of the protocol itself fails the test.
    pub fn reply(&mut self, id: &Value) -> Reply {
        let answer = self.answer(id);
        let result = answer.get("result").unwrap_or_else(|| panic!("not a result: {answer}\n{}", self.stderr()));
        Reply::new(result.clone())
    }

    /// Waits until a tool is listed: that of a process joins when the process is up.
    pub fn wait_for_tool(&mut self, name: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = self.request("tools/list", json!({}));
            let tools = listed["result"]["tools"].as_array().unwrap();
            if tools.iter().any(|tool| tool["name"] == name) {
                return;
            }
            assert!(Instant::now() < deadline, "no tool `{name}` is listed: {tools:?}\n{}", self.stderr());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Creates a server and returns its id, after waiting for a slow build.
    pub fn create(&mut self, arguments: Value) -> String {
        self.create_within(arguments, PATIENCE)
    }

    /// The same for a build that takes longer than any other.
    pub fn create_within(&mut self, arguments: Value, limit: Duration) -> String {
        let reply = self.call("create-server-from-template", arguments).ok();
        let id = reply.first_line_json()["serverId"].as_str().unwrap().to_owned();
        let facts = self.wait_within(limit, &id, &["ready", "failed"]);
        assert_eq!(facts["state"], "ready", "{}", facts["error"]);
        id
    }

    /// Creates a Python server from code.
    pub fn create_python(&mut self, code: &str) -> String {
        self.create(json!({"language": "python", "code": code}))
    }

    /// Calls a tool of a server.
    pub fn execute(&mut self, server: &str, tool: &str, arguments: Value) -> Reply {
        self.call("execute-tool", json!({"serverId": server, "toolName": tool, "args": arguments}))
    }

    /// Waits until `get-server` tells one of `states`, and returns all that it tells.
    pub fn wait_for_state(&mut self, server: &str, states: &[&str]) -> Value {
        self.wait_within(PATIENCE, server, states)
    }

    /// The same within another time.
    pub fn wait_within(&mut self, limit: Duration, server: &str, states: &[&str]) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let facts = self.call("get-server", json!({"serverId": server})).ok().facts();
            let state = facts["state"].as_str().unwrap_or_else(|| panic!("no state in {facts}"));
            if states.contains(&state) {
                return facts;
            }
            assert!(Instant::now() < deadline, "`{server}` is still `{state}`, not one of {states:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the host's stdin and waits for its end.
    pub fn close(mut self) -> ExitStatus {
        self.stdin = None;
        self.wait()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// SIGTERM.
    pub fn terminate(mut self) -> ExitStatus {
        kill_process(self.process_id(), Signal::TERM).unwrap();
        self.wait()
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        kill_process(self.process_id(), Signal::HUP).unwrap();
    }

    /// Waits until it has said this on stderr.
    pub fn wait_for_stderr(&self, text: &str) {
        let said = super::wait_until(PATIENCE, || self.stderr().contains(text));
        assert!(said, "`{text}` was never said\n{}", self.stderr());
    }

    /// SIGKILL: the host can do nothing about it.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        super::processes::ended(&mut self.process, Duration::from_secs(20), &self.stderr)
    }

    fn process_id(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed()).unwrap()
    }

    fn next_line(&mut self, deadline: Instant) -> Option<Value> {
        let line = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came from the host\n{}", self.stderr()),
        };
        let message: Value = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("not JSON on stdout ({error}): {line:.300}\n{}", self.stderr()));
        assert_eq!(message["jsonrpc"], "2.0", "not JSON-RPC on stdout: {line:.300}");
        assert!(!line.contains('\r'), "some clients end a line at a carriage return: {line:.300}");
        Some(message)
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.stdin = None;
        for _ in 0..1000 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
