use std::{net::SocketAddr, sync::Arc};

use perennial_sdk::Error;
use tokio_util::sync::CancellationToken;

use super::{App, Reload, Reloading, command};
use crate::{
    config::{Config, Directories},
    exit::Failure,
    mcp::http::{Http, bind},
    tokens::{Keyring, TokenFile},
};

/// What the command line says of a host over HTTP.
pub struct HttpWish {
    /// The address, in the place of the configuration's.
    pub address: Option<SocketAddr>,
    /// Other machines may reach it.
    pub remote: bool,
    /// Everybody on this machine may ask.
    pub without_token: bool,
}

/// Answers MCP over HTTP until a signal comes. `listening` is told the address when clients can use it.
///
/// # Errors
/// An address that cannot be listened on, or may not be; no token at all; a plugin that does not take its configuration.
pub fn serve_http(
    config: Config,
    directories: Directories,
    wish: &HttpWish,
    reload: Option<Reload>,
    listening: impl FnOnce(&str) -> Result<(), Error>,
) -> Result<(), Failure> {
    let address = wish.address.unwrap_or(config.http.listen);
    let keyring = match wish.without_token {
        false => Some(Arc::new(keyring(&config, &directories)?)),
        true if address.ip().is_loopback() => None,
        true => {
            return Err(Failure::Usage(
                Error::invalid(format!("`--without-token` is for loopback addresses, and `{address}` is none"))
                    .hint("`perennial token create NAME` makes a token"),
            ));
        }
    };
    command::run(async {
        let listener = bind(address, wish.remote || config.http.remote)?;
        let app = App::open(&config, &directories, Some(command::HEAD_START)).await?;
        app.single_out(&config).await?;
        let http = Http::new(app.host.clone(), app.registry.clone(), &config.http, listener, keyring)?;
        listening(&http.url())?;
        let reloading = reload.and_then(|reload| Reloading::of(config, reload));
        app.serve_http(http, reloading).await;
        Ok(())
    })
}

fn keyring(config: &Config, directories: &Directories) -> Result<Keyring, Failure> {
    let keyring = Keyring::open(&config.http.tokens, TokenFile::in_folder(&directories.state))?;
    if keyring.is_empty() {
        return Err(Error::invalid("nobody has a token, so that nobody could use this host")
            .hint("`perennial token create NAME` makes one")
            .into());
    }
    Ok(keyring)
}

impl App {
    /// Answers HTTP requests until a signal comes; then what was asked may end within its time, and everything else is
    /// ended. A second signal does not wait for that.
    async fn serve_http(self: Arc<Self>, http: Http, reloading: Option<Reloading>) {
        let (ending, now) = (CancellationToken::new(), CancellationToken::new());
        let sweeping = self.sweep();
        self.start_ahead();
        let serving = tokio::spawn(http.serve(ending.clone(), now.clone()));
        tokio::select! {
            () = super::asked_to_end() => {}
            () = self.hung_up(reloading) => {}
        }
        ending.cancel();
        tokio::pin!(serving);
        tokio::select! {
            _ = &mut serving => {}
            () = super::asked_to_end() => {
                now.cancel();
                let _ = serving.await;
            }
        }
        sweeping.abort();
        self.close().await;
    }
}
