use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{Cx, DynStorage, Error, ErrorCode, Page, Result, ServerId, Version};

/// What a writer was told, or was about to do. Every save has a `code` of its own, by which it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wanted to save this.
    Tried {
        /// The saved server.
        id: ServerId,
        /// What was to be saved.
        code: String,
    },
    /// A save was acknowledged.
    Saved {
        /// The saved server.
        id: ServerId,
        /// What was saved.
        code: String,
        /// As which version.
        version: Version,
    },
    /// A save was refused for good, as one that conflicts.
    Refused {
        /// What was not saved.
        code: String,
    },
    /// A delete was acknowledged.
    Deleted {
        /// The saved server.
        id: ServerId,
        /// The version that says so.
        version: Version,
    },
}

/// What a storage was found to hold: the code of each version, and none for a tombstone.
#[derive(Debug, Clone, Default)]
pub struct Found {
    servers: BTreeMap<ServerId, BTreeMap<Version, Option<String>>>,
    by_code: BTreeMap<String, Vec<(ServerId, Version)>>,
    kept: Option<u64>,
}

/// How much a history held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged saves.
    pub saves: usize,
    /// Acknowledged deletes.
    pub deletes: usize,
    /// Saves that were refused.
    pub refused: usize,
    /// Versions that are there though nobody was told: their writers were killed, or cut off, before the answer.
    pub unheard: usize,
}

impl Found {
    /// Reads every version of these servers. What is damaged is an error.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn read(storage: &dyn DynStorage, ids: impl IntoIterator<Item = ServerId>) -> Result<Self> {
        let (cx, mut found) = (Cx::detached(), Self::default());
        let listing = storage.list(&cx, &Page { cursor: None, limit: 1_000_000 }).await?;
        if let Some(damaged) = listing.items.iter().find(|summary| summary.damage.is_some()) {
            return Err(Error::internal(format!("the list shows a damaged server: {damaged:?}")));
        }
        for id in ids {
            let versions = match storage.versions(&cx, &id).await {
                Err(error) if error.code == ErrorCode::NotFound => continue,
                versions => versions?,
            };
            for version in versions {
                match storage.get(&cx, &id, Some(version)).await {
                    Ok(server) => found.add(&id, version, Some(server.code)),
                    Err(error) if error.code == ErrorCode::NotFound => found.add(&id, version, None),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Notes a version.
    pub fn add(&mut self, id: &ServerId, version: Version, code: Option<String>) {
        if let Some(code) = &code {
            self.by_code.entry(code.clone()).or_default().push((id.clone(), version));
        }
        self.servers.entry(id.clone()).or_default().insert(version, code);
    }

    /// Old versions may have been collected: all below the newest `kept`, and all below a tombstone.
    #[must_use]
    pub fn collected(self, kept: u64) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// Whether a version has this code.
    pub fn holds(&self, code: &str) -> bool {
        self.by_code.contains_key(code)
    }

    /// Compares it with what writers were told: every acknowledged save and delete is where it was said to be, nothing
    /// is there twice, nothing is there that nobody wrote, nothing is there that was refused, and no number is missing.
    ///
    /// # Errors
    /// The first thing that is wrong, in words.
    pub fn judge<'a>(&self, history: impl IntoIterator<Item = &'a Event>) -> Result<Tally, String> {
        for (id, versions) in &self.servers {
            let first = if self.kept.is_some() { versions.keys().next().map_or(1, |version| version.0) } else { 1 };
            if !versions.keys().map(|version| version.0).eq(first..first + versions.len() as u64) {
                return Err(format!("`{id}` has gaps: {:?}", versions.keys()));
            }
        }
        if let Some((code, places)) = self.by_code.iter().find(|(_, places)| places.len() > 1) {
            return Err(format!("{} was stored more than once: {places:?}", short(code)));
        }
        let (mut tally, mut tried, mut known) = (Tally::default(), BTreeSet::new(), BTreeSet::new());
        for event in history {
            match event {
                Event::Tried { id, code } => {
                    tried.insert((id, code.as_str()));
                }
                Event::Saved { id, code, version } => {
                    tally.saves += 1;
                    known.insert((id, *version));
                    let place = self.by_code.get(code).and_then(|places| places.first());
                    if place.is_none() && self.may_be_collected(id, *version) {
                        continue;
                    }
                    if place != Some(&(id.clone(), *version)) {
                        let is = place.map_or("nowhere".into(), |(id, version)| format!("version {version} of `{id}`"));
                        return Err(format!(
                            "an acknowledged save, {} as version {version} of `{id}`, is {is}",
                            short(code)
                        ));
                    }
                }
                Event::Refused { code } => {
                    tally.refused += 1;
                    if self.holds(code) {
                        return Err(format!("{} was refused and is there", short(code)));
                    }
                }
                Event::Deleted { id, version } => {
                    tally.deletes += 1;
                    known.insert((id, *version));
                    let found = self.servers.get(id).and_then(|versions| versions.get(version));
                    if found != Some(&None) && !self.may_be_collected(id, *version) {
                        return Err(format!("version {version} of `{id}` is no tombstone, as was acknowledged"));
                    }
                }
            }
        }
        let ids: BTreeSet<_> = tried.iter().map(|(id, _)| *id).collect();
        for (id, versions) in self.servers.iter().filter(|(id, _)| ids.contains(id)) {
            for (version, code) in versions {
                tally.unheard += usize::from(!known.contains(&(id, *version)));
                if let Some(code) = code.as_deref().filter(|code| !tried.contains(&(id, *code))) {
                    return Err(format!("nobody wrote version {version} of `{id}`: {}", short(code)));
                }
            }
        }
        Ok(tally)
    }
}

impl Found {
    fn may_be_collected(&self, id: &ServerId, version: Version) -> bool {
        let (Some(kept), Some(versions)) = (self.kept, self.servers.get(id)) else { return false };
        versions
            .first_key_value()
            .is_some_and(|(first, code)| version < *first && (code.is_none() || versions.len() as u64 >= kept))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { saves, deletes, refused, unheard } = self;
        write!(
            f,
            "{saves} saves and {deletes} deletes acknowledged, {refused} refused, {unheard} unheard of: none lost, none \
             torn, none twice"
        )
    }
}

fn short(code: &str) -> String {
    format!("`{}` ({} bytes)", code.chars().take(60).collect::<String>(), code.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(codes: &[Option<&str>]) -> Found {
        let mut found = Found::default();
        for (number, code) in codes.iter().enumerate() {
            found.add(&id(), Version(number as u64 + 1), code.map(Into::into));
        }
        found
    }

    fn id() -> ServerId {
        "server-a".parse().unwrap()
    }

    fn tried(code: &str) -> Event {
        Event::Tried { id: id(), code: code.into() }
    }

    fn saved(code: &str, version: u64) -> Event {
        Event::Saved { id: id(), code: code.into(), version: Version(version) }
    }

    #[test]
    fn what_was_kept_is_counted() {
        let history = [
            tried("a"),
            saved("a", 1),
            Event::Deleted { id: id(), version: Version(2) },
            tried("b"),
            tried("c"),
            Event::Refused { code: "c".into() },
        ];
        let tally = found(&[Some("a"), None, Some("b")]).judge(&history).unwrap();
        assert_eq!(tally, Tally { saves: 1, deletes: 1, refused: 1, unheard: 1 });
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        let lost = |codes: &[Option<&str>], history: &[Event]| found(codes).judge(history).unwrap_err();
        assert!(lost(&[], &[tried("a"), saved("a", 1)]).contains("is nowhere"));
        assert!(lost(&[Some("b"), Some("a")], &[tried("a"), tried("b"), saved("a", 1)]).contains("is version 2"));
        assert!(lost(&[Some("a"), Some("a")], &[tried("a")]).contains("more than once"));
        assert!(lost(&[Some("ab")], &[tried("abc")]).contains("nobody wrote"));
        assert!(lost(&[Some("a")], &[tried("a"), Event::Refused { code: "a".into() }]).contains("was refused"));
        assert!(lost(&[Some("a")], &[Event::Deleted { id: id(), version: Version(1) }]).contains("no tombstone"));
        let mut gap = Found::default();
        gap.add(&id(), Version(2), None);
        assert!(gap.judge(&[]).unwrap_err().contains("gaps"));
        assert!(gap.collected(1).judge(&[]).is_ok());
        let mut kept = Found::default().collected(2);
        kept.add(&id(), Version(2), Some("b".into()));
        let history = [tried("a"), saved("a", 1), tried("b")];
        assert!(kept.judge(&history).unwrap_err().contains("is nowhere"), "one too many was collected");
        kept.add(&id(), Version(3), None);
        assert!(kept.judge(&history).is_ok());
    }
}
