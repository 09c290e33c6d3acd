//! What is running: servers by id.

mod life;
mod server;

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::join_all;
use indexmap::IndexMap;
use perennial_sdk::{Error, ErrorCode, Result, ServerId, ServerSpec};
use tokio::sync::watch;

pub use server::{Death, Phase, Server, Status};

use crate::{
    identity::Client, launch::Launch, library::Shelf, supervisor::StopGrace, tokens::TokenName, trust::Provenance,
};

/// The running servers of this host, oldest first.
pub struct Catalog {
    launch: Arc<Launch>,
    servers: Mutex<IndexMap<ServerId, Arc<Server>>>,
    changes: watch::Sender<()>,
}

/// For whom a server is kept.
enum Kept {
    /// For whoever made it, with this token if they needed one.
    For(Option<TokenName>),
    /// For everybody, as long as it is called.
    UntilIdle,
}

impl Catalog {
    /// An empty catalog whose servers come up through `launch`.
    pub fn new(launch: Arc<Launch>) -> Self {
        Self { launch, servers: Mutex::default(), changes: watch::Sender::default() }
    }

    /// Hears when servers join or leave from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Adds a server under a new id and starts to bring it up; [`Server::settled`] tells how that ends.
    ///
    /// # Errors
    /// `denied` when this client has as many as it may have.
    pub fn create(&self, spec: ServerSpec, name: Option<String>, by: &Client) -> Result<Arc<Server>> {
        self.add(spec, name, None, Provenance::default(), by)
    }

    /// Adds a saved server under a new id, as [`create`](Self::create) does.
    ///
    /// # Errors
    /// Likewise.
    pub fn load(&self, spec: ServerSpec, shelf: Shelf, provenance: Provenance, by: &Client) -> Result<Arc<Server>> {
        self.add(spec, Some(shelf.name.clone()), Some(shelf), provenance, by)
    }

    /// The instance of a saved server that was created last of those that a caller sees, or a new one, which is everybody's:
    /// never two for two callers at once.
    pub fn resident(&self, spec: ServerSpec, shelf: Shelf, provenance: Provenance, by: &Client) -> Arc<Server> {
        let mut servers = self.servers();
        // one that failed may have failed for a reason that has passed
        servers.retain(|_, server| !(server.stands_at(&shelf.id) && server.has_failed()));
        let mut visible = servers.values().rev().filter(|server| by.sees(server.owner.as_ref()));
        let there = visible.find(|server| server.stands_at(&shelf.id)).cloned();
        there.unwrap_or_else(|| {
            self.insert(&mut servers, spec, Some(shelf.name.clone()), Some(shelf), provenance, Kept::UntilIdle)
        })
    }

    /// A running server by its id. One that is another token's is as if it were not there.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, reference: &str, by: &Client) -> Result<Arc<Server>> {
        let found = reference.parse::<ServerId>().ok().and_then(|id| self.servers().get(&id).cloned());
        found.filter(|server| by.sees(server.owner.as_ref())).ok_or_else(|| {
            let shown: String = reference.chars().take(80).collect();
            Error::not_found(format!("no server `{shown}`"))
                .hint("`list-servers` shows what is running, `list-saved-servers` what is saved")
        })
    }

    /// Every server that a caller sees, oldest first.
    pub fn list(&self, by: &Client) -> Vec<Arc<Server>> {
        self.servers().values().filter(|server| by.sees(server.owner.as_ref())).cloned().collect()
    }

    /// Takes a server out and ends it.
    pub async fn remove(&self, id: &ServerId) {
        let server = self.servers().shift_remove(id);
        if let Some(server) = server {
            self.changes.send_replace(());
            server.end(StopGrace::default()).await;
        }
    }

    /// Ends every server, all at once, each with this much grace.
    pub async fn shutdown(&self, grace: StopGrace) {
        let all: Vec<_> = self.servers().drain(..).map(|(_, server)| server).collect();
        join_all(all.iter().map(|server| server.end(grace))).await;
    }

    fn add(
        &self,
        spec: ServerSpec,
        name: Option<String>,
        shelf: Option<Shelf>,
        provenance: Provenance,
        by: &Client,
    ) -> Result<Arc<Server>> {
        let (mut servers, most) = (self.servers(), self.launch.settings.get().servers);
        if servers.values().filter(|server| server.was_made_by(by)).count() >= most {
            let message = format!("there are {most} servers already, the most that one client may have at once");
            return Err(Error::new(ErrorCode::Denied, message).hint(
                "`delete-server` ends one that is not needed any more, `list-servers` shows them; `servers` in the \
                 operator's `[limits]` allows more",
            ));
        }
        Ok(self.insert(&mut servers, spec, name, shelf, provenance, Kept::For(by.token.clone())))
    }

    fn insert(
        &self,
        servers: &mut IndexMap<ServerId, Arc<Server>>,
        spec: ServerSpec,
        name: Option<String>,
        shelf: Option<Shelf>,
        provenance: Provenance,
        kept: Kept,
    ) -> Arc<Server> {
        let id = std::iter::repeat_with(ServerId::random).find(|id| !servers.contains_key(id)).expect("ids never end");
        let server = Server::new(id.clone(), spec, name, shelf, provenance, kept, self.launch.clone());
        servers.insert(id, server.clone());
        server.start();
        self.changes.send_replace(());
        server
    }

    fn servers(&self) -> MutexGuard<'_, IndexMap<ServerId, Arc<Server>>> {
        self.servers.lock().expect("no holder panics")
    }
}

/// The error of a name that these servers all have.
pub fn ambiguous(name: &str, ids: impl IntoIterator<Item = ServerId>) -> Error {
    let ids: Vec<_> = ids.into_iter().map(|id| format!("`{id}`")).collect();
    let message = format!("{} servers are called `{name}`", ids.len());
    Error::new(ErrorCode::Conflict, message).hint(format!("name one by its id: {}", ids.join(", ")))
}
