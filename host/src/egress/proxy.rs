//! The HTTP proxy behind a gate: `CONNECT`, and whole URLs of `http:`.

use std::{convert::Infallible, net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    client, ext,
    header::{self, HeaderName, HeaderValue},
    server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::copy_bidirectional, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint, Host, Traffic,
    connect::{self, Failure, Way},
    quiet::Quiet,
};

/// Connections to one gate at a time; further ones wait.
const MOST_CONNECTIONS: usize = 128;

/// How long a request's head may take, and the silence between two.
const READING_A_HEAD: Duration = Duration::from_secs(30);

/// How long a server may take to begin its answer.
const ANSWERING: Duration = Duration::from_secs(300);

/// How long nothing at all may go through a connection.
const SILENCE: Duration = Duration::from_secs(600);

/// Headers of a request and of an answer.
const MOST_HEADERS: usize = 128;

/// Bytes of a head.
const LONGEST_HEAD: usize = 64 << 10;

/// Headers that concern one connection only: RFC 9110, section 7.6.1.
const OF_ONE_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// Serves a gate until it is closed.
pub(super) async fn serve(listener: TcpListener, traffic: Arc<Traffic>, closed: CancellationToken) {
    let nonblocking = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match nonblocking {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!(%error, "a gate cannot be served"),
    };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let accepting = async {
        while let Ok(place) = room.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (traffic, closed) = (traffic.clone(), closed.clone());
                    tokio::spawn(async move {
                        let _place = place;
                        closed.run_until_cancelled(converse(stream, traffic)).await;
                    });
                }
                // such as too many open files: it may pass
                Err(error) => {
                    tracing::debug!(%error, "a connection to a gate failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    closed.run_until_cancelled(accepting).await;
}

async fn converse(stream: tokio::net::TcpStream, traffic: Arc<Traffic>) {
    let _ = stream.set_nodelay(true);
    let (tunnels, mut tunnel) = tokio::sync::mpsc::channel(1);
    let service = service_fn(move |request| {
        let (traffic, tunnels) = (traffic.clone(), tunnels.clone());
        async move { Ok::<_, Infallible>(answer(request, &traffic, tunnels).await) }
    });
    let mut http = server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(READING_A_HEAD)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD);
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    // here and not in a task of its own: the gate must be able to close it
    if let Ok((upgrade, upstream)) = tunnel.try_recv() {
        carry(upgrade, upstream).await;
    }
}

type Tunnel = (hyper::upgrade::OnUpgrade, connect::Stream);

async fn carry(upgrade: hyper::upgrade::OnUpgrade, upstream: connect::Stream) {
    if let Ok(upgraded) = upgrade.await {
        let mut upstream = Quiet::new(upstream, SILENCE);
        let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut upstream).await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    traffic: &Traffic,
    tunnels: tokio::sync::mpsc::Sender<Tunnel>,
) -> Answer {
    if !traffic.is_known(request.headers().get(header::PROXY_AUTHORIZATION)) {
        let mut answer =
            said(StatusCode::PROXY_AUTHENTICATION_REQUIRED, None, "this gate is another process'\n".into());
        answer.headers_mut().insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"perennial\""));
        return answer;
    }
    let connects = request.method() == Method::CONNECT;
    let to = match target(request.uri(), connects) {
        Ok(to) => to,
        Err(why) => return said(StatusCode::BAD_REQUEST, None, format!("{why}\n")),
    };
    let Some(rule) = traffic.rules.find(&to) else {
        return denied(traffic, &to, traffic.rules.of.not_granted(), &traffic.rules.of.remedy(&to.to_string()));
    };
    if connects {
        return match connect::tunnel(&traffic.upstream, rule, &to).await {
            Ok(stream) => {
                let _ = tunnels.try_send((hyper::upgrade::on(&mut request), stream));
                Response::new(nothing())
            }
            Err(failure) => failed(traffic, &to, failure),
        };
    }
    match connect::way(&traffic.upstream, rule, &to).await {
        Ok(way) => match timeout(ANSWERING, forward(request, way)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => failed(traffic, &to, Failure::Unreachable(format!("`{to}`: {error}"))),
            Err(_) => failed(traffic, &to, Failure::TimedOut(format!("`{to}` did not answer in time"))),
        },
        Err(failure) => failed(traffic, &to, failure),
    }
}

/// Where a request wants to.
fn target(uri: &Uri, connects: bool) -> Result<Endpoint, &'static str> {
    let usual = match (connects, uri.scheme_str()) {
        (true, _) => None,
        (false, Some("http")) => Some(80),
        (false, Some(_)) => return Err("only `http:` is asked for by its whole URL; `CONNECT` is for everything else"),
        (false, None) => return Err("this is a proxy: ask for a whole URL, or `CONNECT`"),
    };
    let authority = uri.authority().ok_or("there is no host")?;
    if authority.as_str().contains('@') {
        return Err("there are credentials in the host");
    }
    let host = Host::parse(authority.host()).map_err(|_| "there is no valid host")?;
    match authority.port_u16().or(usual) {
        Some(port @ 1..) if !matches!(host, Host::Below(_)) => Ok(Endpoint { host, port: Some(port) }),
        _ => Err("there is no valid port"),
    }
}

async fn forward(request: Request<Incoming>, way: Way) -> Result<Answer, hyper::Error> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().map(ToString::to_string).unwrap_or_default();
    strip(&mut head.headers);
    head.headers.remove(header::HOST);
    if let Ok(host) = HeaderValue::from_str(&authority) {
        head.headers.insert(header::HOST, host);
    }
    head.version = hyper::Version::HTTP_11;
    let stream = match way {
        Way::Direct(stream) => {
            let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
            head.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
            stream
        }
        Way::Proxy(stream, proxy) => {
            if let Some(auth) = proxy.basic_auth() {
                head.headers.insert(header::PROXY_AUTHORIZATION, auth.clone());
            }
            stream
        }
    };
    let mut http = client::conn::http1::Builder::new();
    http.max_headers(MOST_HEADERS).max_buf_size(LONGEST_HEAD);
    let (mut sender, connection) = http.handshake(TokioIo::new(Quiet::new(stream, SILENCE))).await?;
    // it ends with the answer's body, or when nobody wants that any more
    tokio::spawn(connection);
    let mut answer = sender.send_request(Request::from_parts(head, body)).await?;
    strip(answer.headers_mut());
    Ok(answer.map(BodyExt::boxed))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in OF_ONE_HOP {
        headers.remove(*name);
    }
}

fn failed(traffic: &Traffic, to: &Endpoint, failure: Failure) -> Answer {
    match failure {
        Failure::Forbidden(why) => denied(traffic, to, &why, &traffic.rules.of.remedy_for_private(&to.to_string())),
        Failure::Unreachable(why) => said(StatusCode::BAD_GATEWAY, None, format!("{why}\n")),
        Failure::TimedOut(why) => said(StatusCode::GATEWAY_TIMEOUT, None, format!("{why}\n")),
    }
}

/// Says no, and remembers it. Many clients show no more of it than the first line.
fn denied(traffic: &Traffic, to: &Endpoint, why: &str, remedy: &str) -> Answer {
    let place = to.to_string();
    traffic.denials.add(&place, why, remedy);
    let reason =
        ext::ReasonPhrase::try_from(format!("Forbidden: {place} {}", traffic.rules.of.not_granted()).into_bytes()).ok();
    let mut answer = said(StatusCode::FORBIDDEN, reason, format!("denied: `{place}` {why}; {remedy}\n"));
    if let Ok(place) = HeaderValue::from_str(&place) {
        answer.headers_mut().insert("x-perennial-denied", place);
    }
    answer
}

fn said(status: StatusCode, reason: Option<ext::ReasonPhrase>, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed());
    *answer.status_mut() = status;
    answer.extensions_mut().extend(
        reason
            .map(|reason| {
                let mut all = hyper::http::Extensions::new();
                all.insert(reason);
                all
            })
            .unwrap_or_default(),
    );
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn nothing() -> BoxBody<Bytes, hyper::Error> {
    Full::default().map_err(|never| match never {}).boxed()
}
