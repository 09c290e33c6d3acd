use std::{collections::BTreeSet, sync::Arc};

use perennial_sdk::{Cx, Error, Result, ServerId};

use super::{Address, Part};
use crate::{
    catalog::{Phase, Server, ambiguous},
    host::Host,
    identity::Client,
};

/// What is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Its media type.
    pub mime_type: &'static str,
    /// The text.
    pub text: String,
}

/// Lines of a log that are shown.
const LINES: usize = 1000;

/// Versions of a history that are shown.
const VERSIONS: usize = 50;

pub(super) async fn read(host: &Host, cx: &Cx, by: &Client, address: &Address) -> Result<Contents> {
    let Address { server, part } = address;
    let running = running(host, by, server)?;
    match (part, running) {
        (Part::Logs, running) => logs(running, server),
        (Part::Source, Some(server)) => {
            let spec = server.status().spec;
            Ok(Contents { mime_type: source_type(&spec.language), text: spec.code.clone() })
        }
        (Part::Source, None) => {
            let saved = host.library.get(cx, &host.library.find(cx, server).await?, None).await?;
            Ok(Contents { mime_type: source_type(&saved.language), text: saved.code })
        }
        (Part::Tools, Some(server)) => json(&server.status().tools.definitions()),
        (Part::Tools, None) => json(&host.library.get(cx, &host.library.find(cx, server).await?, None).await?.tools),
        (Part::History, running) => {
            let saved = running.and_then(|server| server.status().shelf).map(|shelf| shelf.id);
            let id = match saved {
                Some(id) => id,
                None => host.library.find(cx, server).await?,
            };
            json(&host.library.history(cx, &id, VERSIONS).await?)
        }
    }
}

/// The instance that was started last of those that `reference` can mean.
///
/// # Errors
/// `conflict` when several servers have that name.
fn running(host: &Host, by: &Client, reference: &str) -> Result<Option<Arc<Server>>> {
    let mut running = host.catalog.list(by);
    running.reverse();
    let id = reference.parse::<ServerId>().ok();
    let stands = |server: &&Arc<Server>| id.as_ref().is_some_and(|id| server.id == *id || server.stands_at(id));
    if let Some(server) = running.iter().find(stands) {
        return Ok(Some(server.clone()));
    }
    running.retain(|server| server.status().name.as_deref() == Some(reference));
    let ids: BTreeSet<_> = running.iter().map(|server| server.lasting_id()).collect();
    if ids.len() > 1 {
        return Err(ambiguous(reference, ids));
    }
    Ok(running.into_iter().next())
}

fn logs(server: Option<Arc<Server>>, reference: &str) -> Result<Contents> {
    let Some(server) = server else {
        let shown: String = reference.chars().take(80).collect();
        return Err(Error::not_found(format!("`{shown}` does not run, and logs are kept while a server runs"))
            .hint("`load-saved-server` starts a saved one"));
    };
    let status = server.status();
    let text = match (&status.phase, &status.death) {
        (Phase::Ready(instance), _) => instance.stderr_tail(LINES),
        (_, Some(death)) => death.stderr.clone(),
        _ => String::new(),
    };
    Ok(Contents { mime_type: "text/plain", text })
}

fn json(value: &impl serde::Serialize) -> Result<Contents> {
    Ok(Contents { mime_type: "application/json", text: serde_json::to_string_pretty(value)? })
}

fn source_type(language: &str) -> &'static str {
    match language {
        "python" => "text/x-python",
        "javascript" => "text/javascript",
        "typescript" => "text/x-typescript",
        "rust" => "text/x-rust",
        _ => "text/plain",
    }
}
