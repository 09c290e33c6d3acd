//! What processes may connect to: the gate of each leads to a proxy of its own, which lets through what is granted and
//! tells what is not.
//!
//! The host resolves names, and connects to the very addresses that it has looked at: no name can mean a public address
//! when it is asked and a private one when it is used.

mod connect;
mod denials;
mod endpoint;
mod proxy;
mod public;
mod quiet;
mod rules;
#[cfg(test)]
mod tests;
mod upstream;
mod variables;

use std::{
    fmt,
    net::TcpListener,
    sync::{Arc, OnceLock},
};

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::header::HeaderValue;
use perennial_sdk::{Error, Result};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use denials::{Denial, Denials};
pub use endpoint::{Endpoint, Host, NoEndpoint};
pub use rules::{Reach, Rule, Rules, Whose};
pub use upstream::Upstream;
pub use variables::names_a_proxy;

use crate::supervisor::{Gate, Gatekeeper};

/// Serves gates, on a thread of its own: what servers download must not delay the protocol. One for the whole host; the
/// thread begins with the first gate.
#[derive(Default)]
pub struct Gates {
    thread: OnceLock<Option<Thread>>,
}

struct Thread {
    handle: Handle,
    _ends: DropGuard,
}

/// What goes through the gate of one process, or through those of the steps of one build.
pub struct Traffic {
    /// What may go through.
    pub rules: Rules,
    /// What could not.
    pub denials: Denials,
    upstream: Arc<Upstream>,
    /// Tells the process that was given the gate from others on the machine.
    token: String,
}

impl Gates {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A gate for a process.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn gate(self: &Arc<Self>, traffic: &Arc<Traffic>) -> Result<Gate> {
        let handle = self.handle()?;
        let (gates, variables, traffic) = (self.clone(), variables::of(&traffic.token), traffic.clone());
        let keeper = move |listener: TcpListener| {
            // as long as somebody keeps a gate the thread must go on
            let (gates, closed) = (gates.clone(), CancellationToken::new());
            handle.spawn(proxy::serve(listener, traffic.clone(), closed.clone()));
            Box::new((closed.drop_guard(), gates)) as Box<dyn std::any::Any + Send + Sync>
        };
        Ok(Gate { variables, keeper: Gatekeeper(Arc::new(keeper)) })
    }

    fn handle(&self) -> Result<Handle> {
        let thread = self.thread.get_or_init(|| {
            Thread::start().inspect_err(|error| tracing::warn!(%error, "nothing can serve the gates of servers")).ok()
        });
        let thread = thread
            .as_ref()
            .ok_or_else(|| Error::unavailable("the machine has no thread for the network of servers"))?;
        Ok(thread.handle.clone())
    }
}

impl Thread {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ends = end.clone().drop_guard();
        std::thread::Builder::new().name("egress".into()).spawn(move || {
            runtime.block_on(end.cancelled());
            // a name that is being resolved must not keep the program
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _ends: ends })
    }
}

impl Traffic {
    /// By these rules, through the operator's proxy where there is one.
    pub fn new(rules: Rules, upstream: Arc<Upstream>) -> Arc<Self> {
        let token = uuid::Uuid::new_v4().simple().to_string();
        Arc::new(Self { rules, denials: Denials::default(), upstream, token })
    }

    /// Whether somebody has the token of this gate.
    fn is_known(&self, said: Option<&HeaderValue>) -> bool {
        let expected = format!("{}:{}", variables::USER, self.token);
        let told = said.and_then(|value| value.as_bytes().split_at_checked(6));
        let told = told.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "));
        let told = told.and_then(|(_, rest)| BASE64_STANDARD.decode(rest.trim_ascii()).ok()).unwrap_or_default();
        // all of it is compared, so that the time taken tells nothing
        told.len() == expected.len()
            && told.iter().zip(expected.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").field("rules", &self.rules).field("denials", &self.denials).finish_non_exhaustive()
    }
}

impl fmt::Debug for Gates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gates(…)")
    }
}
