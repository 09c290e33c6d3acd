use perennial_sdk::Error;

use crate::{
    audit::{self, Entry, Event},
    config::Directories,
};

/// Which entries of the audit log are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these events; of all when there are none.
    pub events: Vec<Event>,
    /// Of the server with this id or name, running or saved.
    pub server: Option<String>,
    /// So many, the last ones.
    pub most: usize,
}

/// The entries that are wanted, oldest first.
///
/// # Errors
/// A file that cannot be read.
pub fn audited(directories: &Directories, wanted: &Wanted) -> Result<Vec<Entry>, Error> {
    let mut entries = audit::read(&directories.state)?;
    entries.retain(|entry| {
        let event = wanted.events.is_empty() || wanted.events.contains(&entry.event);
        let of =
            |server: &str| [&entry.server, &entry.saved, &entry.name].into_iter().flatten().any(|one| one == server);
        event && wanted.server.as_deref().is_none_or(of)
    });
    entries.drain(..entries.len().saturating_sub(wanted.most));
    Ok(entries)
}
