use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::Arc,
    thread,
};

/// What a canned store is asked.
pub struct Asked {
    pub method: String,
    pub path: String,
    /// Its lines in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// Answers every request with the same `head` and `body`; its address.
pub fn answering(head: &str, body: &str) -> String {
    let answer = (head.to_owned(), body.to_owned());
    serving(move |_| answer.clone())
}

/// Answers each request with a head and a body; its address.
pub fn serving(answer: impl Fn(Asked) -> (String, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let asked = Asked::read(BufReader::new(client.try_clone().unwrap()));
                let (head, body) = answer(asked);
                let length = body.len();
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                let _ = client.write_all(answer.as_bytes());
            });
        }
    });
    endpoint
}

impl Asked {
    fn read(mut reader: impl BufRead) -> Self {
        let (mut head, mut line) = (String::new(), String::from("-"));
        reader.read_line(&mut head).unwrap();
        let mut words = head.split_whitespace().map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        while !line.trim().is_empty() {
            line.clear();
            reader.read_line(&mut line).unwrap();
            head += &line.to_lowercase();
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        let _ = reader.read_exact(&mut body);
        Self { method, path, head, body }
    }
}

/// An error document of S3.
pub fn document(code: &str, message: &str, more: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>")
}
