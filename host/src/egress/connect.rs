//! Connections to where somebody wants to, as far as the rules have it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::Uri;
use hyper_util::{
    client::{legacy::connect::proxy::SocksV5, proxy::matcher::Intercept},
    rt::TokioIo,
};
use perennial_sdk::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::ring, pki_types::ServerName},
};
use tower_service::Service;

use super::{Endpoint, Host, rules::Rule, upstream::Upstream};

/// How long a name may take to resolve.
const RESOLVING: Duration = Duration::from_secs(10);

/// How long one address may take to answer while there are others, and the last one.
const CONNECTING: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(15));

/// Bytes of the head of a proxy's answer.
const LONGEST_ANSWER: usize = 16 << 10;

/// A connection, whatever carries it.
pub(super) type Stream = Box<dyn Carrier>;

/// What bytes go through.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The name leads where its rule does not allow.
    Forbidden(String),
    /// It does not come about.
    Unreachable(String),
    /// It takes too long.
    TimedOut(String),
}

/// How a request without a tunnel is made.
pub(super) enum Way {
    /// On a connection to the server itself.
    Direct(Stream),
    /// On a connection to a proxy, which is given the whole URL.
    Proxy(Stream, Intercept),
}

/// A connection of bytes to `to`, through the operator's proxy where there is one.
pub(super) async fn tunnel(upstream: &Upstream, rule: &Rule, to: &Endpoint) -> Result<Stream, Failure> {
    let port = to.port.unwrap_or(443);
    match upstream.towards("https", &to.host, port) {
        Some(proxy) => {
            vouched(rule, to).await?;
            through(proxy, to).await
        }
        None => direct(rule, to).await,
    }
}

/// How to ask `to` for a page by plain HTTP.
pub(super) async fn way(upstream: &Upstream, rule: &Rule, to: &Endpoint) -> Result<Way, Failure> {
    let port = to.port.unwrap_or(80);
    match upstream.towards("http", &to.host, port) {
        Some(proxy) => {
            vouched(rule, to).await?;
            match proxy.uri().scheme_str() {
                Some("http" | "https") => Ok(Way::Proxy(to_proxy(proxy.uri().clone()).await.map_err(lost)?, proxy)),
                _ => Ok(Way::Direct(through(proxy, to).await?)),
            }
        }
        None => Ok(Way::Direct(direct(rule, to).await?)),
    }
}

async fn direct(rule: &Rule, to: &Endpoint) -> Result<Stream, Failure> {
    let addresses = addresses(to).await?;
    // what was looked at is what is connected to: a name that means something else the next moment gains nothing
    let allowed: Vec<_> = addresses.iter().filter(|address| rule.allows(address.ip())).copied().collect();
    match (allowed.as_slice(), addresses.first()) {
        ([], Some(address)) => Err(Failure::Forbidden(format!("leads to `{}`, which is not public", address.ip()))),
        ([], None) => Err(Failure::Unreachable(format!("`{}` has no address", to.host))),
        (allowed, _) => Ok(Box::new(first_of(allowed, to).await?)),
    }
}

/// Sees to it that a name that only public addresses may hide behind does not mean others to the proxy.
async fn vouched(rule: &Rule, to: &Endpoint) -> Result<(), Failure> {
    if rule.reach != super::Reach::Public {
        return Ok(());
    }
    match addresses(to).await {
        Ok(addresses) => match addresses.iter().find(|address| !rule.allows(address.ip())) {
            Some(address) => Err(Failure::Forbidden(format!("leads to `{}`, which is not public", address.ip()))),
            None => Ok(()),
        },
        Err(_) => {
            Err(Failure::Forbidden("cannot be resolved here, so that nobody can tell whether it is public".into()))
        }
    }
}

async fn addresses(to: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let port = to.port.unwrap_or(443);
    let name = match &to.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, port)]),
        Host::Name(name) | Host::Below(name) => name,
    };
    match timeout(RESOLVING, lookup_host((name.as_str(), port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(Failure::Unreachable(format!("`{name}` cannot be resolved: {error}"))),
        Err(_) => Err(Failure::TimedOut(format!("`{name}` was not resolved within {} s", RESOLVING.as_secs()))),
    }
}

async fn first_of(addresses: &[SocketAddr], to: &Endpoint) -> Result<TcpStream, Failure> {
    let mut failure = Failure::Unreachable(format!("`{to}` has no address"));
    for (number, address) in addresses.iter().enumerate() {
        let limit = if number + 1 < addresses.len() { CONNECTING.0 } else { CONNECTING.1 };
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = Failure::Unreachable(format!("`{to}` does not answer: {error}")),
            Err(_) => failure = Failure::TimedOut(format!("`{to}` did not answer within {} s", limit.as_secs())),
        }
    }
    Err(failure)
}

/// A tunnel through a proxy.
async fn through(proxy: Intercept, to: &Endpoint) -> Result<Stream, Failure> {
    let uri = format!("https://{}:{}/", to.host, to.port.unwrap_or(443)).parse::<Uri>();
    let uri = uri.map_err(|error| Failure::Unreachable(format!("`{to}` is no address: {error}")))?;
    let refused = |error: &dyn std::fmt::Display| {
        Failure::Unreachable(format!("the operator's proxy does not connect to `{to}`: {error}"))
    };
    let made = async {
        if proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks5")) {
            let mut socks = SocksV5::new(proxy.uri().clone(), ToProxy);
            if let Some((user, password)) = proxy.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            return socks.call(uri).await.map(TokioIo::into_inner).map_err(|error| refused(&error));
        }
        let mut stream = to_proxy(proxy.uri().clone()).await.map_err(lost)?;
        match ask_to_connect(&mut stream, &proxy, to).await {
            Ok(status) if status.starts_with('2') => Ok(stream),
            Ok(status) => Err(refused(&status)),
            Err(error) => Err(refused(&error)),
        }
    };
    match timeout(2 * CONNECTING.1, made).await {
        Ok(made) => made,
        Err(_) => Err(Failure::TimedOut(format!("the operator's proxy did not connect to `{to}` in time"))),
    }
}

/// Sends a `CONNECT`, and reads the head of the answer and nothing more: what comes next is the other end's. Answers its
/// status.
async fn ask_to_connect(stream: &mut Stream, proxy: &Intercept, to: &Endpoint) -> io::Result<String> {
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(auth) = proxy.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(auth.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > LONGEST_ANSWER {
            return Err(io::Error::other("its answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    match line.split_once(' ') {
        Some((version, status)) if version.starts_with("HTTP/1.") => {
            Ok(status.chars().filter(|c| !c.is_control()).collect())
        }
        _ => Err(io::Error::other("it does not speak HTTP")),
    }
}

/// Connects to the proxy itself.
#[derive(Clone)]
struct ToProxy;

impl Service<Uri> for ToProxy {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        Box::pin(async move { to_proxy(proxy).await.map(TokioIo::new) })
    }
}

async fn to_proxy(proxy: Uri) -> io::Result<Stream> {
    let host = proxy.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let usual = match proxy.scheme_str() {
        Some("https") => 443,
        Some(scheme) if scheme.starts_with("socks") => 1080,
        _ => 80,
    };
    let connecting = TcpStream::connect((host.as_str(), proxy.port_u16().unwrap_or(usual)));
    let stream = timeout(CONNECTING.1, connecting).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let _ = stream.set_nodelay(true);
    if proxy.scheme_str() != Some("https") {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(tls()?));
    Ok(Box::new(
        timeout(CONNECTING.1, connector.connect(name, stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??,
    ))
}

/// Trusts whom the machine trusts.
fn tls() -> io::Result<ClientConfig> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_platform_verifier().map_err(io::Error::other)?.with_no_client_auth())
}

fn lost(error: io::Error) -> Failure {
    Failure::Unreachable(format!("the operator's proxy does not answer: {error}"))
}
