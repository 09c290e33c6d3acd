use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use perennial_sdk::{ObjectMeta, Result};

use super::failed;

/// A folder's time that is younger than this may not show the next change.
pub(super) const TICK: Duration = Duration::from_secs(2);

/// What folders held, and their time when they did: a listing of ten thousand folders need not read each.
#[derive(Debug, Default)]
pub(super) struct Listing(Mutex<HashMap<String, (SystemTime, Arc<Names>)>>);

/// No file has it in its name.
const BETWEEN: &str = "\0";

/// Which objects are wanted.
pub(super) struct Wanted<'a> {
    pub(super) prefix: &'a str,
    pub(super) after: &'a str,
    pub(super) limit: usize,
}

/// Each name, that of a folder with a `/`, in the order of keys: one text, since most folders hold a name or two.
#[derive(Debug, Default)]
struct Names(Box<str>);

impl Listing {
    /// The objects below `root`, in the order of their keys.
    pub(super) fn list(&self, root: &Path, wanted: &Wanted<'_>) -> Result<Vec<ObjectMeta>> {
        let mut found = Vec::new();
        let folder = wanted.prefix.rfind('/').map_or("", |slash| &wanted.prefix[..=slash]);
        self.walk(root, folder, wanted, &mut found)?;
        Ok(found)
    }

    fn walk(&self, root: &Path, folder: &str, wanted: &Wanted<'_>, found: &mut Vec<ObjectMeta>) -> Result<()> {
        let names = self.names(root, folder, folder.len() > wanted.prefix.len())?;
        for name in names.iter() {
            if found.len() >= wanted.limit {
                break;
            }
            let key = format!("{folder}{name}");
            let is_folder = key.ends_with('/');
            let below = key.starts_with(wanted.prefix) || wanted.prefix.starts_with(&key);
            let ahead = key.as_str() > wanted.after || is_folder && wanted.after.starts_with(&key);
            if !below || !ahead {
                continue;
            }
            if is_folder {
                self.walk(root, &key, wanted, found)?;
                continue;
            }
            let path = root.join(&key);
            match fs::metadata(&path) {
                Ok(meta) => found.push(ObjectMeta { key, size: meta.len(), modified: meta.modified().ok() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("list", &path, error)),
            }
        }
        Ok(())
    }

    /// What is in a folder. With `remembered` one whose time has not changed is not read again; saves never rely on it.
    fn names(&self, root: &Path, folder: &str, remembered: bool) -> Result<Arc<Names>> {
        let path = root.join(folder);
        let fail = |error| failed("list", &path, error);
        let now = SystemTime::now();
        let modified = match fs::metadata(&path).and_then(|meta| meta.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            modified => modified.map_err(fail)?,
        };
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered && let Some((_, names)) = known().get(folder).filter(|(then, _)| *then == modified) {
            return Ok(names.clone());
        }
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            entries => entries.map_err(fail)?,
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            if entry.file_type().map_err(fail)?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort_unstable();
        let names = Arc::new(Names(names.join(BETWEEN).into()));
        if remembered && now.duration_since(modified).is_ok_and(|age| age > TICK) {
            known().insert(folder.to_owned(), (modified, names.clone()));
        }
        Ok(names)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(BETWEEN).filter(|name| !name.is_empty())
    }
}
