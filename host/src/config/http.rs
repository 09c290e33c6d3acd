use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Seconds, Whole, source::Origin};
use crate::tokens::{SHORTEST, TokenName};

/// `[http]`: what `perennial serve --http` listens on, and whom it answers.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address and port, when `--http` names none.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Whether the address may be one that other machines reach.
    pub remote: bool,
    /// What else a request's `Host` may be: names, or names with a port. The loopback names and the address itself may
    /// always be there.
    pub allowed_hosts: Vec<String>,
    /// Which origins' web pages may ask, such as `https://chat.example.com`. Programs that are no browsers send none.
    pub allowed_origins: Vec<String>,
    /// MiB of the longest request.
    pub body_mb: Whole<1, 1024>,
    /// Connections at a time. A further one takes the place of the first on which no token was shown, or waits.
    pub connections: Whole<1, 100_000>,
    /// Sessions at a time, of clients of protocols that have them.
    pub sessions: Whole<1, 100_000>,
    /// Seconds without a request after which a session is over.
    pub session_idle_s: Seconds,
    /// Seconds that calls may take to end when the host is asked to.
    pub drain_s: Seconds,
    /// Tokens by the names of those who have them, beside those of `perennial token create`. `Debug` keeps silent about
    /// them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<TokenName, String>,
}

impl Http {
    /// What only the whole table can tell, at its place in the file.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), ConfigError> {
        for (name, token) in &self.tokens {
            if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let error = ConfigError::new(format!("the token `{name}` is none: it must be visible ASCII of at least {SHORTEST} characters"))
                    .with_help("`openssl rand -hex 32 > FILE` makes one; `perennial token create NAME` keeps one without its text being in any file");
                return Err(origin.place(error, &["http", "tokens", name.as_str()]));
            }
        }
        for host in &self.allowed_hosts {
            let fits = host.parse::<hyper::http::uri::Authority>().is_ok_and(|host| !host.as_str().contains('@'));
            if !fits {
                let error = ConfigError::new(format!("`{host}` is no host"))
                    .with_help("write a name, or a name and a port: \"perennial.example.com\", \"10.0.0.5:8747\"");
                return Err(origin.place(error, &["http", "allowed_hosts"]));
            }
        }
        for one in &self.allowed_origins {
            let url = url::Url::parse(one).ok();
            let fits = url.is_some_and(|url| {
                ["http", "https"].contains(&url.scheme())
                    && url.origin().ascii_serialization() == one.to_ascii_lowercase()
            });
            if !fits {
                let error = ConfigError::new(format!("`{one}` is no origin")).with_help(
                    "write scheme and host, and the port unless it is the usual one: \"https://chat.example.com\"",
                );
                return Err(origin.place(error, &["http", "allowed_origins"]));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http")
            .field("listen", &self.listen)
            .field("tokens", &self.tokens.keys())
            .finish_non_exhaustive()
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8747).into(),
            remote: false,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_mb: Whole::new(16),
            connections: Whole::new(1000),
            sessions: Whole::new(1000),
            session_idle_s: Seconds::new(1800.0),
            drain_s: Seconds::new(8.0),
            tokens: BTreeMap::new(),
        }
    }
}
