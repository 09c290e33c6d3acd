//! How a conversation with a child begins: in the era that the child knows.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, RoleClient,
    model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion},
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt, RunningService, RxJsonRpcMessage,
        TxJsonRpcMessage,
    },
    transport::Transport,
};
use serde_json::json;
use tokio::time::timeout;

use super::downstream::Downstream;

/// The host, as children see it.
#[derive(Clone)]
pub(super) struct Host {
    /// Whether what a child asks can reach a client.
    pub(super) passes_on: bool,
}

/// A transport that outlives a handshake that comes to nothing.
struct Lent {
    downstream: Option<Downstream>,
    home: Home,
}

type Home = Arc<Mutex<Option<Downstream>>>;

/// How long a child that refused `initialize` may take to answer `server/discover`, which older ones may well ignore.
const DISCOVERY: Duration = Duration::from_secs(3);

/// Opens the conversation: by `initialize`, which all but the newest children know and many wait for; one that refuses it
/// may know `server/discover`.
///
/// # Errors
/// What the child made of `initialize`, if it knows neither.
pub(super) async fn begin(
    host: Host,
    downstream: Downstream,
) -> Result<RunningService<RoleClient, Host>, ClientInitializeError> {
    let home = Home::default();
    let lend = |downstream| Lent { downstream: Some(downstream), home: home.clone() };
    let begun = host.clone().serve_with_lifecycle(lend(downstream), ClientLifecycleMode::Initialize).await;
    let refused = match begun {
        Err(error @ ClientInitializeError::JsonRpcError(_)) => error,
        other => return other,
    };
    let Some(downstream) = home.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Err(refused) };
    let discover = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    match timeout(DISCOVERY, host.serve_with_lifecycle(lend(downstream), discover)).await {
        Ok(Ok(running)) => Ok(running),
        Ok(Err(ended @ ClientInitializeError::ConnectionClosed(_))) => Err(ended),
        Ok(Err(_)) | Err(_) => Err(refused),
    }
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("perennial", env!("CARGO_PKG_VERSION"));
        let capabilities = if self.passes_on { asked_of_clients() } else { ClientCapabilities::default() };
        // the default would offer 2026-07-28 inside `initialize`, which that revision does not have
        ClientConfig::new(capabilities, us).with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

/// What some client may offer. A client that does not is not asked, and the child hears why.
fn asked_of_clients() -> ClientCapabilities {
    let all = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": { "tools": {} }, "roots": {} });
    serde_json::from_value(all).expect("these are capabilities")
}

impl Lent {
    fn downstream(&mut self) -> &mut Downstream {
        self.downstream.as_mut().expect("it is there until it is dropped")
    }
}

impl Transport<RoleClient> for Lent {
    type Error = io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.downstream().send(item)
    }

    fn receive(&mut self) -> impl Future<Output = Option<RxJsonRpcMessage<RoleClient>>> + Send {
        self.downstream().receive()
    }

    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self.downstream().close()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.downstream.take();
    }
}
