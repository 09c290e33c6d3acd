use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use indexmap::IndexMap;
use serde::Serialize;

/// What was denied to one process, or to the steps of one build: each place once, with how often.
#[derive(Debug, Default)]
pub struct Denials(Mutex<Kept>);

/// A place that nothing may connect to, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// `HOST:PORT`.
    pub to: String,
    /// How often it was asked for.
    pub count: u64,
    /// Why not: fits after ``HOST:PORT ``.
    pub why: String,
    /// What to do next.
    pub remedy: String,
}

#[derive(Debug, Default)]
struct Kept {
    total: u64,
    places: IndexMap<String, (Denial, u64)>,
}

/// Different places that are kept: a process may ask for any number of them.
const MOST_PLACES: usize = 50;

impl Denials {
    pub(super) fn add(&self, to: &str, why: &str, remedy: &str) {
        let mut kept = self.kept();
        kept.total += 1;
        let total = kept.total;
        if kept.places.len() >= MOST_PLACES && !kept.places.contains_key(to) {
            return;
        }
        let new = || Denial { to: to.to_owned(), count: 0, why: why.to_owned(), remedy: remedy.to_owned() };
        let (denial, last) = kept.places.entry(to.to_owned()).or_insert_with(|| (new(), 0));
        denial.count += 1;
        *last = total;
    }

    /// How often anything was denied so far: what [`Denials::since`] counts from.
    pub fn total(&self) -> u64 {
        self.kept().total
    }

    /// Everything that was denied, those first that came first.
    pub fn all(&self) -> Vec<Denial> {
        self.since(0)
    }

    /// What was denied after the first `total` times.
    pub fn since(&self, total: u64) -> Vec<Denial> {
        let kept = self.kept();
        kept.places.values().filter(|(_, last)| *last > total).map(|(denial, _)| denial.clone()).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// ``denied: `example.com:443` is not granted to this server; …``
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied: `{}` {}; {}", self.to, self.why, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_told_once_and_again_when_it_is_asked_for_again() {
        let denials = Denials::default();
        denials.add("a.example:443", "is not granted", "ask");
        denials.add("a.example:443", "is not granted", "ask");
        denials.add("b.example:443", "is not granted", "ask");
        assert_eq!(denials.all().iter().map(|denial| denial.count).collect::<Vec<_>>(), [2, 1]);
        let seen = denials.total();
        assert_eq!(denials.since(seen), []);
        denials.add("a.example:443", "is not granted", "ask");
        assert_eq!(denials.since(seen).len(), 1);
        assert_eq!(denials.since(seen)[0].to_string(), "denied: `a.example:443` is not granted; ask");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let denials = Denials::default();
        for number in 0..1000 {
            denials.add(&format!("{number}.example:443"), "is not granted", "ask");
        }
        assert_eq!((denials.total(), denials.all().len()), (1000, MOST_PLACES));
    }
}
