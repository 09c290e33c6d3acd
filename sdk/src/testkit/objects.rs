use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::Dice;
use crate::{Created, Error, ObjectMeta, Objects, Result};

/// [`Objects`] in memory. A clone is another door to the same room, as a second host is.
#[derive(Debug, Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<BTreeMap<String, Stored>>>);

/// [`Objects`] that fail as [`Faults`] say.
#[derive(Debug, Clone)]
pub struct FaultyObjects<O> {
    inner: O,
    faults: Faults,
    listed: Arc<Mutex<HashMap<Listed, Vec<ObjectMeta>>>>,
}

/// What is to go wrong next, one entry a call; when there is none left, nothing does, or what the dice say. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Planned>>);

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// An error, and nothing was done.
    Before,
    /// It was done, and then an error.
    After,
    /// As a client that repeats its request by itself: it was done, and then there was "one already".
    Repeated,
    /// Others come first, before it is done and before it is answered.
    Slow,
    /// A listing is what the same one was before; nothing happens to other calls. Not for collectors, which rely on
    /// listings that show what is there.
    Stale,
}

#[derive(Debug, Default)]
struct Planned {
    next: VecDeque<Fault>,
    sometimes: Option<(Dice, u64, Vec<Fault>)>,
}

/// Prefix, after, limit.
type Listed = (String, Option<String>, usize);

#[derive(Debug)]
struct Stored {
    body: Vec<u8>,
    modified: SystemTime,
}

impl MemoryObjects {
    /// Changes an object behind everybody's back.
    pub fn overwrite(&self, key: &str, body: &[u8]) {
        self.with(|objects| objects.insert(key.into(), Stored { body: body.into(), modified: SystemTime::now() }));
    }

    /// Lets everything be older by so much, as if time had passed.
    pub fn age(&self, by: Duration) {
        self.with(|objects| objects.values_mut().for_each(|stored| stored.modified -= by));
    }

    /// Every key that there is.
    pub fn keys(&self) -> Vec<String> {
        self.with(|objects| objects.keys().cloned().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Stored>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Objects for MemoryObjects {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        tokio::task::yield_now().await;
        let created = self.with(|objects| match objects.entry(key.into()) {
            std::collections::btree_map::Entry::Occupied(_) => Created::Exists,
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Stored { body: body.into(), modified: SystemTime::now() });
                Created::New
            }
        });
        tokio::task::yield_now().await;
        Ok(created)
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        tokio::task::yield_now().await;
        self.with(|objects| objects.get(key).map(|stored| stored.body.clone()))
            .ok_or_else(|| Error::not_found(format!("there is no object `{key}`")))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        tokio::task::yield_now().await;
        let start = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        Ok(self.with(|objects| {
            let from = objects.range::<str, _>((start, Bound::Unbounded));
            let meta = |(key, stored): (&String, &Stored)| ObjectMeta {
                key: key.clone(),
                size: stored.body.len() as u64,
                modified: Some(stored.modified),
            };
            from.take_while(|(key, _)| key.starts_with(prefix)).take(limit).map(meta).collect()
        }))
    }

    async fn remove(&self, key: &str) -> Result<()> {
        tokio::task::yield_now().await;
        self.with(|objects| objects.remove(key));
        Ok(())
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        self.overwrite(key, body);
        Ok(())
    }
}

impl Faults {
    /// Adds faults for the calls to come.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.planned().next.extend(faults);
    }

    /// From now on one call in `one_in` has one of `faults`, as the dice say.
    pub fn sometimes(&self, dice: Dice, one_in: u64, faults: impl IntoIterator<Item = Fault>) {
        self.planned().sometimes = Some((dice, one_in, faults.into_iter().collect()));
    }

    /// Lets everything work from now on.
    pub fn clear(&self) {
        *self.planned() = Planned::default();
    }

    fn next(&self) -> Fault {
        let mut planned = self.planned();
        if let Some(next) = planned.next.pop_front() {
            return next;
        }
        let Some((dice, one_in, faults)) = &mut planned.sometimes else { return Fault::None };
        if dice.below(*one_in) > 0 {
            return Fault::None;
        }
        faults.get(dice.below(faults.len() as u64) as usize).copied().unwrap_or(Fault::None)
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O> FaultyObjects<O> {
    /// `inner`, with the faults that `faults` will plan.
    pub fn new(inner: O, faults: Faults) -> Self {
        Self { inner, faults, listed: Arc::default() }
    }

    /// Does something, or does not, as the fault says.
    async fn suffer<T>(fault: Fault, act: impl Future<Output = Result<T>>, repeated: impl FnOnce(T) -> T) -> Result<T> {
        if fault == Fault::Before {
            return Err(injected());
        }
        if fault == Fault::Slow {
            others_first().await;
        }
        let done = act.await?;
        match fault {
            Fault::After => Err(injected()),
            Fault::Repeated => Ok(repeated(done)),
            Fault::Slow => {
                others_first().await;
                Ok(done)
            }
            Fault::None | Fault::Before | Fault::Stale => Ok(done),
        }
    }
}

impl<O: Objects> Objects for FaultyObjects<O> {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        Self::suffer(self.faults.next(), self.inner.create(key, body), |_| Created::Exists).await
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        Self::suffer(self.faults.next(), self.inner.read(key), |bytes| bytes).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let asked = (prefix.to_owned(), after.map(ToOwned::to_owned), limit);
        let known = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = self.faults.next();
        if fault == Fault::Stale
            && let Some(stale) = known().get(&asked)
        {
            return Ok(stale.clone());
        }
        let listed = Self::suffer(fault, self.inner.list(prefix, after, limit), |listed| listed).await?;
        known().insert(asked, listed.clone());
        Ok(listed)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        Self::suffer(self.faults.next(), self.inner.remove(key), |()| ()).await
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        Self::suffer(self.faults.next(), self.inner.cache(key, body), |()| ()).await
    }
}

async fn others_first() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

fn injected() -> Error {
    Error::unavailable("an injected fault")
}
