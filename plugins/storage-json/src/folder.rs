use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use perennial_sdk::{Created, Error, ErrorCode, ObjectMeta, Objects, Result};

use crate::durable;

/// Unfinished files; hidden, so that no listing shows it.
const UNFINISHED: &str = ".unfinished";

/// An unfinished file that is older than this belongs to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// [`Objects`] on a local folder, made when the first object is. A clone is the same folder.
#[derive(Debug, Clone)]
pub struct Folder {
    inner: Arc<Inner>,
    lends: bool,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Folders whose own entry in their parent this process knows to be durable.
    anchored: Mutex<HashSet<PathBuf>>,
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
        let inner = Inner { root, anchored: Mutex::default(), lent: Mutex::default() };
        Self { inner: Arc::new(inner), lends: false }
    }

    /// The same folder for what another file keeps safe: where the disk refuses an object, it is there until the
    /// process ends or [`settle`](Self::settle) finds the disk willing.
    #[must_use]
    pub fn lending(&self) -> Self {
        Self { inner: self.inner.clone(), lends: true }
    }

    /// Writes what could not be written before; says whether nothing of that is left.
    pub(crate) fn settle(&self) -> bool {
        let mut lent = self.inner.lent();
        lent.retain(|key, object| self.inner.create(key, &object.body).is_err());
        lent.is_empty()
    }

    /// Whether there is something that could not be written.
    pub(crate) fn owes(&self) -> bool {
        !self.inner.lent().is_empty()
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await
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
        self.run(move |inner| match inner.create(&key, &body) {
            Err(error) if lends && matches!(error.code, ErrorCode::Denied | ErrorCode::Unavailable) => {
                inner.lent().entry(key).or_insert(Lent { body, modified: SystemTime::now() });
                Ok(Created::New)
            }
            created => created,
        })
        .await
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        let key = key.to_owned();
        self.run(move |inner| {
            let path = inner.path(&key)?;
            fs::read(&path).or_else(|error| match inner.lent().get(&key) {
                Some(object) if error.kind() == io::ErrorKind::NotFound => Ok(object.body.clone()),
                _ => Err(failed("read", &path, error)),
            })
        })
        .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let (prefix, after) = (prefix.to_owned(), after.unwrap_or_default().to_owned());
        self.run(move |inner| {
            let mut found = Vec::new();
            let folder = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
            inner.list(folder, &prefix, &after, limit, &mut found)?;
            let lent = inner.lent();
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
        self.run(move |inner| {
            let path = inner.path(&key)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn cache(&self, key: &str, body: &[u8]) -> Result<()> {
        let (key, body) = (key.to_owned(), body.to_owned());
        self.run(move |inner| {
            let path = inner.path(&key)?;
            let write = || {
                fs::create_dir_all(inner.parent(&path))?;
                let unfinished = inner.unfinished(&body)?;
                unfinished.persist(&path).map_err(|error| error.error).map(drop)
            };
            write().map_err(|error| failed("write", &path, error))
        })
        .await
    }
}

impl Inner {
    fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        let path = self.path(key)?;
        self.place(&path, body).map_err(|error| failed("write", &path, error))
    }

    fn place(&self, path: &Path, body: &[u8]) -> io::Result<Created> {
        let folder = self.parent(path);
        self.anchor(folder)?;
        if path.try_exists()? {
            durable::sync_folder(folder)?;
            return Ok(Created::Exists);
        }
        let unfinished = self.unfinished(body)?;
        unfinished.as_file().sync_all()?;
        match unfinished.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                durable::sync_folder(folder)?;
                return Ok(Created::Exists);
            }
            Err(error) => return Err(error.error),
        }
        durable::sync_folder(folder).inspect_err(|_| {
            // After a failed fsync a second one may succeed without having written anything.
            let _ = fs::remove_file(path);
        })?;
        Ok(Created::New)
    }

    /// Makes a folder and those above it, durably.
    fn anchor(&self, folder: &Path) -> io::Result<()> {
        if self.anchored().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        match folder.parent() {
            Some(parent) if folder.starts_with(&self.root) => {
                self.anchor(parent)?;
                match fs::create_dir(folder) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => durable::sync_folder(parent)?,
                }
            }
            _ => fs::create_dir_all(folder)?,
        }
        self.anchored().insert(folder.to_owned());
        Ok(())
    }

    fn lent(&self) -> MutexGuard<'_, BTreeMap<String, Lent>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anchored(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.anchored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfinished(&self, body: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        let folder = self.root.join(UNFINISHED);
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
        }
        if self.anchored().insert(folder.clone()) {
            sweep(&folder);
        }
        let mut file = durable::temporary(&folder)?;
        io::Write::write_all(&mut file, body)?;
        Ok(file)
    }

    fn list(&self, folder: &str, prefix: &str, after: &str, limit: usize, found: &mut Vec<ObjectMeta>) -> Result<()> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| failed("list", &path, error))?,
        };
        let mut named = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed("list", &path, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let kind = entry.file_type().map_err(|error| failed("list", &path, error))?;
            let key = if kind.is_dir() { format!("{folder}{name}/") } else { format!("{folder}{name}") };
            let below = key.starts_with(prefix) || prefix.starts_with(&key);
            let ahead = key.as_str() > after || after.starts_with(&key);
            if below && ahead && (kind.is_dir() || key != after) {
                named.push((key, kind.is_dir(), entry));
            }
        }
        named.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, is_folder, entry) in named {
            if found.len() >= limit {
                break;
            }
            if is_folder {
                self.list(&key, prefix, after, limit, found)?;
                continue;
            }
            match entry.metadata() {
                Ok(meta) => found.push(ObjectMeta { key, size: meta.len(), modified: meta.modified().ok() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("list", &entry.path(), error)),
            }
        }
        Ok(())
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        let plain = |part: &str| {
            !part.starts_with('.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if key.is_empty() || !key.split('/').all(|part| !part.is_empty() && plain(part)) {
            return Err(Error::invalid(format!("`{}` is no key of an object", key.escape_debug())));
        }
        Ok(self.root.join(key))
    }

    fn parent<'a>(&'a self, path: &'a Path) -> &'a Path {
        path.parent().unwrap_or(&self.root)
    }
}

/// An error of the file system, with the path and what to do about it.
pub(crate) fn failed(doing: &str, path: &Path, error: io::Error) -> Error {
    let kind = error.kind();
    let error = Error::from(error).context(format!("cannot {doing} `{}`", path.display()));
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Error { code: ErrorCode::Unavailable, ..error }
                .hint("free some space on the disk and try again; what was saved before is unharmed")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => error.hint(
            "let this user write the folder, or set `path` in the plugin's `config` to a file in one that it can \
             write; what was saved before is unharmed",
        ),
        _ => error,
    }
}

fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
