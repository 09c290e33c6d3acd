use std::collections::{HashMap, HashSet};

use perennial_sdk::{Cx, Error, ErrorCode, Newest, ObjectLibrary, Result, ServerId, Version};

use super::{
    file::digest,
    known::{KnownEntry, What},
    merge::name,
    record::Record,
    scan::Scan,
    script,
};
use crate::Folder;

/// The file as it should be.
pub(super) struct Rendered {
    pub(super) text: String,
    pub(super) entries: Vec<KnownEntry>,
}

/// Whether `entries` show what the library holds.
pub(super) fn is_current(newest: &[Newest], entries: &[KnownEntry]) -> bool {
    let shown: HashSet<_> = entries.iter().filter_map(|entry| Some((name(&entry.key), entry.version()?))).collect();
    let mut count = 0;
    let all = newest.iter().filter(|newest| !newest.deleted && newest.damage.is_none()).all(|newest| {
        count += 1;
        shown.contains(&(newest.id.to_string(), newest.version))
    });
    let damaged: HashSet<_> = newest.iter().filter(|newest| newest.damage.is_some()).map(|n| n.id.as_str()).collect();
    all && shown.iter().filter(|(id, _)| !damaged.contains(id.as_str())).count() == count
}

/// Writes what has changed and copies what has not from `scan`, which `entries` describe.
pub(super) async fn render(
    library: &ObjectLibrary<Folder>,
    newest: &[Newest],
    entries: Vec<KnownEntry>,
    scan: &Scan<'_>,
) -> Result<Rendered> {
    let texts: HashMap<_, _> = scan.entries.iter().map(|entry| (entry.key, entry.value)).collect();
    let live: HashMap<&str, &Newest> =
        newest.iter().filter(|newest| !newest.deleted).map(|newest| (newest.id.as_str(), newest)).collect();
    let mut parts: Vec<(KnownEntry, String)> = Vec::with_capacity(live.len());
    let mut written = HashSet::new();
    for entry in entries {
        let name = name(&entry.key);
        match (live.get(name.as_str()), &entry.what, texts.get(entry.key.as_str())) {
            (Some(newest), What::Version { version, exact: true }, Some(text)) if *version == newest.version => {
                parts.push((entry, (*text).into()));
            }
            (Some(newest), _, text) => parts.extend(part(library, &newest.id, newest.version, text.copied()).await?),
            (None, What::Carried(text), _) => {
                let text = text.get().to_owned();
                parts.push((entry, text));
            }
            (None, What::Version { .. }, _) => {}
        }
        written.insert(name);
    }
    let mut new: Vec<_> = live.values().filter(|newest| !written.contains(newest.id.as_str())).collect();
    new.sort_by_key(|newest| (newest.modified, newest.id.as_str()));
    for newest in new {
        parts.extend(part(library, &newest.id, newest.version, None).await?);
    }
    script::order(&mut parts, |(entry, _)| script::array_index(&name(&entry.key)));
    let mut text = String::from("{");
    for (number, (entry, value)) in parts.iter().enumerate() {
        text.push_str(if number == 0 { "\n  " } else { ",\n  " });
        text.push_str(&entry.key);
        text.push_str(": ");
        text.push_str(value);
    }
    text.push_str(if parts.is_empty() { "}" } else { "\n}" });
    Ok(Rendered { text, entries: parts.into_iter().map(|(entry, _)| entry).collect() })
}

/// The entry of a version; what the file had, where the library's own is damaged.
async fn part(
    library: &ObjectLibrary<Folder>,
    id: &ServerId,
    version: Version,
    had: Option<&str>,
) -> Result<Option<(KnownEntry, String)>> {
    let stored = library.stored(&Cx::detached(), id, Some(version)).await;
    let (text, exact) = match stored {
        Ok(stored) => match stored.record.and_then(|record| Record::read(id, record.get())) {
            Some(record) => (record.render(version), true),
            None => return Ok(None),
        },
        Err(Error { code: ErrorCode::Other(_) | ErrorCode::NotFound, .. }) => match had {
            Some(text) => (text.to_owned(), false),
            None => return Ok(None),
        },
        Err(error) => return Err(error),
    };
    let what = What::Version { version, exact };
    Ok(Some((KnownEntry { key: format!("\"{id}\""), sha256: digest(text.as_bytes()), what }, text)))
}
