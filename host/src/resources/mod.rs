//! What a client can put into a conversation by its address, `perennial://servers/{server}/…`: source, logs, tools and
//! history of a server. Reading one starts nothing.

mod address;
mod contents;

use perennial_sdk::{Cx, Result};

pub use address::{Address, Part};
pub use contents::Contents;

use crate::{host::Host, identity::Client};

/// A resource as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its address.
    pub address: Address,
    /// For people.
    pub title: String,
    /// What there is.
    pub description: String,
}

/// How many servers are listed; the template reaches all of them.
const MOST_SERVERS: usize = 25;

/// The resources of what runs for a client and of what was saved last.
///
/// # Errors
/// Those of the storage.
pub async fn list(host: &Host, cx: &Cx, by: &Client) -> Result<Vec<Resource>> {
    let mut servers: Vec<(String, String, bool)> = Vec::new();
    for server in host.catalog.list(by).iter().rev() {
        let status = server.status();
        let name = status.name.clone().unwrap_or_else(|| server.id.to_string());
        // of a saved server its id is what stays the same from session to session
        let id = status.shelf.map_or_else(|| server.id.to_string(), |shelf| shelf.id.to_string());
        if !servers.iter().any(|(known, ..)| *known == id) {
            servers.push((id, name, true));
        }
    }
    for summary in host.library.newest_first(cx).await? {
        if !servers.iter().any(|(known, ..)| *known == summary.server_id) {
            servers.push((summary.server_id, summary.name, false));
        }
    }
    servers.truncate(MOST_SERVERS);
    let resources = servers.into_iter().flat_map(|(id, name, runs)| {
        let parts = Part::ALL.into_iter().filter(move |part| runs || *part != Part::Logs);
        parts.map(move |part| Resource {
            address: Address { server: id.clone(), part },
            title: format!("{name}: {}", part.word()),
            description: part.description().into(),
        })
    });
    Ok(resources.collect())
}

/// What is at an address, for a client.
///
/// # Errors
/// `not_found`, `conflict` when several servers have the name, and those of the storage.
pub async fn read(host: &Host, cx: &Cx, by: &Client, address: &Address) -> Result<Contents> {
    contents::read(host, cx, by, address).await
}
