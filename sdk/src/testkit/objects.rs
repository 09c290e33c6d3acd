use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::{Created, Error, ObjectMeta, Objects, Result};

/// [`Objects`] in memory. A clone is another door to the same room, as a second host is.
#[derive(Debug, Clone, Default)]
pub struct MemoryObjects(Arc<Mutex<BTreeMap<String, Stored>>>);

/// [`Objects`] that fail as [`Faults`] say.
#[derive(Debug, Clone)]
pub struct FaultyObjects<O> {
    inner: O,
    faults: Faults,
}

/// What is to go wrong next, one entry a call; when there is none left, nothing does. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<VecDeque<Fault>>>);

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
}

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

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Stored>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Objects for MemoryObjects {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        tokio::task::yield_now().await;
        Ok(self.with(|objects| match objects.entry(key.into()) {
            std::collections::btree_map::Entry::Occupied(_) => Created::Exists,
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Stored { body: body.into(), modified: SystemTime::now() });
                Created::New
            }
        }))
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// Lets everything work from now on.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn next(&self) -> Fault {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Fault::None)
    }
}

impl<O> FaultyObjects<O> {
    /// `inner`, with the faults that `faults` will plan.
    pub fn new(inner: O, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl<O: Objects> Objects for FaultyObjects<O> {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        let fault = self.faults.next();
        if fault == Fault::Before {
            return Err(injected());
        }
        let created = self.inner.create(key, body).await?;
        match fault {
            Fault::After => Err(injected()),
            Fault::Repeated => Ok(Created::Exists),
            Fault::None | Fault::Before => Ok(created),
        }
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        self.check()?;
        self.inner.read(key).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        self.check()?;
        self.inner.list(prefix, after, limit).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.check()?;
        self.inner.remove(key).await
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        self.check()?;
        self.inner.cache(key, body).await
    }
}

impl<O> FaultyObjects<O> {
    fn check(&self) -> Result<()> {
        if matches!(self.faults.next(), Fault::None | Fault::Repeated) { Ok(()) } else { Err(injected()) }
    }
}

fn injected() -> Error {
    Error::unavailable("an injected fault")
}
