use perennial_sdk::{Cx, DynStorage, Error, ErrorCode, Result, SavedServer, ServerId, Version};
use serde::Serialize;

use super::{Brought, Mark, Outcome, Plan, bring, bundle, digest, marks, plan};

/// The largest file that is read.
pub const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What the person chose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice {
    /// The server becomes a new one with an id of its own.
    pub as_new: bool,
    /// The file was changed on purpose.
    pub edited: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// The most bytes that the source of one version may have.
    pub most_bytes: usize,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The saved server.
    pub server_id: ServerId,
    /// Its name.
    pub name: String,
    /// What was written.
    #[serde(flatten)]
    pub brought: Brought,
    /// What else the person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A version from the file: what it is, and its record where the file has it.
type Page = (Version, Mark, Option<SavedServer>);

/// Puts the server of an exported file into a storage. Everything is checked before anything is written.
///
/// A server that is there already gets the versions that it lacks, if the file continues its history.
///
/// # Errors
/// `invalid` and `unsupported` for a file that cannot be taken; `conflict` when the server is there with another history;
/// those of the storage.
pub async fn import(target: &dyn DynStorage, cx: &Cx, text: &[u8], choice: Choice) -> Result<Imported> {
    let bundle::Bundle { mut record, history, .. } = bundle::read(text, choice.edited, choice.most_bytes)?;
    let mut notes = Vec::new();
    let id = if choice.as_new { ServerId::random() } else { record.server_id.parse()? };
    if record.version.is_unset() {
        record.version = history.last().map_or(Version(1), |last| last.version.next());
    }
    let mut pages: Vec<Page> = Vec::with_capacity(history.len() + 1);
    for earlier in history {
        let record = earlier.record.map(|record| *record);
        let mark = match earlier.digest {
            Some(digest) => Mark::Record(digest),
            None if earlier.deleted => Mark::Deleted,
            None => Mark::Unreadable,
        };
        pages.push((earlier.version, mark, record));
    }
    pages.push((record.version, Mark::Unreadable, Some(record)));
    let name = pages.last().and_then(|(_, _, record)| Some(record.as_ref()?.name.clone())).unwrap_or_default();
    for (_, mark, record) in &mut pages {
        let Some(record) = record else { continue };
        if choice.as_new {
            record.server_id = id.to_string();
            record.aliases.clear();
        }
        keep_own_aliases(target, cx, &id, record, &mut notes).await?;
        *mark = Mark::Record(digest(record));
    }
    let there = if choice.as_new { Vec::new() } else { marks(target, cx, &id).await.map_err(taken)? };
    let pages = wanted(pages, &there);
    let versions: Vec<_> = pages.iter().map(|(version, mark, _)| (*version, mark.clone())).collect();
    let read = async |wanted: Version| {
        let page = pages.iter().find(|(version, _, _)| *version == wanted);
        page.and_then(|(_, _, record)| record.clone()).ok_or_else(|| Error::internal("a version has no record"))
    };
    let brought = bring(target, cx, &id, &versions, &there, choice.dry_run, read).await?;
    if brought.outcome == Outcome::Conflict {
        let newest = target.get(cx, &id, None).await.ok();
        let by = newest.as_ref().map(|newest| {
            let by = newest.saved_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            format!(" (\"{}\", saved {}{by})", newest.name, newest.saved_at)
        });
        let by = by.unwrap_or_default();
        let message =
            format!("`{id}` is there already, and its version {}{by} is not in the file's history", brought.newest);
        return Err(taken(Error::conflict(message, Some(brought.newest.0))));
    }
    if brought.moved.iter().any(|moved| moved.from != moved.to) {
        notes.push("versions have other numbers here than in the file".into());
    }
    Ok(Imported { server_id: id, name, brought, notes })
}

/// The versions that matter: all that the target may have, and of the others those that the file has whole.
fn wanted(pages: Vec<Page>, there: &[(Version, Mark)]) -> Vec<Page> {
    let source: Vec<_> = pages.iter().map(|(version, mark, _)| (*version, mark.clone())).collect();
    let begin = match plan(&source, there) {
        Plan::From(begin) => begin,
        Plan::Same | Plan::Ahead | Plan::Conflict => return pages,
    };
    let keep =
        |(place, (_, mark, record)): &(usize, Page)| *place < begin || *mark == Mark::Deleted || record.is_some();
    pages.into_iter().enumerate().filter(keep).map(|(_, page)| page).collect()
}

/// An alias that finds another server here would hide it.
async fn keep_own_aliases(
    target: &dyn DynStorage,
    cx: &Cx,
    id: &ServerId,
    record: &mut SavedServer,
    notes: &mut Vec<String>,
) -> Result<()> {
    for alias in std::mem::take(&mut record.aliases) {
        let owner = match target.get(cx, &alias, None).await {
            Ok(found) => Some(found.server_id),
            Err(error) if error.code == ErrorCode::NotFound => None,
            Err(error) if matches!(error.code, ErrorCode::Other(_)) => Some(alias.to_string()),
            Err(error) => return Err(error),
        };
        match owner.filter(|owner| owner != id.as_str()) {
            None => record.aliases.push(alias),
            Some(owner) => {
                let note = format!("its other id `{alias}` was left out: it finds `{owner}` here");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
    Ok(())
}

fn taken(error: Error) -> Error {
    match error.code {
        ErrorCode::Conflict => {
            error.hint("nothing was written; `--as-new` imports it as a saved server of its own, with a new id")
        }
        _ => error,
    }
}
