use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Reply, TestHome};

/// How long any single answer may take.
const PATIENCE: Duration = Duration::from_secs(150);

/// A host that answers over HTTP.
pub struct HttpHost {
    process: Child,
    pub address: SocketAddr,
    stderr: Arc<Mutex<Vec<u8>>>,
}

/// A client of it: with a session once it has initialised, without one otherwise.
#[derive(Clone)]
pub struct HttpClient {
    pub address: SocketAddr,
    pub token: Option<String>,
    pub session: Option<String>,
    pub last_id: u64,
}

/// An answer whose body is still to come.
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
}

impl HttpHost {
    /// `perennial serve --http` at a free port, with more arguments.
    pub fn spawn(home: &TestHome, arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--http", "127.0.0.1:0"], arguments].concat();
        Self::of(home.command(&arguments))
    }

    /// The one that a command starts.
    pub fn of(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (mut source, kept) = (process.stderr.take().unwrap(), stderr.clone());
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = source.read(&mut chunk) {
                kept.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on http://").and_then(|url| url.strip_suffix("/mcp"));
        let said = || String::from_utf8_lossy(&stderr.lock().unwrap()).into_owned();
        let address = url.unwrap_or_else(|| panic!("it does not listen: {line}{}", said())).parse().unwrap();
        Self { process, address, stderr }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A client with this token that has said nothing yet.
    pub fn client(&self, token: &str) -> HttpClient {
        HttpClient { address: self.address, token: Some(token.to_owned()), session: None, last_id: 0 }
    }

    /// What it has said on stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        super::processes::ended(&mut self.process, Duration::from_secs(30), &self.stderr)
    }

    /// SIGTERM, and its end.
    pub fn terminate(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for HttpHost {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.process.wait();
        }
    }
}

impl HttpClient {
    /// Sends a request as it is written, `Host` and token beside its own headers.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Answer::read(self.write(method, path, headers, body))
    }

    /// The same without waiting for an answer.
    pub fn write(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let mut add = |name: &str, value: &str| head += &format!("{name}: {value}\r\n");
        let own = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !own("host") {
            add("host", &self.address.to_string());
        }
        if let Some(token) = self.token.as_ref().filter(|_| !own("authorization")) {
            add("authorization", &format!("Bearer {token}"));
        }
        headers.iter().for_each(|(name, value)| add(name, value));
        add("content-length", &body.len().to_string());
        add("connection", "close");
        head += "\r\n";
        // a refusal may come, and the connection close, before all of it is written
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        stream
    }

    /// Sends a message.
    pub fn post(&self, message: &Value) -> Answer {
        Answer::read(self.write_message(message))
    }

    fn write_message(&self, message: &Value) -> TcpStream {
        let mut headers = vec![("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        if let Some(session) = &self.session {
            headers.extend([("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")]);
        }
        let method = message["method"].as_str().unwrap_or_default();
        let name = message["params"]["name"].as_str().unwrap_or_default();
        if self.session.is_none() && method != "initialize" {
            headers.extend([("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)]);
            if !name.is_empty() {
                headers.push(("mcp-name", name));
            }
        }
        self.write("POST", "/mcp", &headers, message.to_string().as_bytes())
    }

    /// Begins a session.
    pub fn initialise(self) -> Self {
        self.initialise_with(json!({}))
    }

    /// The same, with what the client can be asked for.
    pub fn initialise_with(mut self, capabilities: Value) -> Self {
        let answer = self.begin(
            "initialize",
            json!({
                "protocolVersion": "2025-11-25",
                "capabilities": capabilities,
                "clientInfo": { "name": "http-tests", "version": "1" }
            }),
        );
        assert_eq!(answer.status, 200);
        self.session = Some(answer.header("mcp-session-id").expect("a session begins").to_owned());
        assert_eq!(answer.result()["protocolVersion"], "2025-11-25");
        let initialised = self.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        assert_eq!(initialised.status, 202);
        self
    }

    /// Sends a request; without a session with what each needs then.
    pub fn begin(&mut self, method: &str, params: Value) -> Answer {
        Answer::read(self.ask(method, params))
    }

    /// The same without waiting for an answer; whoever drops what it gives hangs up.
    pub fn ask(&mut self, method: &str, mut params: Value) -> TcpStream {
        self.last_id += 1;
        if self.session.is_none() && method != "initialize" {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
            meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "http-tests", "version": "2" });
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        self.write_message(&json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params }))
    }

    /// Answers what the host asked within this session.
    pub fn answer(&self, asked: &Value, result: Value) {
        assert_eq!(self.post(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).status, 202);
    }

    /// Opens the stream of a session on which the host tells what belongs to no request.
    pub fn listen(&self) -> Answer {
        let session = self.session.as_deref().expect("a session has begun");
        let accepts = ("accept", "text/event-stream");
        self.send("GET", "/mcp", &[accepts, ("mcp-session-id", session), ("mcp-protocol-version", "2025-11-25")], b"")
    }

    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.begin(method, params).result()
    }

    /// Calls one of the host's tools.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        Reply::new(self.request("tools/call", json!({ "name": tool, "arguments": arguments })))
    }

    /// Calls a tool of a server.
    pub fn execute(&mut self, server: &str, tool: &str, arguments: Value) -> Reply {
        self.call("execute-tool", json!({ "serverId": server, "toolName": tool, "args": arguments }))
    }

    /// Creates a Python server from code.
    pub fn create_python(&mut self, code: &str) -> String {
        let reply = self.call("create-server-from-template", json!({ "language": "python", "code": code })).ok();
        reply.first_line_json()["serverId"].as_str().unwrap().to_owned()
    }
}

impl Answer {
    fn read(stream: TcpStream) -> Self {
        let mut body = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            body.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let first = line();
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {first:?}"));
        let fields = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty()));
        let headers =
            fields.filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned()))).collect();
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The next piece of the body; none at its end.
    fn piece(&mut self) -> Option<Vec<u8>> {
        if self.header("transfer-encoding") == Some("chunked") {
            let mut line = String::new();
            self.body.read_line(&mut line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).ok().filter(|length| *length > 0)?;
            let mut piece = vec![0; length + 2];
            self.body.read_exact(&mut piece).unwrap();
            piece.truncate(length);
            return Some(piece);
        }
        let length = self.header("content-length")?.parse().unwrap();
        self.headers.retain(|(name, _)| name != "content-length");
        let mut piece = vec![0; length];
        self.body.read_exact(&mut piece).unwrap();
        Some(piece)
    }

    /// The rest of the body.
    pub fn text(mut self) -> String {
        let pieces: Vec<u8> = std::iter::from_fn(|| self.piece()).flatten().collect();
        String::from_utf8(pieces).unwrap()
    }

    /// The next message as its bytes stand in the body; none at the end. The host writes a whole event at a time.
    pub fn next_text(&mut self) -> Option<String> {
        loop {
            let piece = String::from_utf8(self.piece()?).unwrap();
            if !self.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
                return Some(piece);
            }
            let data = piece.lines().find_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty());
            if let Some(data) = data {
                return Some(data.to_owned());
            }
        }
    }

    /// The next message.
    pub fn next(&mut self) -> Option<Value> {
        self.next_text().map(|text| serde_json::from_str(&text).unwrap())
    }

    /// The messages until the answer, and that as its bytes stand in the body.
    pub fn whole(mut self) -> (Vec<Value>, String) {
        let mut before = Vec::new();
        while let Some(text) = self.next_text() {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message.get("method").is_none() {
                return (before, text);
            }
            before.push(message);
        }
        panic!("no answer came after {before:?}");
    }

    /// The result that comes at last; an error fails the test.
    pub fn result(self) -> Value {
        let status = self.status;
        let (_, text) = self.whole();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.get("result").is_some(), "{status}: {answer}");
        answer["result"].take()
    }

    /// What the body says went wrong.
    pub fn error(self) -> String {
        let text = self.text();
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        answer["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
    }
}

impl TestHome {
    /// Makes a token for HTTP.
    pub fn token(&self, name: &str) -> String {
        let made = self.run(&["token", "create", name]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }
}
