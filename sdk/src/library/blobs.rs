use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{ObjectLibrary, envelope, envelope::Refs, key};
use crate::{Created, Error, ErrorCode, Objects, Result, SavedServer};

/// The large texts that were taken out of a record.
#[derive(Default)]
pub(super) struct Blobs {
    /// Where they belong.
    pub(super) refs: Refs,
    /// By their hash.
    texts: BTreeMap<String, String>,
}

impl Blobs {
    /// Takes out of a record what has more than `threshold` bytes.
    pub(super) fn take<'a>(record: &'a SavedServer, threshold: usize) -> (Cow<'a, SavedServer>, Self) {
        let (mut thin, mut blobs) = (Cow::Borrowed(record), Self::default());
        let large = |text: &str| text.len() > threshold;
        if large(&record.code) {
            blobs.add("code".into(), std::mem::take(&mut thin.to_mut().code));
        }
        if record.lock.as_deref().is_some_and(large) {
            blobs.add("lock".into(), thin.to_mut().lock.take().unwrap_or_default());
        }
        for path in record.files.iter().filter(|(_, text)| large(text)).map(|(path, _)| path) {
            let text = thin.to_mut().files.remove(path).unwrap_or_default();
            blobs.add(format!("files/{path}"), text);
        }
        (thin, blobs)
    }

    fn add(&mut self, place: String, text: String) {
        let sha256 = envelope::digest(text.as_bytes());
        self.refs.insert(place, sha256.clone());
        self.texts.insert(sha256, text);
    }
}

impl<O: Objects> ObjectLibrary<O> {
    /// Writes the texts that are not there yet, and answers the hashes of those that no collector can have its eye on:
    /// they are new, under names of their own.
    pub(super) async fn upload(&self, blobs: &Blobs) -> Result<BTreeSet<String>> {
        let mut fresh = BTreeSet::new();
        for (sha256, text) in &blobs.texts {
            if self.objects.create(&key::blob(sha256), text.as_bytes()).await? == Created::New {
                continue;
            }
            if self.condemned(sha256).await? || self.blob(sha256).await?.is_err() {
                self.copy(sha256, text).await?;
                fresh.insert(sha256.clone());
            }
        }
        Ok(fresh)
    }

    /// Sees to it that what a version needs stays, now that the version is there: a collector marks what it is about to
    /// remove before it looks for versions that need it, so that one of the two sees the other.
    pub(super) async fn secure(&self, blobs: &Blobs, fresh: &BTreeSet<String>) -> Result<()> {
        for (sha256, text) in blobs.texts.iter().filter(|(sha256, _)| !fresh.contains(*sha256)) {
            if self.condemned(sha256).await? {
                self.copy(sha256, text).await?;
            }
        }
        Ok(())
    }

    /// Puts the texts back into a record. What is missing or damaged is the inner error.
    pub(super) async fn attach(&self, server: &mut SavedServer, refs: &Refs) -> Result<Result<(), String>> {
        for (place, sha256) in refs {
            let bytes = match self.blob(sha256).await? {
                Ok(bytes) => bytes,
                Err(damage) => return Ok(Err(damage)),
            };
            let Ok(text) = String::from_utf8(bytes) else { return Ok(Err(format!("its `{place}` is no text"))) };
            match (place.as_str(), place.strip_prefix("files/")) {
                ("code", _) => server.code = text,
                ("lock", _) => server.lock = Some(text),
                (_, Some(path)) => drop(server.files.insert(path.into(), text)),
                _ => return Ok(Err(format!("it has a `{place}` that is not known here"))),
            }
        }
        Ok(Ok(()))
    }

    /// A text by its hash, from whichever of its objects is sound; what is wrong with it, when none is.
    pub(super) async fn blob(&self, sha256: &str) -> Result<Result<Vec<u8>, String>> {
        let mut damage = format!("its large text {sha256} is missing");
        let first = key::blob(sha256);
        match self.objects.read(&first).await {
            Ok(bytes) if envelope::digest(&bytes) == sha256 => return Ok(Ok(bytes)),
            Ok(_) => damage = format!("its large text {sha256} was changed after it was saved"),
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(cannot_read(sha256, error)),
        }
        for meta in self.objects.list(&format!("{first}."), None, key::MANY).await? {
            match self.objects.read(&meta.key).await {
                Ok(bytes) if envelope::digest(&bytes) == sha256 => return Ok(Ok(bytes)),
                Err(error) if error.code != ErrorCode::NotFound => return Err(cannot_read(sha256, error)),
                _ => {}
            }
        }
        Ok(Err(damage))
    }

    async fn condemned(&self, sha256: &str) -> Result<bool> {
        Ok(!self.objects.list(&key::mark(sha256, ""), None, 1).await?.is_empty())
    }

    async fn copy(&self, sha256: &str, text: &str) -> Result<()> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        match self.objects.create(&key::copy(sha256, &name), text.as_bytes()).await {
            // Nobody else knows the name: what is there is ours.
            Ok(Created::New | Created::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn cannot_read(sha256: &str, error: Error) -> Error {
    error.context(format!("the large text {sha256} cannot be read"))
}
