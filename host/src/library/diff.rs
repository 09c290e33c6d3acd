use std::{collections::BTreeSet, time::Duration};

use perennial_sdk::{SavedServer, Version};
use similar::{ChangeTag, TextDiff};

use super::Lines;

/// How long one text may be compared; what takes longer is told more coarsely.
const PATIENCE: Duration = Duration::from_millis(500);

/// The difference of two versions in the unified format: the source, every further file, the lock, and the rest of the
/// record. Empty when they are the same.
pub fn unified(old: &SavedServer, new: &SavedServer) -> String {
    let paths: BTreeSet<&String> = old.files.keys().chain(new.files.keys()).collect();
    let mut parts = vec![("source".to_owned(), old.code.as_str(), new.code.as_str())];
    parts.extend(paths.into_iter().map(|path| {
        let title = format!("files/{}", path.escape_debug());
        (title, text(old.files.get(path)), text(new.files.get(path)))
    }));
    parts.push(("lock".to_owned(), text(old.lock.as_ref()), text(new.lock.as_ref())));
    let (before, after) = (rest(old), rest(new));
    parts.push(("record".to_owned(), &before, &after));
    parts.into_iter().filter(|(_, old, new)| old != new).fold(String::new(), |shown, (title, before, after)| {
        let titles = [old, new].map(|server| format!("version {}: {title}", server.version));
        shown + &compared(before, after).unified_diff().header(&titles[0], &titles[1]).to_string()
    })
}

/// How many lines of `new` are not in `old`, and the other way round.
pub(super) fn lines(old: &str, new: &str) -> Lines {
    let mut lines = Lines { added: 0, removed: 0 };
    for change in compared(old, new).iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => lines.added += 1,
            ChangeTag::Delete => lines.removed += 1,
            ChangeTag::Equal => {}
        }
    }
    lines
}

fn compared<'a>(old: &'a str, new: &'a str) -> TextDiff<'a, 'a, str> {
    TextDiff::configure().timeout(PATIENCE).diff_lines(old, new)
}

fn text(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

/// The record without the parts that are shown by themselves, and without what differs in every version.
fn rest(server: &SavedServer) -> String {
    let server = SavedServer { version: Version::default(), sha256: None, saved_by: None, ..server.clone() };
    let mut fields = serde_json::to_value(server).expect("a record always serializes");
    for key in ["code", "files", "lock", "savedAt", "aliases"] {
        fields.as_object_mut().map(|fields| fields.shift_remove(key));
    }
    serde_json::to_string_pretty(&fields).expect("a value always serializes") + "\n"
}
