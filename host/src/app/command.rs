//! What each subcommand asks of a host, from opening it to closing it.

use std::{sync::Arc, time::Duration};

use perennial_sdk::{Checked, ClientIdentity, Collected, Cx, Error, Retention, SavedServer, Summary, Version};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{App, Reload, Reloading};
use crate::{
    audit::{Entry, Event},
    config::{Config, Directories},
    exit::Failure,
    identity::Client,
    mcp::{Caller, Wire},
    tools::Call,
    trust::Withheld,
};

/// How long a session waits for plugins out of process before it begins without them. Most need a tenth of it, and many
/// clients ask for the list of tools once.
pub(super) const HEAD_START: Duration = Duration::from_secs(2);

/// Speaks MCP on standard input and output until the client leaves. With `reload` and a file, SIGHUP reads that again.
///
/// # Errors
/// A plugin that does not take its configuration; standard input or output that cannot be used.
pub fn serve(config: Config, directories: Directories, reload: Option<Reload>) -> Result<(), Failure> {
    let wire = Wire::take()?;
    run(async {
        let app = App::open(&config, &directories, Some(HEAD_START)).await?;
        app.single_out(&config).await?;
        let reloading = reload.and_then(|reload| Reloading::of(config, reload));
        Ok(app.serve(wire, reloading).await?)
    })
}

/// Opens everything and closes it again: plugins check their own settings as they are opened.
///
/// # Errors
/// A plugin that does not take its configuration.
pub fn check(config: Config, directories: Directories) -> Result<(), Failure> {
    with_app(config, directories, async |_| Ok(()))
}

/// A saved server in a listing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The server.
    #[serde(flatten)]
    pub summary: Summary,
    /// It asks for more than it is given until somebody approves it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub approval_pending: bool,
}

/// Every saved server.
///
/// # Errors
/// Those of the storage.
pub fn saved(config: Config, directories: Directories) -> Result<Vec<Listed>, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let saved = library.list(&cx).await?;
        let pending = library.pending(&cx, &saved).await;
        let listed = |summary: Summary| {
            let approval_pending = pending.contains(&summary.server_id);
            Listed { summary, approval_pending }
        };
        Ok(saved.into_iter().map(listed).collect())
    })
}

/// Every deleted server as it was, as far as its versions are kept.
///
/// # Errors
/// Those of the storage.
pub fn deleted(config: Config, directories: Directories) -> Result<Vec<Listed>, Failure> {
    with_app(config, directories, async |app| {
        let deleted = app.host.library.deleted(&Cx::detached()).await?;
        Ok(deleted.into_iter().map(|summary| Listed { summary, approval_pending: false }).collect())
    })
}

/// A saved server by its id or unique name, with the numbers of its versions and what is withheld from it.
///
/// # Errors
/// There is none, or several have the name; those of the storage.
pub fn saved_server(
    config: Config,
    directories: Directories,
    reference: &str,
    version: Option<Version>,
) -> Result<(SavedServer, Vec<Version>, Option<Withheld>), Failure> {
    with_app(config, directories, async |app| {
        let cx = Cx::detached();
        let id = app.host.library.find(&cx, reference).await?;
        let library = &app.host.library;
        let (record, versions) = (library.get(&cx, &id, version).await?, library.versions(&cx, &id).await?);
        let withheld = library.trust().withheld(&record).await;
        let withheld = match version {
            Some(_) => withheld.map(|withheld| withheld.of_version(&record)),
            None => withheld,
        };
        Ok((record, versions, withheld))
    })
}

/// Deletes a saved server and answers what it was, and the version that says so.
///
/// # Errors
/// There is none, or several have the name; those of the storage.
pub fn remove(config: Config, directories: Directories, reference: &str) -> Result<(Summary, Version), Failure> {
    with_app(config, directories, async |app| {
        let cx = Cx::detached();
        let id = app.host.library.find(&cx, reference).await?;
        let removed = app.host.library.get(&cx, &id, None).await?.summary();
        let version = app.host.library.delete(&cx, &id).await?;
        app.host.audit.record(Entry::of_command(Event::DeleteSaved, &id, &removed.name, version));
        Ok((removed, version))
    })
}

/// Reads everything that is saved and tells what is wrong with it; repairs it, when that is asked for.
///
/// # Errors
/// Those of the storage.
pub fn check_library(config: Config, directories: Directories, repair: bool) -> Result<Checked, Failure> {
    with_app(config, directories, async |app| Ok(app.host.library.check(&Cx::detached(), repair).await?))
}

/// Removes what `retention` does not keep.
///
/// # Errors
/// Those of the storage.
pub fn collect(config: Config, directories: Directories, retention: &Retention) -> Result<Collected, Failure> {
    with_app(config, directories, async |app| Ok(app.host.library.collect(&Cx::detached(), retention).await?))
}

/// Starts a saved server and calls one of its tools; the answer is MCP's `CallToolResult`.
///
/// # Errors
/// There is no such server; its failures and its tool's are results.
pub fn call(
    config: Config,
    directories: Directories,
    reference: &str,
    tool: &str,
    arguments: Map<String, Value>,
) -> Result<Value, Failure> {
    with_app(config, directories, async |app| {
        let id = app.host.library.find(&Cx::detached(), reference).await?;
        let execute = app.registry.get("execute-tool").ok_or_else(|| Error::internal("`execute-tool` is gone"))?;
        let call = Call {
            host: app.host.clone(),
            cancelled: CancellationToken::new(),
            progress: None,
            meta: Map::new(),
            ask: None,
            caller: Caller::default(),
            client: Client::local(this_program()),
        };
        let Value::Object(request) = json!({ "serverId": id, "toolName": tool, "args": arguments }) else {
            unreachable!("an object was written")
        };
        Ok(execute.call(call, request).await.into_value())
    })
}

/// The client of what is done on the command line.
pub(super) fn this_program() -> ClientIdentity {
    ClientIdentity::new("perennial", env!("CARGO_PKG_VERSION"))
}

pub(super) fn with_app<T>(
    config: Config,
    directories: Directories,
    work: impl AsyncFnOnce(&Arc<App>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    run(async {
        let app = App::open(&config, &directories, None).await?;
        let done = work(&app).await;
        app.close().await;
        done
    })
}

/// Runs on one thread: the protocol is mostly waiting, and what computes or blocks goes to the blocking pool.
pub(super) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .map_err(Error::from)?;
    let done = runtime.block_on(work);
    // a blocking read of a file that never ends must not keep the program
    runtime.shutdown_background();
    done
}
