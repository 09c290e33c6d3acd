//! Which server is meant: a running id, a saved id, or a name that only one server has.

use std::sync::Arc;

use perennial_sdk::{Cx, Error, ErrorCode, Result, ServerId};

use super::Call;
use crate::{app::App, catalog::Server, library::Shelf};

/// The server that `reference` means; a saved one that does not run yet is loaded.
///
/// # Errors
/// `not_found`; `conflict` with the candidates when the name is not unique; whatever keeps a saved one from being loaded.
pub(super) async fn running(call: &Call, reference: &str) -> Result<Arc<Server>> {
    let unknown = match call.app.catalog.get(reference) {
        Ok(server) => return Ok(server),
        Err(unknown) => unknown,
    };
    if let Some(server) = running_by_name(&call.app, reference)? {
        return Ok(server);
    }
    let cx = call.cx();
    match call.app.library.find(&cx, reference).await {
        Ok(saved) => match newest_instance_of(&call.app, &saved) {
            Some(server) => Ok(server),
            None => load(call, &cx, &saved, None).await,
        },
        Err(error) if error.code == ErrorCode::NotFound => Err(unknown),
        Err(error) => Err(error),
    }
}

/// Starts a saved server under a new id, without waiting for it.
///
/// # Errors
/// `not_found`, and those of the storage.
pub(super) async fn load(
    call: &Call,
    cx: &Cx,
    id: &ServerId,
    version: Option<perennial_sdk::Version>,
) -> Result<Arc<Server>> {
    let saved = call.app.library.get(cx, id, version).await?;
    let newest = match version {
        Some(_) => call.app.library.get(cx, id, None).await?.version,
        None => saved.version,
    };
    let (runtime, language) = call.app.plugins.runtime(&saved.language)?;
    drop(runtime);
    let mut spec = saved.spec();
    spec.language = language;
    let shelf = Shelf { id: saved.server_id.parse()?, version: newest, name: saved.name.clone(), settled: false };
    Ok(call.app.catalog.create(spec, Some(saved.name), Some(shelf)))
}

fn running_by_name(app: &App, name: &str) -> Result<Option<Arc<Server>>> {
    let mut named: Vec<_> =
        app.catalog.list().into_iter().filter(|server| server.status().name.as_deref() == Some(name)).collect();
    let first = named.first().and_then(|server| server.status().shelf).map(|shelf| shelf.id);
    let same_saved = first.is_some() && named.iter().all(|server| server.status().shelf.map(|shelf| shelf.id) == first);
    if named.len() > 1 && !same_saved {
        let ids: Vec<_> = named.iter().map(|server| format!("`{}`", server.id)).collect();
        let message = format!("{} servers are called `{name}`", named.len());
        return Err(Error::new(ErrorCode::Conflict, message).hint(format!("name one by its id: {}", ids.join(", "))));
    }
    Ok(named.pop())
}

fn newest_instance_of(app: &App, saved: &ServerId) -> Option<Arc<Server>> {
    app.catalog.list().into_iter().rev().find(|server| server.status().shelf.is_some_and(|shelf| shelf.id == *saved))
}
