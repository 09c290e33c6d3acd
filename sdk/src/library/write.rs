use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use super::{
    ObjectLibrary,
    blobs::Blobs,
    envelope::{self, Refs},
    index::HeadState,
    key, unknown, wanted,
};
use crate::{
    Created, Cx, Error, ErrorCode, Expected, ObjectMeta, Objects, PutId, Result, SavedServer, ServerId, Summary,
    Version,
};

/// How often a put begins again because somebody else was quicker.
const ATTEMPTS: usize = 256;

/// What the next version is to be.
enum Next<'a> {
    Record(&'a SavedServer, &'a Refs),
    Text(&'a RawValue),
    Tombstone,
}

/// What became of a version that was to be created.
enum Placed {
    Here,
    /// Somebody else was quicker.
    Taken,
    /// There is one already, said the medium, and has none.
    Nowhere,
}

type Numbers = BTreeMap<Version, ObjectMeta>;

impl<O: Objects> ObjectLibrary<O> {
    /// See [`Storage::put`](crate::Storage::put). The record's own `version` and `sha256` do not matter.
    ///
    /// After any error the same `put_id` may be tried again, here or in another process.
    pub async fn put(&self, cx: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
        let id = record.server_id.parse().map_err(|error: Error| {
            error.context(format!("`{}`", record.server_id.escape_debug().take(80).collect::<String>()))
        })?;
        let (record, blobs) = Blobs::take(record, self.threshold);
        self.write(cx, &id, Next::Record(&record, &blobs.refs), &blobs, expected, put_id).await
    }

    /// As [`put`](Self::put), with a record that is stored byte for byte and need not be one that can be read.
    pub async fn put_text(
        &self,
        cx: &Cx,
        id: &ServerId,
        record: &RawValue,
        expected: Expected,
        put_id: &PutId,
    ) -> Result<Version> {
        self.write(cx, id, Next::Text(record), &Blobs::default(), expected, put_id).await
    }

    /// See [`Storage::delete`](crate::Storage::delete).
    pub async fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
        wanted(cx)?;
        let (put_id, none) = (PutId::random(), Blobs::default());
        if !self.numbers(id).await?.is_empty() {
            let deleted = self.write(cx, id, Next::Tombstone, &none, expected, &put_id).await;
            if !deleted.as_ref().is_err_and(|error| error.code == ErrorCode::NotFound) {
                return deleted;
            }
        }
        let owner = self.owner(id).await?.ok_or_else(|| unknown(id))?;
        self.write(cx, &owner, Next::Tombstone, &none, expected, &put_id).await
    }

    async fn write(
        &self,
        cx: &Cx,
        id: &ServerId,
        next: Next<'_>,
        blobs: &Blobs,
        expected: Expected,
        put_id: &PutId,
    ) -> Result<Version> {
        let mut fresh = None;
        // A listing may lag behind the creates of others on some media.
        let mut taken = Version::default();
        for _ in 0..ATTEMPTS {
            wanted(cx)?;
            let numbers = self.numbers(id).await?;
            let newest = numbers.last_key_value().map_or(taken, |(version, _)| taken.max(*version));
            let version = newest.next();
            if version > key::LAST {
                return Err(Error::unsupported(format!("saved server `{id}` has no version number left")));
            }
            if let Some(made) = self.made_by(id, &numbers, expected, put_id).await? {
                // It was seen, but whether it is durable only its maker knew.
                let fresh = self.upload(blobs).await?;
                self.objects.create(&key::object(id, made), &next.seal(made, put_id)?).await?;
                self.secure(blobs, &fresh).await?;
                return Ok(made);
            }
            self.allow(id, newest, &next, expected).await?;
            let fresh = match &fresh {
                Some(fresh) => fresh,
                None => fresh.insert(self.upload(blobs).await?),
            };
            match self.place(id, version, &next, put_id).await? {
                Placed::Here => {
                    self.secure(blobs, fresh).await?;
                    return Ok(self.written(id, version, &next, put_id));
                }
                Placed::Taken => taken = version,
                Placed::Nowhere => {}
            }
        }
        Err(Error::unavailable(format!("too many others are saving `{id}`")).hint("try again in a moment"))
    }

    /// Creates the version.
    async fn place(&self, id: &ServerId, version: Version, next: &Next<'_>, put_id: &PutId) -> Result<Placed> {
        let (object, body) = (key::object(id, version), next.seal(version, put_id)?);
        match self.objects.create(&object, &body).await {
            Ok(Created::New) => return Ok(Placed::Here),
            Ok(Created::Exists) => {}
            Err(error) => match self.objects.read(&object).await {
                Ok(bytes) if envelope::put_id(&bytes).as_deref() == Some(put_id.as_str()) => {
                    self.objects.create(&object, &body).await?;
                    return Ok(Placed::Here);
                }
                Ok(_) => {}
                Err(_) => return Err(error),
            },
        }
        if self.index().put_id(id, version).is_none() && !self.is_there(&object).await? {
            return Ok(Placed::Nowhere);
        }
        Ok(if self.if_made_by(id, version, put_id).await?.is_some() { Placed::Here } else { Placed::Taken })
    }

    async fn is_there(&self, object: &str) -> Result<bool> {
        match self.objects.read(object).await {
            Ok(_) => Ok(true),
            Err(error) if error.code == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the expectation holds, as an error when it does not.
    async fn allow(&self, id: &ServerId, newest: Version, next: &Next<'_>, expected: Expected) -> Result<()> {
        let deletes = matches!(next, Next::Tombstone);
        let gone = match (deletes, expected) {
            _ if newest.is_unset() => true,
            (true, _) | (_, Expected::New) => matches!(self.state(id, newest).await?, HeadState::Deleted),
            _ => false,
        };
        if deletes && gone {
            return Err(unknown(id));
        }
        let current = (!newest.is_unset()).then_some(newest.0);
        match expected {
            Expected::Any => Ok(()),
            Expected::New if gone => Ok(()),
            Expected::New => {
                Err(Error::conflict(format!("saved server `{id}` exists already, at version {newest}"), current))
            }
            Expected::At(version) if version == newest => Ok(()),
            Expected::At(version) => {
                let is = current.map_or("it does not exist".into(), |current| format!("it is at version {current}"));
                Err(Error::conflict(format!("saved server `{id}` is not at version {version}: {is}"), current))
            }
        }
        .map_err(|error: Error| error.hint("read the current version and try again"))
    }

    /// The version that the same put made earlier, if it did.
    async fn made_by(
        &self,
        id: &ServerId,
        numbers: &Numbers,
        expected: Expected,
        put_id: &PutId,
    ) -> Result<Option<Version>> {
        let known = self.index().made_by(id, put_id.as_str());
        if let Some(version) = known.filter(|version| numbers.contains_key(version)) {
            return Ok(Some(version));
        }
        let candidates: Vec<_> = match expected {
            Expected::At(version) => [version.next()].into_iter().filter(|next| numbers.contains_key(next)).collect(),
            Expected::New | Expected::Any => numbers.keys().rev().copied().collect(),
        };
        for version in candidates {
            if self.if_made_by(id, version, put_id).await?.is_some() {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    async fn if_made_by(&self, id: &ServerId, version: Version, put_id: &PutId) -> Result<Option<Version>> {
        if let Some(known) = self.index().put_id(id, version) {
            return Ok((known == put_id.as_str()).then_some(version));
        }
        let bytes = match self.objects.read(&key::object(id, version)).await {
            Ok(bytes) => bytes,
            Err(error) if error.code == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(found) = envelope::put_id(&bytes) else { return Ok(None) };
        let same = found == put_id.as_str();
        self.index().note_put(id, version, found);
        Ok(same.then_some(version))
    }

    fn written(&self, id: &ServerId, version: Version, next: &Next<'_>, put_id: &PutId) -> Version {
        let mut index = self.index();
        index.note_put(id, version, put_id.as_str().into());
        match next {
            Next::Record(record, _) => {
                let summary = Summary { version, ..record.summary() };
                index.note(id, version, HeadState::Live(summary.into()));
            }
            Next::Tombstone => index.note(id, version, HeadState::Deleted),
            Next::Text(_) => {}
        }
        version
    }
}

impl Next<'_> {
    fn seal(&self, version: Version, put_id: &PutId) -> Result<Vec<u8>> {
        let none = Refs::new();
        let (record, refs) = match self {
            Self::Record(record, refs) => {
                let record = SavedServer { version, sha256: None, ..(*record).clone() };
                (Some(to_raw_value(&record)?), *refs)
            }
            Self::Text(text) => (Some((*text).to_owned()), &none),
            Self::Tombstone => (None, &none),
        };
        Ok(envelope::seal(put_id.as_str(), record.as_deref(), refs))
    }
}
