//! What a client can put into a conversation by its address, `perennial://servers/{server}/…`: source, logs, tools and
//! history of a server. Reading one starts nothing.

mod address;
mod contents;
mod servers;

use perennial_sdk::{Cx, Result};

pub use address::{Address, Part};
pub use contents::Contents;
pub use servers::Servers;

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

/// The resources of what runs for a client and of what was saved last, as the list of tools knows it.
pub async fn list(host: &Host, by: &Client) -> Vec<Resource> {
    host.exposure.listed(&host.library).await;
    Servers::of(host, by).resources()
}

/// What is at an address, for a client.
///
/// # Errors
/// `not_found`, `conflict` when several servers have the name, and those of the storage.
pub async fn read(host: &Host, cx: &Cx, by: &Client, address: &Address) -> Result<Contents> {
    contents::read(host, cx, by, address).await
}
