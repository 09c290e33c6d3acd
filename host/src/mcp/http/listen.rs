use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use perennial_sdk::{Error, ErrorCode, Result};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    gate::Gate,
    strangers::{Stranger, Strangers},
};

/// How long a request's head may take, and the silence between two.
const READING_A_HEAD: Duration = Duration::from_secs(20);

/// Headers of a request.
const MOST_HEADERS: usize = 100;

/// Bytes of a head.
const LONGEST_HEAD: usize = 64 << 10;

/// Descriptors that are left to the host and its servers.
const NEEDED_ELSEWHERE: u64 = 384;

/// Connections that wait in the system's queue while others are accepted: with fewer a client among many would be told to
/// try again in a second.
const QUEUE: u32 = 4096;

/// Listens on an address, which other machines reach only where that is wanted. Call it inside a runtime.
///
/// # Errors
/// `denied` for such an address where it is not; what the system says.
pub fn bind(address: SocketAddr, remote: bool) -> Result<TcpListener> {
    if !address.ip().is_loopback() && !remote {
        return Err(Error::new(ErrorCode::Denied, format!("`{address}` can be reached from other machines"))
            .hint("tokens and everything that is said would travel in the clear: put a proxy with TLS in front, and allow it with `--remote` or `[http] remote = true`"));
    }
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    listen().map_err(|error| Error::from(error).context(format!("failed to listen on `{address}`")))
}

/// How many connections of those that are wanted this process can have descriptors for.
pub(super) fn affordable(wanted: usize) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = usize::try_from(files.saturating_sub(NEEDED_ELSEWHERE)).unwrap_or(usize::MAX).max(16);
    if room < wanted {
        tracing::info!(wanted, room, "fewer connections than allowed, since this process may open no more files");
    }
    wanted.min(room)
}

/// Accepts connections, `most` at a time, and serves them until `closed` fires. A further one takes the place of the first
/// on which nobody has shown that they may ask, or waits.
pub(super) async fn listen(listener: TcpListener, most: usize, gate: Arc<Gate>, closed: CancellationToken) {
    let (room, connections) = (Arc::new(Semaphore::new(most)), TaskTracker::new());
    let strangers = Strangers::default();
    let accepting = async {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // such as too many open files: it may pass
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    strangers.send_one_away();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if room.available_permits() == 0 {
                strangers.send_one_away();
            }
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let (gate, closed, stranger) = (gate.clone(), closed.clone(), strangers.welcome());
            connections.spawn(async move {
                let _place = place;
                tokio::select! {
                    () = converse(stream, gate, &stranger, closed) => {}
                    () = stranger.has_to_leave() => {}
                }
            });
        }
    };
    closed.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, gate: Arc<Gate>, stranger: &Stranger, closed: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (gate, stranger) = (gate.clone(), stranger.clone());
        async move { Ok::<_, Infallible>(gate.answer(request, || stranger.let_in()).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READING_A_HEAD)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => drop(ended),
        () = closed.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
