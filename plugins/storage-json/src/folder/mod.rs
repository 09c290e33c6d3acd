mod disk;
mod listing;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use perennial_sdk::{Created, Error, ErrorCode, ObjectMeta, Objects, Result};

use self::{
    disk::Disk,
    listing::{Listing, Wanted},
};

pub(crate) use self::disk::failed;

/// [`Objects`] on a local folder, made when the first object is. A clone is the same folder.
#[derive(Debug, Clone)]
pub struct Folder {
    shelf: Arc<Shelf>,
    lends: bool,
}

#[derive(Debug)]
struct Shelf {
    disk: Disk,
    listing: Listing,
    /// Objects that could not be written and are shown all the same.
    lent: Mutex<BTreeMap<String, Lent>>,
}

#[derive(Debug)]
struct Lent {
    body: Vec<u8>,
    modified: SystemTime,
}

impl Folder {
    /// The objects below `root`.
    pub fn new(root: PathBuf) -> Self {
        let shelf = Shelf { disk: Disk::new(root), listing: Listing::default(), lent: Mutex::default() };
        Self { shelf: Arc::new(shelf), lends: false }
    }

    /// The same folder for what another file keeps safe: where the disk refuses an object, it is there until the
    /// process ends or the disk is found willing.
    #[must_use]
    pub fn lending(&self) -> Self {
        Self { shelf: self.shelf.clone(), lends: true }
    }

    /// Writes what could not be written before, where the disk is willing now.
    pub(crate) fn settle(&self) {
        self.shelf.lent().retain(|key, object| self.shelf.disk.create(key, &object.body).is_err());
    }

    /// Whether there is something that could not be written.
    pub(crate) fn owes(&self) -> bool {
        !self.shelf.lent().is_empty()
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.shelf.disk.root
    }

    /// What writers left that are gone for an hour; removed, when that is asked for.
    pub(crate) async fn leftovers(&self, remove: bool) -> Result<Vec<(PathBuf, bool)>> {
        self.run(move |shelf| {
            let all = shelf.disk.leftovers();
            let with_end = |path: PathBuf| {
                let gone = remove && fs::remove_file(&path).is_ok();
                (path, gone)
            };
            Ok(all.into_iter().map(with_end).collect())
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Shelf) -> Result<T> + Send + 'static) -> Result<T> {
        let shelf = self.shelf.clone();
        blocking(move || work(&shelf)).await
    }
}

/// Runs file work where it can block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("file work ended early").caused_by(&error)),
    }
}

impl Objects for Folder {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        let (key, body, lends) = (key.to_owned(), body.to_owned(), self.lends);
        self.run(move |shelf| match shelf.disk.create(&key, &body) {
            Err(error) if lends && matches!(error.code, ErrorCode::Denied | ErrorCode::Unavailable) => {
                shelf.lent().entry(key).or_insert(Lent { body, modified: SystemTime::now() });
                Ok(Created::New)
            }
            created => created,
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        let key = key.to_owned();
        self.run(move |shelf| {
            let path = shelf.disk.path(&key)?;
            fs::read(&path).or_else(|error| match shelf.lent().get(&key) {
                Some(object) if error.kind() == io::ErrorKind::NotFound => Ok(object.body.clone()),
                _ => Err(failed("read", &path, error)),
            })
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let (prefix, after) = (prefix.to_owned(), after.unwrap_or_default().to_owned());
        self.run(move |shelf| {
            let wanted = Wanted { prefix: &prefix, after: &after, limit };
            let mut found = shelf.listing.list(&shelf.disk.root, &wanted)?;
            let lent = shelf.lent();
            for (key, object) in lent.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after) {
                let meta =
                    ObjectMeta { key: key.clone(), size: object.body.len() as u64, modified: Some(object.modified) };
                if let Err(place) = found.binary_search_by(|known| known.key.cmp(key)) {
                    found.insert(place, meta);
                }
            }
            found.truncate(limit);
            Ok(found)
        })
        .await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.run(move |shelf| shelf.disk.remove(&key)).await
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        let (key, body) = (key.to_owned(), body.to_owned());
        self.run(move |shelf| shelf.disk.replace(&key, &body)).await
    }
}

impl Shelf {
    fn lent(&self) -> MutexGuard<'_, BTreeMap<String, Lent>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
