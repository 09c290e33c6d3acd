//! Streamable HTTP: one host for many clients at once. rmcp speaks the protocol; who may ask, how much and for how long is
//! decided here, before it sees a request.
//!
//! Sessions, for protocols until 2025-11-25, and requests without one, from 2026-07-28 on, both stand on one path.

mod answers;
mod exchange;
mod gate;
mod listen;
mod origins;
mod sessions;
mod splice;
mod strangers;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use perennial_sdk::Result;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(in crate::mcp) use exchange::Exchange;
pub use listen::bind;

use super::server::Server;
use crate::{config, host::Host, tokens::Keyring, tools::Registry};

use gate::{Gate, PATH};
use origins::Origins;
use sessions::Sessions;

/// How often it is looked for sessions that are over.
const SWEEP: Duration = Duration::from_secs(5);

/// A host behind an address.
pub struct Http {
    gate: Arc<Gate>,
    listener: TcpListener,
    address: SocketAddr,
    connections: usize,
    drain: Duration,
    stop: CancellationToken,
}

impl Http {
    /// Puts the host behind a listener; without a keyring everybody who reaches it may ask.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(
        host: Arc<Host>,
        registry: Arc<Registry>,
        config: &config::Http,
        listener: TcpListener,
        keyring: Option<Arc<Keyring>>,
    ) -> Result<Self> {
        let address = listener.local_addr()?;
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let body_bytes = size(config.body_mb.mebibytes());
        let sessions = Sessions::new(size(config.sessions.get()), config.session_idle_s.duration());
        let stop = CancellationToken::new();
        let settings = StreamableHttpServerConfig::default()
            // the gate has looked at both, and says what to do
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_json_response(true)
            .with_max_request_body_bytes(body_bytes)
            .with_cancellation_token(stop.clone());
        let server = Server::over_http(host, registry);
        let rmcp = StreamableHttpService::new(move || Ok(server()), sessions.rmcp.clone(), settings);
        let gate = Gate {
            origins: Origins::new(config, address),
            keyring,
            sessions,
            rmcp,
            body_bytes,
            asked: TaskTracker::new(),
            ending: AtomicBool::new(false),
        };
        let (connections, drain) = (listen::affordable(size(config.connections.get())), config.drain_s.duration());
        Ok(Self { gate: Arc::new(gate), listener, address, connections, drain, stop })
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Answers until `ending` fires; then what was asked before may end within the time for it, and whatever is asked
    /// after is refused. `now` cuts that short.
    pub async fn serve(self, ending: CancellationToken, now: CancellationToken) {
        let gate = self.gate.clone();
        let sweeping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                gate.sessions.sweep(gate.keyring.as_deref()).await;
            }
        });
        let closed = CancellationToken::new();
        let listening =
            tokio::spawn(listen::listen(self.listener, self.connections, self.gate.clone(), closed.clone()));
        ending.cancelled().await;
        self.gate.ending.store(true, Ordering::SeqCst);
        self.gate.asked.close();
        tokio::select! {
            ended = timeout(self.drain, self.gate.asked.wait()) => {
                if ended.is_err() {
                    tracing::warn!("{} calls did not end in time", self.gate.asked.len());
                }
            }
            () = now.cancelled() => {}
        }
        sweeping.abort();
        self.stop.cancel();
        closed.cancel();
        let _ = timeout(Duration::from_millis(500), listening).await;
    }
}
