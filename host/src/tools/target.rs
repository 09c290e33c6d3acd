//! Which server is meant: a running id, a saved id, or a name that only one server has.

use std::{collections::BTreeMap, sync::Arc};

use perennial_sdk::{Cx, Error, ErrorCode, Result, ServerId, ServerSpec, Version};

use super::Call;
use crate::{catalog::Server, host::Host, library::Shelf};

/// The server that `reference` means; a saved one that does not run yet is started.
///
/// # Errors
/// `not_found`; `conflict` with the candidates when the name is not unique; whatever keeps a saved one from being read.
pub(super) async fn running(call: &Call, reference: &str) -> Result<Arc<Server>> {
    let unknown = match call.host.catalog.get(reference) {
        Ok(server) => return Ok(server),
        Err(unknown) => unknown,
    };
    let cx = call.cx();
    if let Ok(id) = reference.parse::<ServerId>() {
        match call.host.library.get(&cx, &id, None).await {
            Ok(saved) => return resident(call, &cx, &saved.server_id.parse()?).await,
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut named = candidates(call, &cx, reference).await?;
    match (named.pop_first(), named.is_empty()) {
        (Some((_, Some(server))), true) => Ok(server),
        (Some((id, None)), true) => resident(call, &cx, &id).await,
        (None, _) => Err(call.host.library.deletion(&cx, reference).await.unwrap_or(unknown)),
        (Some(first), false) => {
            let ids: Vec<_> = std::iter::once(first).chain(named).map(|(id, _)| format!("`{id}`")).collect();
            let message = format!("{} servers are called `{reference}`", ids.len());
            Err(Error::new(ErrorCode::Conflict, message).hint(format!("name one by its id: {}", ids.join(", "))))
        }
    }
}

/// Starts a saved server under a new id, without waiting for it.
///
/// # Errors
/// `not_found`, and those of the storage.
pub(super) async fn load(call: &Call, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<Arc<Server>> {
    let (spec, shelf) = read(&call.host, cx, id, version).await?;
    Ok(call.host.catalog.create(spec, Some(shelf.name.clone()), Some(shelf)))
}

/// The instance of a saved server that was started last, or a new one.
///
/// # Errors
/// `not_found`, and those of the storage.
pub(super) async fn resident(call: &Call, cx: &Cx, id: &ServerId) -> Result<Arc<Server>> {
    resident_of(&call.host, cx, id).await
}

/// Starts a saved server, by its id or unique name, unless it is up.
///
/// # Errors
/// `not_found`, and those of the storage.
pub async fn start_saved(host: &Host, reference: &str) -> Result<Arc<Server>> {
    let cx = Cx::detached();
    let id = host.library.find(&cx, reference).await?;
    resident_of(host, &cx, &id).await
}

async fn resident_of(host: &Host, cx: &Cx, id: &ServerId) -> Result<Arc<Server>> {
    if let Some(server) =
        host.catalog.list().into_iter().rev().find(|server| server.stands_at(id) && !server.has_failed())
    {
        return Ok(server);
    }
    let (spec, shelf) = read(host, cx, id, None).await?;
    Ok(host.catalog.resident(spec, shelf))
}

async fn read(host: &Host, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<(ServerSpec, Shelf)> {
    let saved = host.library.get(cx, id, version).await?;
    let newest = match version {
        Some(_) => host.library.versions(cx, id).await?.last().copied().unwrap_or(saved.version),
        None => saved.version,
    };
    let (_, language) = host.plugins.runtime(&saved.language)?;
    let shelf = Shelf {
        id: saved.server_id.parse()?,
        version: newest,
        name: saved.name.clone(),
        settled: false,
        contested: None,
    };
    Ok((ServerSpec { language, ..saved.spec() }, shelf))
}

/// The servers of a name by the id that people know them by, each with the instance that was started last.
async fn candidates(call: &Call, cx: &Cx, name: &str) -> Result<BTreeMap<ServerId, Option<Arc<Server>>>> {
    let mut found = BTreeMap::new();
    for saved in call.host.library.named(cx, name).await? {
        found.extend(saved.server_id.parse().ok().map(|id| (id, None)));
    }
    for server in call.host.catalog.list() {
        let status = server.status();
        let id = status.shelf.map_or_else(|| server.id.clone(), |shelf| shelf.id);
        if status.name.as_deref() == Some(name) || found.contains_key(&id) {
            found.insert(id, Some(server));
        }
    }
    Ok(found)
}
