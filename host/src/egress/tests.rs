use std::collections::BTreeMap;

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A gate that is open, as the process behind it sees it.
struct Open {
    traffic: Arc<Traffic>,
    address: std::net::SocketAddr,
    login: String,
    keeping: Option<Box<dyn std::any::Any + Send + Sync>>,
    _gates: Arc<Gates>,
}

impl Open {
    fn new(allowed: &[(&str, Reach)], upstream: &[(&str, String)]) -> Self {
        let rule =
            |(place, reach): &(&str, Reach)| Rule { endpoint: Endpoint::of_operator(place).unwrap(), reach: *reach };
        let rules = Rules { allowed: allowed.iter().map(rule).collect(), of: Whose::Server };
        let upstream = upstream.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let traffic = Traffic::new(rules, Arc::new(Upstream::of(&upstream)));
        let gates = Gates::new();
        let gate = gates.gate(&traffic).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = gate.variables["HTTPS_PROXY"].replace("{gate}", &address.to_string());
        let login = url.strip_prefix("http://").unwrap().split('@').next().unwrap().to_owned();
        let login = format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(login));
        Self { traffic, address, login, keeping: Some((gate.keeper.0)(listener)), _gates: gates }
    }

    /// Sends a head, and reads to the end of the answer's.
    async fn ask(&self, line: &str, headers: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{line} HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        (stream, String::from_utf8(head).unwrap())
    }

    async fn asked(&self, line: &str) -> (TcpStream, String) {
        self.ask(line, &self.login).await
    }
}

/// A server that answers the first line of what it is told with all of it, whatever that is.
async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = vec![0; 4096];
                let length = stream.read(&mut said).await.unwrap();
                let body = String::from_utf8_lossy(&said[..length]).into_owned();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text).await;
    text
}

#[tokio::test]
async fn what_is_granted_is_a_tunnel() {
    let place = echo().await.to_string();
    let open = Open::new(&[(&place, Reach::Private)], &[]);
    let (mut stream, head) = open.asked(&format!("CONNECT {place}")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream.write_all(b"anything at all").await.unwrap();
    assert!(rest(stream).await.ends_with("anything at all"));
    assert_eq!(open.traffic.denials.total(), 0);
}

#[rstest]
#[case("CONNECT other.example.com:443", "other.example.com:443")]
#[case("CONNECT OTHER.example.com.:443", "other.example.com:443")]
#[case("CONNECT api.example.com:22", "api.example.com:22")]
#[case("CONNECT 169.254.169.254:80", "169.254.169.254:80")]
#[case("CONNECT [::1]:443", "[::1]:443")]
#[case("GET http://metadata.google.internal/computeMetadata/v1/", "metadata.google.internal:80")]
#[tokio::test]
async fn what_is_not_granted_is_told_with_its_remedy(#[case] line: &str, #[case] place: &str) {
    let open = Open::new(&[("api.example.com:443", Reach::Public)], &[]);
    let (stream, head) = open.asked(line).await;
    assert!(head.starts_with(&format!("HTTP/1.1 403 Forbidden: {place} is not granted to this server\r\n")), "{head}");
    assert!(head.contains(&format!("x-perennial-denied: {place}\r\n")), "{head}");
    drop(stream);
    let denial = open.traffic.denials.all().remove(0);
    assert_eq!(
        denial.to_string(),
        format!(
            "denied: `{place}` is not granted to this server; `update-server` with `permissions` whose `network` lists \
             \"{place}\", beside what it lists now, asks for it"
        )
    );
}

#[rstest]
#[case("GET / ", 400)]
#[case("GET https://api.example.com/", 400)]
#[case("GET http://user:password@api.example.com/", 400)]
#[case("CONNECT api.example.com", 400)]
#[case("CONNECT *.example.com:443", 400)]
#[case("CONNECT 2130706433:443", 400)]
#[tokio::test]
async fn what_is_no_request_for_a_proxy(#[case] line: &str, #[case] status: u16) {
    let open = Open::new(&[("*.example.com:443", Reach::Public)], &[]);
    let (_stream, head) = open.asked(line).await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_denied_when_it_is_used() {
    let port = echo().await.port();
    let place = format!("localhost:{port}");
    let open = Open::new(&[(&place, Reach::Public)], &[]);
    let (_stream, head) = open.asked(&format!("CONNECT {place}")).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let denial = open.traffic.denials.all().remove(0);
    assert!(denial.why.contains("which is not public") && denial.remedy.contains("[policy]"), "{denial}");
    let open = Open::new(&[(&place, Reach::Private)], &[]);
    assert!(open.asked(&format!("CONNECT {place}")).await.1.starts_with("HTTP/1.1 200"));
}

#[rstest]
#[case::none("")]
#[case::wrong("Proxy-Authorization: Basic cGVyZW5uaWFsOm5v\r\n")]
#[case::no_basic("Proxy-Authorization: Bearer x\r\n")]
#[tokio::test]
async fn others_on_the_machine_are_turned_away(#[case] headers: &str) {
    let place = echo().await.to_string();
    let open = Open::new(&[(&place, Reach::All)], &[]);
    let (_stream, head) = open.ask(&format!("CONNECT {place}"), headers).await;
    assert!(head.starts_with("HTTP/1.1 407"), "{head}");
}

#[tokio::test]
async fn a_page_is_asked_for_without_what_concerns_the_gate() {
    let place = echo().await.to_string();
    let open = Open::new(&[(&place, Reach::Private)], &[]);
    let headers =
        format!("Host: elsewhere.example.com\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Kept: 1\r\n{}", open.login);
    let (stream, head) = open.ask(&format!("GET http://{place}/a?b=c"), &headers).await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.to_lowercase().contains("x-hop"), "{head}");
    let mut seen = vec![0; 4096];
    let mut stream = stream;
    let length = stream.read(&mut seen).await.unwrap();
    let seen = String::from_utf8_lossy(&seen[..length]).to_lowercase();
    assert!(seen.starts_with("get /a?b=c http/1.1\r\n"), "{seen}");
    assert!(seen.contains(&format!("host: {place}\r\n")) && seen.contains("x-kept: 1"), "{seen}");
    assert!(!seen.contains("proxy-auth") && !seen.contains("x-mine") && !seen.contains("elsewhere"), "{seen}");
}

#[tokio::test]
async fn heads_without_end_are_cut_off() {
    let open = Open::new(&[], &[]);
    let long = format!("X: {}\r\n", "x".repeat(200_000));
    let mut stream = TcpStream::connect(open.address).await.unwrap();
    let _ = stream.write_all(format!("GET http://a.example.com/ HTTP/1.1\r\n{long}\r\n").as_bytes()).await;
    assert!(!rest(stream).await.starts_with("HTTP/1.1 2"));
}

/// The operator's own proxy: says what it was asked, and connects to nothing.
async fn operators_proxy() -> (std::net::SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, (sender, asked)) = (listener.local_addr().unwrap(), tokio::sync::mpsc::channel(8));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let answer = if head.starts_with("CONNECT") {
                "200 OK\r\n\r\nthrough"
            } else {
                "200 OK\r\nContent-Length: 7\r\n\r\nthrough"
            };
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await.unwrap();
            let _ = sender.send(head).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn the_operators_own_proxy_is_the_way_out() {
    let (proxy, mut asked) = operators_proxy().await;
    let variables = [("HTTPS_PROXY", format!("http://me:s3cret@{proxy}")), ("HTTP_PROXY", format!("http://{proxy}"))];
    let open = Open::new(&[("pypi.org:443", Reach::Private), ("mirror.corp:80", Reach::Private)], &variables);
    let (mut stream, head) = open.asked("CONNECT pypi.org:443").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut through = [0; 7];
    stream.read_exact(&mut through).await.unwrap();
    assert_eq!(&through, b"through");
    let head = asked.recv().await.unwrap();
    let auth = format!("proxy-authorization: basic {}", BASE64_STANDARD.encode("me:s3cret").to_lowercase());
    assert!(head.starts_with("CONNECT pypi.org:443 ") && head.to_lowercase().contains(&auth), "{head}");
    let (_stream, answer) = open.asked("GET http://mirror.corp/simple/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let head = asked.recv().await.unwrap();
    assert!(
        head.starts_with("GET http://mirror.corp/simple/ ") && !head.to_lowercase().contains("proxy-auth"),
        "{head}"
    );
}

#[tokio::test]
async fn a_name_that_nobody_here_can_vouch_for_is_not_left_to_the_operators_proxy() {
    let (proxy, _asked) = operators_proxy().await;
    let variables = [("ALL_PROXY", format!("http://{proxy}"))];
    let open = Open::new(&[("no-such-name.invalid:443", Reach::Public), ("localhost:443", Reach::Public)], &variables);
    for place in ["no-such-name.invalid:443", "localhost:443"] {
        let (_stream, head) = open.asked(&format!("CONNECT {place}")).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
}

#[tokio::test]
async fn a_gate_that_is_given_back_is_closed() {
    let place = echo().await.to_string();
    let mut open = Open::new(&[(&place, Reach::Private)], &[]);
    let (stream, head) = open.asked(&format!("CONNECT {place}")).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    open.keeping = None;
    assert_eq!(rest(stream).await, "");
    let refused = async {
        while TcpStream::connect(open.address).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), refused).await.unwrap();
}

#[test]
fn every_client_is_told_the_way() {
    let variables: BTreeMap<String, String> = variables::of("t0ken");
    assert_eq!(variables["https_proxy"], "http://perennial:t0ken@{gate}");
    assert_eq!(variables["NO_PROXY"], "");
    assert_eq!(variables["NODE_USE_ENV_PROXY"], "1");
    assert!(variables.keys().all(|name| names_a_proxy(name)));
    assert!(names_a_proxy("NPM_CONFIG_HTTPS_PROXY") && !names_a_proxy("SSL_CERT_FILE"));
}
