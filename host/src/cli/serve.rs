use std::{
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
};

use clap::Args;

use super::{Common, output};
use crate::{
    app::HttpWish,
    exit::{Exit, Failure},
};

/// Speak MCP on standard input and output, for a chat client, or over HTTP, for several
///
/// This is what a chat client starts. In the client's list of servers: {"command": "perennial", "args": ["serve"]}.
/// It ends, and every server with it, when standard input ends. SIGHUP has it read its configuration file again.
///
/// With --http it answers whoever brings a token of `perennial token create`, at http://ADDRESS/mcp, until SIGTERM.
#[derive(Args)]
pub(super) struct Serve {
    /// Speak Streamable HTTP at this address or port [default: `[http] listen`, 127.0.0.1:8747]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, value_parser = address)]
    http: Option<Option<SocketAddr>>,
    /// Allow an address that other machines can reach
    #[arg(long, requires = "http")]
    remote: bool,
    /// Show one saved server alone, by its own names for its tools, and none of Perennial's own tools
    #[arg(long, value_name = "SERVER")]
    only: Option<String>,
    /// Answer everybody on this machine, of whatever account
    #[arg(long, requires = "http")]
    without_token: bool,
}

impl Serve {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (mut config, directories) = common.open()?;
        config.exposure.only = self.only.or(config.exposure.only);
        // a terminal that hangs up means that everything shall end
        let reload = (!std::io::stdin().is_terminal()).then(|| common.reload());
        match self.http {
            None => crate::app::serve(config, directories, reload)?,
            Some(address) => {
                output::keep_apart();
                let wish = HttpWish { address, remote: self.remote, without_token: self.without_token };
                crate::app::serve_http(config, directories, &wish, reload, |url| {
                    output::print(&format!("listening on {url}\n"))
                })?;
            }
        }
        Ok(Exit::Done)
    }

    /// As a chat client starts it.
    pub(super) fn on_stdio() -> Self {
        Self { http: None, remote: false, only: None, without_token: false }
    }
}

/// `127.0.0.1:8747`, `localhost:8747`, or a port alone, which is one of the loopback address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").unwrap_or(text).parse::<u16>();
    port.map(|port| (Ipv4Addr::LOCALHOST, port).into()).or_else(|_| {
        text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8747, or a port alone".to_owned())
    })
}
