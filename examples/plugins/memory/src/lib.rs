//! A library in memory: what is saved is there until the process ends.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use perennial_sdk::prelude::*;

pub struct Shelf(&'static Mutex<BTreeMap<String, Vec<u8>>>);

/// Beside the plugin: an instance that takes over after a panic, or a second one, finds what others saved.
static SHELVES: Mutex<BTreeMap<PathBuf, &Mutex<BTreeMap<String, Vec<u8>>>>> = Mutex::new(BTreeMap::new());

impl Objects for Shelf {
    async fn create(&self, key: &str, body: &[u8]) -> Result<Created> {
        let mut shelf = self.0.lock()?;
        let created = if shelf.contains_key(key) { Created::Exists } else { Created::New };
        shelf.entry(key.into()).or_insert_with(|| body.into());
        Ok(created)
    }

    async fn read(&self, key: &str) -> Result<Vec<u8>> {
        self.0.lock()?.get(key).cloned().ok_or_else(|| Error::not_found(format!("there is no object `{key}`")))
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let (shelf, after) = (self.0.lock()?, after.unwrap_or_default());
        let wanted = shelf.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        Ok(wanted.take(limit).map(|(key, body)| ObjectMeta::new(key, body.len())).collect())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.0.lock()?.remove(key);
        Ok(())
    }
}

pub struct Memory(ObjectLibrary<Shelf>);

impl Plugin for Memory {
    type Config = NoConfig;

    async fn init(_: NoConfig, home: Home) -> Result<Self> {
        let shelf = *SHELVES.lock()?.entry(home.data_dir).or_insert_with(|| Box::leak(Box::default()));
        Ok(Memory(ObjectLibrary::new(Shelf(shelf)).at("memory")))
    }
}

impl ObjectStorage for Memory {
    type Medium = Shelf;

    fn library(&self) -> &ObjectLibrary<Shelf> {
        &self.0
    }
}

export_plugin!(memory, Memory: [storage]);
