use perennial_sdk::{Cx, ServerId, Version};
use serde::Serialize;

use super::command::{this_program, with_app};
use crate::{
    audit::{Entry, Event},
    config::{Config, Directories},
    exit::Failure,
    identity::Client,
    library::{Changes, History, unified},
};

/// Two versions side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The server.
    pub server_id: ServerId,
    /// The version that is compared with.
    pub from: Version,
    /// The version that is compared.
    pub to: Version,
    /// What changed, in brief.
    pub changes: Changes,
    /// All of it, in the unified format; empty when both are the same.
    pub diff: String,
}

/// An earlier version that is the newest again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The server.
    pub server_id: ServerId,
    /// The name that the version has.
    pub name: String,
    /// The version that was wanted.
    pub from: Version,
    /// The version that it is now; the same when it was the newest already.
    pub version: Version,
}

/// The newest `most` versions of a server, deleted or not, and what changed in each.
///
/// # Errors
/// There is none, or several have the name; those of the storage.
pub fn history(config: Config, directories: Directories, reference: &str, most: usize) -> Result<History, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let id = library.find_deleted_too(&cx, reference).await?;
        Ok(library.history(&cx, &id, most).await?)
    })
}

/// What is different between two versions of a server, deleted or not.
///
/// # Errors
/// There is no such server or version; those of the storage.
pub fn compare(
    config: Config,
    directories: Directories,
    reference: &str,
    from: Version,
    to: Version,
) -> Result<Comparison, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let server_id = library.find_deleted_too(&cx, reference).await?;
        let old = library.get(&cx, &server_id, Some(from)).await?;
        let new = library.get(&cx, &server_id, Some(to)).await?;
        Ok(Comparison { server_id, from, to, changes: Changes::between(&old, &new), diff: unified(&old, &new) })
    })
}

/// Makes an earlier version of a server, deleted or not, the newest.
///
/// # Errors
/// There is no such server or version; somebody saves at the same time; those of the storage.
pub fn restore(config: Config, directories: Directories, reference: &str, from: Version) -> Result<Restored, Failure> {
    with_app(config, directories, async |app| {
        let (cx, library) = (Cx::detached(), &app.host.library);
        let server_id = library.find_deleted_too(&cx, reference).await?;
        let (version, name) = library.restore(&cx, &server_id, from, &Client::local(this_program())).await?;
        app.host.audit.record(Entry::of_command(Event::Save, &server_id, &name, version));
        Ok(Restored { server_id, name, from, version })
    })
}
