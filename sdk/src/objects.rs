use std::{future::Future, time::SystemTime};

use crate::Result;

/// The four things that a medium must be able to do to hold a library, and one that it may; [`ObjectLibrary`](crate::ObjectLibrary)
/// does the rest. Keys are relative, `/`-separated and made of `[A-Za-z0-9._-]` only.
pub trait Objects: Send + Sync + 'static {
    /// Writes a new object, durably, all or nothing. One of several racing writers wins; the others see
    /// [`Created::Exists`], which is said only of an object that is durable too. After an error the object may exist all
    /// the same.
    fn create(&self, key: &str, body: &[u8]) -> impl Future<Output = Result<Created>> + Send;

    /// The whole object, or `not_found`.
    fn read(&self, key: &str) -> impl Future<Output = Result<Vec<u8>>> + Send;

    /// Every object whose key starts with `prefix` and sorts after `after`, in the order of the keys' bytes. At most
    /// `limit` of them; fewer only when there are no more. What cannot be looked at is an error, never left out.
    ///
    /// Saves are safe with a listing that lags behind creates, collections are not: they need one that shows every object
    /// whose create was answered before.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ObjectMeta>>> + Send;

    /// Removes an object; one that is not there is no error.
    fn remove(&self, key: &str) -> impl Future<Output = Result<()>> + Send;

    /// Writes or replaces an object that may be lost at any time. This one loses it at once.
    fn cache(&self, key: &str, body: &[u8]) -> impl Future<Output = Result<()>> + Send {
        let _ = (key, body);
        async { Ok(()) }
    }
}

/// What became of a [`Objects::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is now there, and is ours.
    New,
    /// There was one already.
    Exists,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// By the medium's own clock, where it says; without it nothing is ever old enough to be collected.
    pub modified: Option<SystemTime>,
}

impl ObjectMeta {
    /// An object of a medium that does not tell how old it is.
    pub fn new(key: impl Into<String>, size: usize) -> Self {
        Self { key: key.into(), size: size as u64, modified: None }
    }
}
