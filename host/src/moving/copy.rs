use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use perennial_sdk::{Cx, DynStorage, Error, ErrorCode, Result, ServerId, Summary, Version};
use serde::Serialize;

use super::{Mark, Moved, Outcome, bring, marks};
use crate::library;

/// How many servers are under way at the same time.
const AT_ONCE: usize = 8;

/// A copy from one storage to another.
pub struct Ends<'a> {
    /// Where the servers are.
    pub source: &'a dyn DynStorage,
    /// Where they shall be too.
    pub target: &'a dyn DynStorage,
    /// Only tell what would be done.
    pub dry_run: bool,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// Where from, for people.
    pub from: String,
    /// Where to, for people.
    pub to: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// All of it in numbers.
    pub tally: Tally,
    /// Every server, ordered by id.
    pub servers: Vec<CopiedServer>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// A copy in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Servers that the source has, deleted ones among them.
    pub servers: usize,
    /// Versions that were written, or would be.
    pub versions: usize,
    /// Servers of which versions were written, or would be.
    pub copied: usize,
    /// Servers that the target had already, as they are or newer.
    pub unchanged: usize,
    /// Servers of which the target has other versions.
    pub conflicts: usize,
    /// Servers that could not be copied whole.
    pub failed: usize,
}

/// One server of a copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopiedServer {
    /// Its id.
    pub server_id: String,
    /// Its name.
    pub name: String,
    /// Its newest version is a tombstone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// What became of it; none when that failed.
    pub outcome: Option<Outcome>,
    /// The versions that were written, or would be.
    pub moved: Vec<Moved>,
    /// What could not be copied, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Copy {
    /// Whether everything that the source has is at the target.
    pub fn is_whole(&self) -> bool {
        self.tally.conflicts == 0 && self.tally.failed == 0
    }
}

/// Copies every server with all of its versions, the deleted ones too. What was copied before is not copied again, so
/// that a copy that was interrupted is continued by another one.
///
/// # Errors
/// Neither storage can be listed. What fails for one server is told with it, and the others are copied.
pub async fn copy(cx: &Cx, ends: &Ends<'_>) -> Result<Copy> {
    let mut notes = Vec::new();
    let (live, gone) = all(ends.source, cx).await.map_err(|error| error.context("the source cannot be listed"))?;
    let servers: BTreeMap<String, (Summary, bool)> = live
        .into_iter()
        .map(|summary| (summary, false))
        .chain(
            gone.unwrap_or_else(|| {
                notes.push("the source cannot list what was deleted there: it is not copied".into());
                Vec::new()
            })
            .into_iter()
            .map(|summary| (summary, true)),
        )
        .map(|(summary, deleted)| (summary.server_id.clone(), (summary, deleted)))
        .collect();
    let (live, gone) = all(ends.target, cx).await.map_err(|error| error.context("the target cannot be listed"))?;
    // a target that cannot list the deleted is asked for every single id
    let there: Option<BTreeSet<String>> = gone.map(|gone| {
        let ids = |one: Summary| one.aliases.into_iter().map(String::from).chain([one.server_id]);
        live.into_iter().chain(gone).flat_map(ids).collect()
    });
    let copying = servers.into_values().map(|(summary, deleted)| {
        let known = there.as_ref().is_none_or(|there| there.contains(&summary.server_id));
        one(cx, ends, summary, deleted, known)
    });
    let mut servers: Vec<CopiedServer> = stream::iter(copying).buffer_unordered(AT_ONCE).collect().await;
    servers.sort_by(|a, b| a.server_id.cmp(&b.server_id));
    if servers.iter().any(|one| one.moved.iter().any(|moved| moved.from != moved.to)) {
        notes.push("some versions have other numbers at the target, since earlier ones are not at the source".into());
    }
    let count = |fits: &dyn Fn(&CopiedServer) -> bool| servers.iter().filter(|one| fits(one)).count();
    let tally = Tally {
        servers: servers.len(),
        versions: servers.iter().map(|one| one.moved.len()).sum(),
        copied: count(&|one| !one.moved.is_empty()),
        unchanged: count(&|one| matches!(one.outcome, Some(Outcome::Unchanged | Outcome::Ahead))),
        conflicts: count(&|one| one.outcome == Some(Outcome::Conflict)),
        failed: count(&|one| one.outcome != Some(Outcome::Conflict) && !one.problems.is_empty()),
    };
    let (from, to) = (ends.source.location(), ends.target.location());
    Ok(Copy { from, to, dry_run: ends.dry_run, tally, servers, notes })
}

/// What is saved, and what was deleted if the storage can tell.
async fn all(storage: &dyn DynStorage, cx: &Cx) -> Result<(Vec<Summary>, Option<Vec<Summary>>)> {
    let live = library::listed(storage, cx).await?;
    match library::deleted(storage, cx).await {
        Err(error) if error.code == ErrorCode::Unsupported => Ok((live, None)),
        gone => Ok((live, Some(gone?))),
    }
}

async fn one(cx: &Cx, ends: &Ends<'_>, summary: Summary, deleted: bool, known: bool) -> CopiedServer {
    let mut copied =
        CopiedServer { server_id: summary.server_id, name: summary.name, deleted, ..CopiedServer::default() };
    if let Err(error) = versions(cx, ends, known, &mut copied).await {
        if error.code == ErrorCode::Conflict {
            copied.outcome = Some(Outcome::Conflict);
        }
        copied.problems.push(error.to_string());
    }
    tracing::info!(server = copied.server_id, versions = copied.moved.len(), "looked at");
    copied
}

async fn versions(cx: &Cx, ends: &Ends<'_>, known: bool, copied: &mut CopiedServer) -> Result<()> {
    let id: ServerId = copied
        .server_id
        .parse()
        .map_err(|_| Error::invalid("it is kept under a key that is no id, and can only be repaired by hand"))?;
    let mut source = marks(ends.source, cx, &id).await?;
    source.retain(|(version, mark)| {
        if *mark == Mark::Unreadable {
            copied.problems.push(format!("version {version} cannot be read"));
        }
        *mark != Mark::Unreadable
    });
    let there = if known { marks(ends.target, cx, &id).await? } else { Vec::new() };
    let read = async |version: Version| ends.source.get(cx, &id, Some(version)).await;
    let brought = bring(ends.target, cx, &id, &source, &there, ends.dry_run, read).await?;
    if brought.outcome == Outcome::Conflict {
        copied.problems.push(format!("the target has other versions of it, up to {}", brought.newest));
    }
    copied.outcome = Some(brought.outcome);
    copied.moved = brought.moved;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use perennial_sdk::{Capabilities, Expected, Home, Listing, Page, Plugin, PutId, SavedServer};
    use serde_json::json;

    use super::*;
    use crate::plugins::Storage;

    /// A storage that cannot do everything, or not well.
    struct Odd {
        inner: Arc<dyn DynStorage>,
        lists_deleted: bool,
        garbles: bool,
    }

    impl Plugin for Odd {
        type Config = ();

        async fn init((): (), _: Home) -> Result<Self> {
            Err(Error::unsupported("it is made of another storage"))
        }
    }

    impl perennial_sdk::Storage for Odd {
        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }

        fn location(&self) -> String {
            "odd".into()
        }

        async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
            self.inner.list(cx, page).await
        }

        async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
            self.inner.get(cx, id, version).await
        }

        async fn put(&self, cx: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
            let code = if self.garbles { record.code.to_uppercase() } else { record.code.clone() };
            self.inner.put(cx, &SavedServer { code, ..record.clone() }, expected, put_id).await
        }

        async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
            self.inner.versions(cx, id).await
        }

        async fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
            self.inner.delete(cx, id, expected).await
        }

        async fn deleted(&self, cx: &Cx, page: &Page) -> Result<Listing> {
            if self.lists_deleted { self.inner.deleted(cx, page).await } else { Err(Error::unsupported("no")) }
        }
    }

    struct Shelf {
        _folder: tempfile::TempDir,
        storage: Storage,
    }

    impl Shelf {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home { data_dir: folder.path().join("data") };
            Self { storage: Storage::open("json", json!({}), home).await.unwrap(), _folder: folder }
        }

        fn odd(&self, lists_deleted: bool, garbles: bool) -> Odd {
            Odd { inner: self.storage.storage(), lists_deleted, garbles }
        }
    }

    /// `a` in two versions, and `b`, which was deleted.
    async fn source() -> Shelf {
        let (shelf, cx) = (Shelf::new().await, Cx::detached());
        let storage = shelf.storage.storage();
        for (id, code, expected) in
            [("a", "one", Expected::New), ("a", "two", Expected::Any), ("b", "x", Expected::New)]
        {
            let record = SavedServer { server_id: id.into(), code: code.into(), ..SavedServer::default() };
            storage.put(&cx, &record, expected, &PutId::random()).await.unwrap();
        }
        storage.delete(&cx, &"b".parse().unwrap(), Expected::Any).await.unwrap();
        shelf
    }

    #[tokio::test]
    async fn storages_that_cannot_list_what_was_deleted_are_copied_as_far_as_they_tell() {
        let (from, to, cx) = (source().await, Shelf::new().await, Cx::detached());
        let blind = from.odd(false, false);
        let copied = copy(&cx, &Ends { source: &blind, target: &to.odd(false, false), dry_run: false }).await.unwrap();
        assert_eq!((copied.tally.servers, copied.tally.versions, copied.notes.len()), (1, 2, 1));
        let source = from.odd(true, false);
        for (versions, unchanged) in [(2, 1), (0, 2)] {
            let ends = Ends { source: &source, target: &to.odd(false, false), dry_run: false };
            let tally = copy(&cx, &ends).await.unwrap().tally;
            assert_eq!((tally.versions, tally.unchanged, tally.failed), (versions, unchanged, 0));
        }
    }

    #[tokio::test]
    async fn a_target_that_garbles_is_found_out() {
        let (from, to, cx) = (source().await, Shelf::new().await, Cx::detached());
        let ends = Ends { source: &from.odd(true, false), target: &to.odd(true, true), dry_run: false };
        let copied = copy(&cx, &ends).await.unwrap();
        assert!(!copied.is_whole());
        assert_eq!((copied.tally.failed, copied.tally.versions), (2, 0));
        assert!(copied.servers[0].problems[0].contains("came back from odd changed"), "{:?}", copied.servers);
    }
}
