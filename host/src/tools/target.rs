//! Which server is meant: a running id, a saved id, or a name that only one server has.

use std::{collections::BTreeMap, sync::Arc};

use perennial_sdk::{Cx, Error, ErrorCode, Permissions, Result, SavedServer, ServerId, ServerSpec, Version};

use super::{Call, patience};
use crate::{
    catalog::{Server, ambiguous},
    host::Host,
    identity::Client,
    launch::Instance,
    library::{Shelf, shortened},
    mcp::{Ask, Decision},
    toolset::Toolset,
    trust::{How, Provenance, Withheld, in_words},
};

/// A saved server that is to run.
struct Taken {
    spec: ServerSpec,
    shelf: Shelf,
    provenance: Provenance,
}

/// The server that `reference` means; a saved one that does not run yet is started.
///
/// # Errors
/// `not_found`; `conflict` with the candidates when the name is not unique; whatever keeps a saved one from being read.
pub(super) async fn running(call: &Call, reference: &str) -> Result<Arc<Server>> {
    let unknown = match call.host.catalog.get(reference, &call.client) {
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
        (Some(first), false) => Err(ambiguous(reference, std::iter::once(first).chain(named).map(|(id, _)| id))),
    }
}

/// Starts a saved server under a new id, without waiting for it.
///
/// Where it asks for more than it may have, the person is asked if the client can do that.
///
/// # Errors
/// `not_found`, and those of the storage; `cancelled` by the person; `denied` when the client has enough.
pub(super) async fn load(call: &Call, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<Arc<Server>> {
    let Taken { spec, shelf, provenance } = read(&call.host, cx, id, version, call.ask.as_ref()).await?;
    call.host.catalog.load(spec, shelf, provenance, &call.client)
}

/// The instance of a saved server that was started last, or a new one.
///
/// # Errors
/// `not_found`, and those of the storage.
async fn resident(call: &Call, cx: &Cx, id: &ServerId) -> Result<Arc<Server>> {
    resident_of(&call.host, cx, id, &call.client).await
}

/// The same with its process, once that is up.
///
/// # Errors
/// Those of [`resident`], and what keeps it from coming up.
pub(super) async fn up(call: &Call, id: &ServerId) -> Result<(Arc<Server>, Arc<Instance>)> {
    let server = resident(call, &call.cx(), id).await?;
    server.touch();
    let instance = patience::ready(call, &server).await?;
    Ok((server, instance))
}

/// Starts a saved server, by its id or unique name, unless it is up.
///
/// # Errors
/// `not_found`, and those of the storage.
pub async fn start_saved(host: &Host, reference: &str) -> Result<Arc<Server>> {
    let cx = Cx::detached();
    let id = host.library.find(&cx, reference).await?;
    resident_of(host, &cx, &id, &Client::default()).await
}

async fn resident_of(host: &Host, cx: &Cx, id: &ServerId, by: &Client) -> Result<Arc<Server>> {
    if let Some(server) =
        host.catalog.list(by).into_iter().rev().find(|server| server.stands_at(id) && !server.has_failed())
    {
        return Ok(server);
    }
    let Taken { spec, shelf, provenance } = read(host, cx, id, None, None).await?;
    Ok(host.catalog.resident(spec, shelf, provenance, by))
}

async fn read(host: &Host, cx: &Cx, id: &ServerId, version: Option<Version>, ask: Option<&Ask>) -> Result<Taken> {
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
    let withheld = withheld(host, &saved, saved.version != newest, ask).await?;
    let mut spec = ServerSpec { language, ..saved.spec() };
    if withheld.is_some() {
        spec.permissions = Permissions::default();
    }
    let recorded = Some(Arc::new(Toolset::new(saved.tools)));
    Ok(Taken { spec, shelf, provenance: Provenance { withheld, recorded } })
}

/// What this version asks for and does not get, after the person was asked where that is possible.
async fn withheld(host: &Host, saved: &SavedServer, earlier: bool, ask: Option<&Ask>) -> Result<Option<Withheld>> {
    let trust = host.library.trust();
    let Some(withheld) = trust.withheld(saved).await else { return Ok(None) };
    let withheld = if earlier { withheld.of_version(saved) } else { withheld };
    let Some(ask) = ask.filter(|_| withheld.problem.is_none()) else { return Ok(Some(withheld)) };
    match ask(question(saved, &withheld)).await {
        Decision::Defaults => Ok(Some(withheld)),
        Decision::Cancel => Err(Error::new(ErrorCode::Cancelled, "the person cancelled it")),
        Decision::Approve => match trust.approve(saved, How::Asked).await {
            Ok(_) => Ok(None),
            Err(error) => Ok(Some(Withheld { problem: Some(error.to_string()), ..withheld })),
        },
    }
}

fn question(saved: &SavedServer, withheld: &Withheld) -> String {
    let by = saved.saved_by.as_ref().map(|by| format!(" by {}", shortened(&by.to_string()))).unwrap_or_default();
    let mut text = format!(
        "The saved server \"{}\" ({}, version {}, saved {}{by}) came from outside this installation and asks for: {}.",
        shortened(&saved.name),
        saved.server_id,
        saved.version,
        shortened(&saved.saved_at),
        in_words(&withheld.permissions),
    );
    text += &format!(
        " Approving holds for exactly this content. `perennial show {} --version {}` shows its source, `{}` what changed.",
        saved.server_id, saved.version, withheld.remedy
    );
    text
}

/// The servers of a name by the id that people know them by, each with the instance that was started last.
async fn candidates(call: &Call, cx: &Cx, name: &str) -> Result<BTreeMap<ServerId, Option<Arc<Server>>>> {
    let mut found = BTreeMap::new();
    for saved in call.host.library.named(cx, name).await? {
        found.extend(saved.server_id.parse().ok().map(|id| (id, None)));
    }
    for server in call.host.catalog.list(&call.client) {
        let id = server.lasting_id();
        if server.status().name.as_deref() == Some(name) || found.contains_key(&id) {
            found.insert(id, Some(server));
        }
    }
    Ok(found)
}
