//! What saved servers offer beside tools: prompts, resources and templates of resources, as they were last seen to.

mod listed;
mod template;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use perennial_sdk::{Result, ServerId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{broadcast, watch};

pub use listed::{Listed, NoPlace, Place};

use crate::{blocking::blocking, exposure::Shown};

/// What one server offers, in its own definitions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offers {
    /// Its prompts.
    pub prompts: Vec<Value>,
    /// Its resources.
    pub resources: Vec<Value>,
    /// The templates of its resources.
    pub templates: Vec<Value>,
    /// Whether it completes arguments of these.
    pub completes: bool,
    /// Whether it tells when a resource changes.
    pub subscribes: bool,
}

/// What is known of all saved servers. It lasts in the state folder of this installation, a file for each server, and is
/// no part of what is saved.
pub struct Offered {
    folder: PathBuf,
    known: Mutex<HashMap<ServerId, Arc<Offers>>>,
    watched: Mutex<HashMap<Place, usize>>,
    changes: watch::Sender<()>,
    updates: broadcast::Sender<Place>,
}

/// Somebody wants to hear when a resource changes, as long as this lives.
pub struct Watching {
    offered: Arc<Offered>,
    /// The resource.
    pub place: Place,
}

impl Offered {
    /// Remembers below `state_dir` what servers of the library at `location` offer. Nothing is read yet.
    pub fn new(state_dir: &Path, location: &str) -> Self {
        let library: String = Sha256::digest(location).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self {
            folder: state_dir.join("offers").join(library),
            known: Mutex::default(),
            watched: Mutex::default(),
            changes: watch::Sender::default(),
            updates: broadcast::Sender::new(256),
        }
    }

    /// Hears when servers offer something else from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Hears which resources change from now on.
    pub fn updates(&self) -> broadcast::Receiver<Place> {
        self.updates.subscribe()
    }

    /// A server was seen to offer this.
    pub async fn learned(self: &Arc<Self>, server: ServerId, offers: Arc<Offers>) {
        let this = self.clone();
        let written = blocking(move || {
            if *this.known(&server) == *offers {
                return Ok(());
            }
            this.lock().insert(server.clone(), offers.clone());
            this.changes.send_replace(());
            this.write(&server, &offers)
        });
        if let Err(error) = written.await {
            tracing::debug!(%error, "what a server offers is not remembered for the next session");
        }
    }

    /// A saved server was deleted.
    pub async fn forget(self: &Arc<Self>, server: ServerId) {
        let this = self.clone();
        let _ = blocking(move || {
            this.lock().remove(&server);
            let _ = fs::remove_file(this.file(&server));
            this.changes.send_replace(());
            Ok(())
        })
        .await;
    }

    /// What the servers that are shown offer, under names that no two of them have.
    pub async fn listed(self: &Arc<Self>, shown: Arc<Shown>) -> Listed {
        let this = self.clone();
        let listed = blocking(move || {
            Ok(Listed::of(shown.servers().map(|(server, slug)| (server.clone(), slug.to_owned(), this.known(server)))))
        });
        listed.await.unwrap_or_default()
    }

    /// A resource changed, says its server.
    pub fn updated(&self, place: Place) {
        let _ = self.updates.send(place);
    }

    /// Sees to it that the server of a resource tells when it changes, as long as what is returned lives.
    pub fn watch(self: &Arc<Self>, place: Place) -> Watching {
        *lock(&self.watched).entry(place.clone()).or_default() += 1;
        Watching { offered: self.clone(), place }
    }

    /// The resources of a server that somebody wants to hear of.
    pub fn watched(&self, server: &ServerId) -> Vec<String> {
        lock(&self.watched).keys().filter(|place| place.server == *server).map(|place| place.own.clone()).collect()
    }

    fn known(&self, server: &ServerId) -> Arc<Offers> {
        if let Some(known) = self.lock().get(server) {
            return known.clone();
        }
        let read = fs::read(self.file(server)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let read: Arc<Offers> = Arc::new(read.unwrap_or_default());
        self.lock().entry(server.clone()).or_insert(read).clone()
    }

    fn write(&self, server: &ServerId, offers: &Offers) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = tempfile::NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer(&file, offers)?;
        file.persist(self.file(server)).map_err(|error| error.error)?;
        Ok(())
    }

    fn file(&self, server: &ServerId) -> PathBuf {
        self.folder.join(format!("{server}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServerId, Arc<Offers>>> {
        lock(&self.known)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watched = lock(&self.offered.watched);
        if let Some(count) = watched.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.place);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
