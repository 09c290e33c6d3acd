use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};
use perennial_sdk::{Created, Error, ErrorCode, ObjectMeta, Objects, Result};
use tokio::sync::OnceCell;

use crate::{
    config::{ConditionalWrites, Settings},
    connect,
    explain::{self, Action},
    probe::Probe,
    single,
    trace::{self, Failure, Silence},
    transport::transfer,
};

/// What the keys of all hosts' caches begin with.
pub(crate) const INDEX: &str = "index/";

/// [`Objects`] in a bucket. Nothing is asked of the store before the first operation.
pub struct Bucket {
    settings: Settings,
    store: OnceCell<AmazonS3>,
    probe: Probe,
    rest: Mutex<Option<Rest>>,
}

/// What a listing found and did not give yet.
struct Rest {
    prefix: String,
    after: String,
    objects: Vec<ObjectMeta>,
}

impl Bucket {
    /// The bucket of `settings`; `memory` is a folder for what is known of the store.
    pub fn new(settings: Settings, memory: PathBuf) -> Self {
        let probe = Probe::new(&settings, memory);
        Self { settings, store: OnceCell::new(), probe, rest: Mutex::default() }
    }

    /// Where the objects are, for people.
    pub fn location(&self) -> String {
        self.settings.location()
    }

    /// Whether several hosts may write at the same time.
    pub fn is_shared(&self) -> bool {
        self.settings.conditional_writes == ConditionalWrites::Required
    }

    /// The store in a sentence.
    pub(crate) fn named(&self) -> String {
        self.settings.named()
    }

    /// Creates an object where there is none, as far as the store's word is good.
    pub(crate) async fn put_new(&self, key: &str, body: &[u8]) -> Result<Created> {
        self.put(key, body, PutMode::Create).await
    }

    /// Creates an object with a body whose last bit turns over on its way; whether the store took it, or what kept it
    /// from being asked.
    pub(crate) async fn put_spoiled(&self, key: &str, body: &[u8]) -> Result<bool> {
        let mut spoiled = body.to_vec();
        spoiled.last_mut().into_iter().for_each(|last| *last ^= 1);
        let put = put(self.store().await?, self.path(key)?, body, PutMode::Create);
        let (done, failure) = trace::follow_spoiled(spoiled, tokio::time::timeout(self.settings.deadline, put)).await;
        match (done, failure) {
            (Ok(Ok(_)), _) => Ok(true),
            (_, Some(Failure::Answer(_))) => Ok(false),
            (_, failure) => Err(explain::explain(&self.settings, Action::Write, failure, "no answer came in time")),
        }
    }

    /// Writes or replaces an object.
    pub(crate) async fn overwrite(&self, key: &str, body: &[u8]) -> Result<()> {
        self.put(key, body, PutMode::Overwrite).await.map(drop)
    }

    /// The object of exactly this key.
    pub(crate) async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let path = self.path(key)?;
        let get = async |store: &AmazonS3| Ok(store.get(&path).await?.bytes().await?.to_vec());
        self.ask(Action::Read, 0, get).await.map_err(|error| match error.code {
            ErrorCode::NotFound => Error::not_found(format!("there is no object `{key}` in {}", self.named())),
            _ => error,
        })
    }

    /// Every object of this prefix, by its own key.
    pub(crate) async fn everything(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let whole = format!("{}{prefix}", self.settings.prefix);
        let (mut found, mut page_token) = (Vec::new(), None);
        loop {
            let page = async |store: &AmazonS3| {
                let options =
                    PaginatedListOptions { page_token: page_token.clone(), ..PaginatedListOptions::default() };
                store.list_paginated(Some(&whole), options).await
            };
            let page = self.ask(Action::List, 0, page).await?;
            found.extend(page.result.objects.into_iter().filter_map(|meta| {
                let key = meta.location.as_ref().strip_prefix(&self.settings.prefix)?.to_owned();
                Some(ObjectMeta { key, size: meta.size, modified: Some(SystemTime::from(meta.last_modified)) })
            }));
            match page.page_token {
                Some(token) if page_token.as_ref() == Some(&token) => {
                    return Err(Error::unavailable(format!("the listing of {} does not end", self.named())));
                }
                Some(token) => page_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// Removes the object of exactly this key.
    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        match self.ask(Action::Remove, 0, async |store: &AmazonS3| store.delete(&path).await).await {
            Err(error) if error.code == ErrorCode::NotFound => Ok(()),
            done => done,
        }
    }

    async fn put(&self, key: &str, body: &[u8], mode: PutMode) -> Result<Created> {
        let path = self.path(key)?;
        self.ask(Action::Write, body.len(), async |store: &AmazonS3| put(store, path.clone(), body, mode.clone()).await)
            .await
    }

    /// Creates an object on a store that overwrites. Whoever finds another's beside its own withdraws, so that at most
    /// one of two goes on; both may have to.
    async fn create_alone(&self, key: &str, body: &[u8]) -> Result<Created> {
        if !single::has_many(key) {
            let found = self.everything(key).await?;
            if found.iter().any(|object| object.key == key) {
                return Ok(Created::Exists);
            }
            self.overwrite(key, body).await?;
            return Ok(Created::New);
        }
        if !self.everything(&single::stem(key)).await?.is_empty() {
            return Ok(Created::Exists);
        }
        let own = single::own(key, body);
        self.overwrite(&own, body).await?;
        let found = self.everything(&single::stem(key)).await?;
        if found.iter().any(|object| object.key != own) {
            self.delete(&own).await?;
            return Ok(Created::Exists);
        }
        Ok(Created::New)
    }

    /// One operation with all its repetitions.
    async fn ask<T>(
        &self,
        action: Action,
        bytes: usize,
        operation: impl AsyncFnOnce(&AmazonS3) -> Result<T, StoreError>,
    ) -> Result<T> {
        let store = self.store().await?;
        let limit = self.settings.deadline + transfer(bytes);
        let (done, failure) = trace::follow(tokio::time::timeout(limit, operation(store))).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(StoreError::NotFound { .. })) if explain::is_missing(failure.as_ref()) => {
                Err(Error::not_found("there is no such object"))
            }
            Ok(Err(error)) => Err(explain::explain(&self.settings, action, failure, &error.to_string())),
            Err(_) => {
                let failure = failure.unwrap_or_else(|| Failure::Silence(Silence::late()));
                Err(explain::explain(&self.settings, action, Some(failure), ""))
            }
        }
    }

    async fn store(&self) -> Result<&AmazonS3> {
        self.store.get_or_try_init(async || connect::connect(&self.settings)).await
    }

    fn path(&self, key: &str) -> Result<Path> {
        let path = format!("{}{key}", self.settings.prefix);
        Path::parse(&path).map_err(|error| Error::invalid(format!("`{path}` cannot be a key")).caused_by(&error))
    }

    /// What is left of the listing that ended at `after`.
    fn continued(&self, prefix: &str, after: &str) -> Option<Vec<ObjectMeta>> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        Some(rest.take_if(|rest| rest.prefix == prefix && rest.after == after)?.objects)
    }
}

impl Objects for Bucket {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        match self.settings.conditional_writes {
            ConditionalWrites::Required => {
                self.probe.passed(self).await?;
                self.put_new(key, body).await
            }
            ConditionalWrites::UnsafeSingleWriter => self.create_alone(key, body).await,
        }
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        match self.get(key).await {
            Err(error) if error.code == ErrorCode::NotFound && single::has_many(key) => {
                let mut found = self.everything(&single::stem(key)).await?;
                found.sort_by(|a, b| (a.modified, &a.key).cmp(&(b.modified, &b.key)));
                let first = found.first().ok_or(error)?;
                self.get(&first.key).await
            }
            read => read,
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let after = after.unwrap_or_default();
        let mut found = match self.continued(prefix, after) {
            Some(rest) => rest,
            None => {
                // not every store lists in the order of bytes: all of it is listed before any of it is given
                let mut found = BTreeMap::<String, ObjectMeta>::new();
                for object in self.everything(prefix).await? {
                    let key = single::shared(&object.key).into_owned();
                    let earlier = found.get(&key).is_some_and(|known| known.modified <= object.modified);
                    if key.as_str() > after && !earlier {
                        found.insert(key.clone(), ObjectMeta { key, ..object });
                    }
                }
                found.into_values().collect()
            }
        };
        let rest = found.split_off(limit.min(found.len()));
        if let (Some(last), false) = (found.last(), rest.is_empty()) {
            let rest = Rest { prefix: prefix.into(), after: last.key.clone(), objects: rest };
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
        Ok(found)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.delete(key).await?;
        if !self.is_shared() && single::has_many(key) {
            for object in self.everything(&single::stem(key)).await? {
                self.delete(&object.key).await?;
            }
        }
        Ok(())
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        self.overwrite(key, body).await
    }
}

async fn put(store: &AmazonS3, path: Path, body: &[u8], mode: PutMode) -> Result<Created, StoreError> {
    let options = PutOptions { mode, ..PutOptions::default() };
    match store.put_opts(&path, PutPayload::from(body.to_vec()), options).await {
        Ok(_) => Ok(Created::New),
        Err(StoreError::AlreadyExists { .. }) => Ok(Created::Exists),
        Err(error) => Err(error),
    }
}
