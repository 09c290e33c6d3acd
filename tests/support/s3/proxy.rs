use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Answered without being done.
    Status(u16),
    /// Done, and answered with this instead.
    AppliedThenStatus(u16),
    /// Done, and the connection is cut instead of an answer.
    AppliedThenCut,
    /// The connection is cut, and nothing is done.
    Cut,
    /// Half of the body arrives.
    TornUpload,
    /// Half of the answer arrives.
    TornAnswer,
    /// Late, by as many milliseconds.
    Delay(u64),
    /// No answer ever comes.
    BlackHole,
}

/// Stands before a store. `Host` is kept, so that signatures hold.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

type Weather = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    rules: VecDeque<(&'static str, String, Fault)>,
    /// Chooses a fault for each request that no rule is for.
    weather: Option<Weather>,
    log: Vec<String>,
}

struct Request {
    method: String,
    path: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Proxy {
    pub fn before(store: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = proxy.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || serve(client, store, &state));
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the next request of this method go wrong whose path contains `part`.
    pub fn plan(&self, method: &'static str, part: &str, fault: Fault) {
        self.state.lock().unwrap().rules.push_back((method, part.into(), fault));
    }

    /// Makes requests go wrong as `choose` says of each method.
    pub fn weather(&self, choose: impl FnMut(&str) -> Option<Fault> + Send + 'static) {
        self.state.lock().unwrap().weather = Some(Box::new(choose));
    }

    pub fn clear(&self) {
        let mut state = self.state.lock().unwrap();
        state.rules.clear();
        state.weather = None;
    }

    /// What was asked since the last time, as `METHOD path`, with ` !` behind what went wrong.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }
}

impl State {
    fn fault(&mut self, request: &Request) -> Option<Fault> {
        let fits = |(method, part, _): &(&str, String, Fault)| *method == request.method && request.path.contains(part);
        let fault = match self.rules.iter().position(fits) {
            Some(index) => self.rules.remove(index).map(|(_, _, fault)| fault),
            None => self.weather.as_mut().and_then(|choose| choose(&request.method)),
        };
        let mark = if fault.is_some() { " !" } else { "" };
        self.log.push(format!("{} {}{mark}", request.method, request.path));
        fault
    }
}

/// One request a connection: what follows would only hide who caused which end.
fn serve(mut client: TcpStream, store: SocketAddr, state: &Mutex<State>) {
    let Some(request) = Request::read(&client) else { return };
    let fault = state.lock().unwrap().fault(&request);
    let answer = match fault {
        Some(Fault::Status(status)) => Some(error(status)),
        Some(Fault::AppliedThenStatus(status)) => request.forward(store, 1.0).map(|_| error(status)),
        Some(Fault::AppliedThenCut) => request.forward(store, 1.0).and(None),
        Some(Fault::Cut) => None,
        Some(Fault::TornUpload) => request.forward(store, 0.5).and(None),
        Some(Fault::TornAnswer) => request.forward(store, 1.0).map(|answer| answer[..answer.len() / 2].to_vec()),
        Some(Fault::Delay(ms)) => {
            thread::sleep(Duration::from_millis(ms));
            request.forward(store, 1.0)
        }
        Some(Fault::BlackHole) => {
            // until the client gives up
            let _ = client.read(&mut [0]);
            None
        }
        None => request.forward(store, 1.0),
    };
    if let Some(answer) = answer {
        let _ = client.write_all(&answer);
    }
    let _ = client.shutdown(Shutdown::Both);
}

impl Request {
    fn read(client: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(client);
        let (mut head, mut length, mut first) = (Vec::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_lowercase();
            if first.is_empty() {
                first.clone_from(&line);
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                head.extend_from_slice(b"Connection: close\r\n\r\n");
                break;
            }
            if !lower.starts_with("connection:") {
                head.extend_from_slice(line.as_bytes());
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut words = first.split_whitespace().map(str::to_owned);
        Some(Self { method: words.next()?, path: words.next()?, head, body })
    }

    /// The store's answer to as much of the body as `part` says.
    fn forward(&self, store: SocketAddr, part: f64) -> Option<Vec<u8>> {
        let mut store = TcpStream::connect(store).ok()?;
        store.write_all(&self.head).ok()?;
        store.write_all(&self.body[..(self.body.len() as f64 * part) as usize]).ok()?;
        if part < 1.0 {
            store.shutdown(Shutdown::Write).ok()?;
        }
        let mut answer = Vec::new();
        store.read_to_end(&mut answer).ok()?;
        Some(answer)
    }
}

fn error(status: u16) -> Vec<u8> {
    let code = match status {
        409 => "ConditionalRequestConflict",
        429 | 503 => "SlowDown",
        _ => "InternalError",
    };
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
    let length = body.len();
    format!("HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}
