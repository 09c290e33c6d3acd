use perennial_sdk::{Cx, DynStorage, Error, ErrorCode, Expected, PutId, Result, SavedServer, ServerId, Version};
use serde::Serialize;

use super::{Mark, Plan, digest, plan};

/// What became of the versions of one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brought {
    /// In a word.
    pub outcome: Outcome,
    /// The versions that were written, or would be.
    pub moved: Vec<Moved>,
    /// The target's newest version, now.
    #[serde(skip_serializing_if = "Version::is_unset")]
    pub newest: Version,
}

/// One version and the number that it has at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its number at the source.
    pub from: Version,
    /// Its number at the target.
    pub to: Version,
}

/// What became of the versions of one server, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new at the target.
    New,
    /// The target had its beginning.
    Updated,
    /// The target had all of it.
    Unchanged,
    /// The target had all of it, and newer versions.
    Ahead,
    /// The target has other versions under this id; nothing was written.
    Conflict,
}

/// The versions of exactly `id` in a storage, oldest first; none when it was never saved there.
///
/// # Errors
/// Those of the storage; `conflict` when the id is an alias of another server there.
pub async fn marks(storage: &dyn DynStorage, cx: &Cx, id: &ServerId) -> Result<Vec<(Version, Mark)>> {
    let versions = match storage.versions(cx, id).await {
        Err(error) if error.code == ErrorCode::NotFound => return Ok(Vec::new()),
        versions => versions?,
    };
    let mut marks = Vec::with_capacity(versions.len());
    for version in versions {
        let mark = match storage.get(cx, id, Some(version)).await {
            Ok(record) if record.server_id != id.as_str() => {
                let message = format!("`{id}` is another id of the saved server `{}`", record.server_id);
                return Err(Error::conflict(message, None));
            }
            Ok(record) => Mark::Record(digest(&record)),
            Err(error) if error.code == ErrorCode::NotFound => Mark::Deleted,
            Err(error) if matches!(error.code, ErrorCode::Other(_)) => Mark::Unreadable,
            Err(error) => return Err(error),
        };
        marks.push((version, mark));
    }
    Ok(marks)
}

/// Puts `versions` of the server `id` on top of those that `target` has, `there`, where they continue them. `read` gives
/// the record of a version. Every record that was written is read back and compared.
///
/// It may be begun again after any failure, and by several at once: a version is written once.
///
/// # Errors
/// Those of `read` and of the storage; `conflict` when somebody else writes at the same time; `internal` when the target
/// gives back something else than it was given.
pub async fn bring(
    target: &dyn DynStorage,
    cx: &Cx,
    id: &ServerId,
    versions: &[(Version, Mark)],
    there: &[(Version, Mark)],
    dry_run: bool,
    read: impl AsyncFn(Version) -> Result<SavedServer>,
) -> Result<Brought> {
    let mut newest = there.last().map(|(version, _)| *version).unwrap_or_default();
    let done = |outcome, newest| Ok(Brought { outcome, moved: Vec::new(), newest });
    let begin = match plan(versions, there) {
        Plan::Same => return done(Outcome::Unchanged, newest),
        Plan::Ahead => return done(Outcome::Ahead, newest),
        Plan::Conflict => return done(Outcome::Conflict, newest),
        Plan::From(begin) => begin,
    };
    let mut moved = Vec::new();
    for (from, mark) in &versions[begin..] {
        let to = match mark {
            _ if dry_run => newest.next(),
            Mark::Unreadable => continue,
            // there is nothing to delete yet
            Mark::Deleted if newest.is_unset() => continue,
            Mark::Deleted => bury(target, cx, id, newest).await?,
            Mark::Record(expected) => {
                let record = read(*from).await?;
                if digest(&record) != *expected {
                    return Err(Error::unavailable(format!("version {from} of `{id}` changed while it was read")));
                }
                write(target, cx, id, &record, expected, newest, *from).await?
            }
        };
        newest = to;
        moved.push(Moved { from: *from, to });
    }
    Ok(Brought { outcome: if there.is_empty() { Outcome::New } else { Outcome::Updated }, moved, newest })
}

async fn write(
    target: &dyn DynStorage,
    cx: &Cx,
    id: &ServerId,
    record: &SavedServer,
    digest_of_it: &str,
    newest: Version,
    from: Version,
) -> Result<Version> {
    let expected = if newest.is_unset() { Expected::New } else { Expected::At(newest) };
    let put_id = PutId::derived(&["move", id.as_str(), &from.to_string(), digest_of_it]);
    let version = target.put(cx, record, expected, &put_id).await?;
    let back = target.get(cx, id, Some(version)).await?;
    if digest(&back) != digest_of_it {
        let message = format!("version {version} of `{id}` came back from {} changed", target.location());
        return Err(Error::internal(message).hint("the source is as it was; do not use the copy"));
    }
    Ok(version)
}

/// A tombstone has no id of its own put: one that somebody else wrote at this very place is as good.
async fn bury(target: &dyn DynStorage, cx: &Cx, id: &ServerId, newest: Version) -> Result<Version> {
    match target.delete(cx, id, Expected::At(newest)).await {
        Err(error) if matches!(error.code, ErrorCode::Conflict | ErrorCode::NotFound) => {
            let there = marks(target, cx, id).await?;
            match there.iter().find(|(version, _)| *version > newest) {
                Some((version, Mark::Deleted)) => Ok(*version),
                _ => Err(error),
            }
        }
        deleted => deleted,
    }
}
