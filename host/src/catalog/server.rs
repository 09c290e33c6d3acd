use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use perennial_sdk::{Error, Progress, Result, ServerId, ServerSpec};
use serde_json::json;
use tokio::sync::watch;

use super::Kept;
use crate::{
    identity::Client,
    launch::{Instance, Launch, Workplace},
    library::Shelf,
    supervisor::Restart,
    tokens::TokenName,
    toolset::Toolset,
    trust::{Drift, Provenance, Withheld, drift},
};

/// A server that somebody created or loaded in this session, whether its process lives or not.
pub struct Server {
    /// Its id in this session.
    pub id: ServerId,
    /// The token with which it was created or loaded: no other sees it.
    pub(super) owner: Option<TokenName>,
    /// When it was created or loaded.
    pub created_at: DateTime<Utc>,
    /// Held while it is saved: what one save learns, the next one builds on.
    pub saving: tokio::sync::Mutex<()>,
    /// Held while it is changed, from reading what it was to the swap: no change may undo another.
    pub changing: tokio::sync::Mutex<()>,
    pub(super) launch: Arc<Launch>,
    /// Whether its process may end when nobody calls it: it was started by a call and comes back by the next one.
    pub(super) lazy: bool,
    begun: Instant,
    /// Milliseconds after `begun` when it was called last.
    used: AtomicU64,
    pub(super) status: watch::Sender<Status>,
    pub(super) progress: watch::Sender<Option<Progress>>,
}

/// Everything about a server that changes, in one piece.
#[derive(Clone)]
pub struct Status {
    /// What it is made of.
    pub spec: Arc<ServerSpec>,
    /// What the person calls it, when that was said.
    pub name: Option<String>,
    /// Where it stands in the library.
    pub shelf: Option<Shelf>,
    /// What its record said of it.
    pub provenance: Provenance,
    /// What it is doing.
    pub phase: Phase,
    /// How its process ended last.
    pub death: Option<Death>,
    /// What the runtime has to say about the code.
    pub notes: Vec<String>,
    /// Its tools, also while its process is down.
    pub tools: Arc<Toolset>,
    /// Why the last change of it came to nothing, when nobody waited to hear it.
    pub failed_update: Option<Error>,
    pub(super) restart: Restart,
    /// Counts the changes of what is to run: what was begun for an earlier count has no say any more.
    pub(super) generation: u64,
    pub(super) deleted: bool,
}

/// What a server is doing.
#[derive(Clone)]
pub enum Phase {
    /// Comes up for the first time.
    Building,
    /// Answers calls.
    Ready(Arc<Instance>),
    /// Comes up again after a death.
    Restarting,
    /// Its process is gone, or did not come up again for this reason; the next call starts it again.
    Stopped(Option<Error>),
    /// Does not come up.
    Failed(Error),
}

/// The end of a server's process.
#[derive(Debug, Clone)]
pub struct Death {
    /// `exited with code 1`.
    pub cause: String,
    /// The last lines that it wrote to standard error.
    pub stderr: String,
    /// The last lines on its standard output that were no MCP.
    pub stray: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Server {
    pub(super) fn new(
        id: ServerId,
        spec: ServerSpec,
        name: Option<String>,
        shelf: Option<Shelf>,
        provenance: Provenance,
        kept: Kept,
        launch: Arc<Launch>,
    ) -> Arc<Self> {
        let status = Status {
            spec: Arc::new(spec),
            name,
            shelf,
            provenance,
            phase: Phase::Building,
            death: None,
            notes: Vec::new(),
            tools: Arc::default(),
            failed_update: None,
            restart: Restart::default(),
            generation: 0,
            deleted: false,
        };
        // a host over HTTP lives for long, and nobody says when its clients are gone
        let lazy = !matches!(kept, Kept::For(None));
        let owner = match kept {
            Kept::For(token) => token,
            Kept::UntilIdle => None,
        };
        Arc::new(Self {
            id,
            owner,
            created_at: Utc::now(),
            saving: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            launch,
            lazy,
            begun: Instant::now(),
            used: AtomicU64::new(0),
            status: watch::Sender::new(status),
            progress: watch::Sender::new(None),
        })
    }

    /// How it stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How far its build is, and whatever comes after.
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress.subscribe()
    }

    /// Waits until it answers calls or has failed to come up.
    ///
    /// # Errors
    /// Why it does not come up.
    pub async fn settled(&self) -> Result<Arc<Instance>> {
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| !matches!(status.phase, Phase::Building | Phase::Restarting)).await;
        match settled.map(|status| (status.phase.clone(), status.death.clone())) {
            Ok((Phase::Ready(instance), _)) => Ok(instance),
            Ok((Phase::Failed(error) | Phase::Stopped(Some(error)), _)) => Err(error),
            Ok((_, death)) => Err(self.gone(death, "is not running")),
            Err(_) => Err(Error::internal(format!("server `{}` is gone", self.id))),
        }
    }

    /// The running instance, started again first if its process is gone.
    ///
    /// # Errors
    /// Why it does not come up.
    pub async fn ready(self: &Arc<Self>) -> Result<Arc<Instance>> {
        if let Phase::Ready(instance) = &self.status.borrow().phase
            && instance.process.exit().is_none()
        {
            return Ok(instance.clone());
        }
        // a process that just died is told to us by its watcher
        let mut status = self.status.subscribe();
        let dying = |status: &Status| matches!(&status.phase, Phase::Ready(one) if one.process.exit().is_some());
        let _ = status.wait_for(|status| !dying(status)).await;
        let starts = self.status.send_if_modified(|status| {
            let stopped = matches!(status.phase, Phase::Stopped(_));
            if stopped {
                status.phase = Phase::Restarting;
                status.generation += 1;
            }
            stopped
        });
        if starts {
            self.start();
        }
        self.settled().await
    }

    /// Somebody calls it, or did until now.
    pub fn touch(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(now, Ordering::SeqCst);
    }

    /// How long nobody has called it.
    pub(super) fn unused_for(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.used.load(Ordering::SeqCst)))
    }

    /// Whether somebody wants to hear when resources of it change: then it stays up.
    pub(super) fn is_watched(&self) -> bool {
        let saved = self.status.borrow().shelf.as_ref().map(|shelf| shelf.id.clone());
        saved.is_some_and(|saved| !self.launch.offered.watched(&saved).is_empty())
    }

    /// Whether it is this saved server.
    pub fn stands_at(&self, saved: &ServerId) -> bool {
        self.status.borrow().shelf.as_ref().is_some_and(|shelf| shelf.id == *saved)
    }

    /// What stays the same from session to session: the id of the saved server, if it is one.
    pub fn lasting_id(&self) -> ServerId {
        self.status.borrow().shelf.as_ref().map_or_else(|| self.id.clone(), |shelf| shelf.id.clone())
    }

    /// Whether this client created or loaded it, and not whoever first called a saved one.
    pub(super) fn was_made_by(&self, by: &Client) -> bool {
        self.owner == by.token && (self.owner.is_some() || !self.lazy)
    }

    /// Whether it is of no use to a caller who means a saved server.
    pub fn has_failed(&self) -> bool {
        matches!(self.status.borrow().phase, Phase::Failed(_))
    }

    /// Remembers that a change of it came to nothing.
    pub fn note_failed_update(&self, error: Error) {
        self.status.send_modify(|status| status.failed_update = Some(error));
    }

    /// Remembers where it was saved.
    pub fn shelve(&self, shelf: Shelf) {
        self.status.send_modify(|status| {
            status.name = Some(shelf.name.clone());
            status.shelf = Some(shelf);
        });
    }

    /// Tells what its running instance offers beside tools, if it is a saved server.
    pub async fn tell_offers(&self) {
        let (saved, phase) = {
            let status = self.status.borrow();
            (status.shelf.as_ref().map(|shelf| shelf.id.clone()), status.phase.clone())
        };
        let Phase::Ready(instance) = phase else { return };
        if let (Some(saved), Some(offers)) = (saved, instance.offers()) {
            self.launch.offered.learned(saved, offers).await;
        }
    }

    /// Remembers what was saved of it, and as which saved server.
    pub fn record(&self, tools: Arc<Toolset>, saved: &ServerId) {
        self.status.send_modify(|status| {
            status.provenance.recorded = Some(tools);
            if let Some(withheld) = &mut status.provenance.withheld {
                withheld.remedy = Withheld::remedy(saved);
            }
        });
    }

    /// Why a call found no process, in the words of the last death.
    pub fn gone(&self, death: Option<Death>, when: &str) -> Error {
        let Some(death) = death else {
            return Error::unavailable(format!("server `{}` {when}", self.id));
        };
        let mut error = Error::unavailable(format!("server `{}` {} {when}", self.id, death.cause));
        error.data = json!({ "exit": death.cause, "log": death.stderr });
        error.hint("the next call starts it again; `get-server` shows its source and what it printed, `update-server` repairs it")
    }

    /// Waits until the end of `instance` has been recorded, and says how it ended.
    pub async fn death_of(&self, instance: &Arc<Instance>) -> Death {
        instance.end_of_session().await;
        let exit = instance.process.exited().await;
        Death {
            cause: exit.to_string(),
            stderr: instance.stderr_tail(40),
            stray: instance.stray_tail(20),
            at: Utc::now(),
        }
    }

    pub(super) fn given_up(&self, death: &Death) -> Error {
        let times = Restart::MOST_DEATHS;
        let mut error = Error::unavailable(format!(
            "server `{}` died {times} times in a short time and is not started again; the last time it {}",
            self.id, death.cause
        ));
        error.data = json!({ "exit": death.cause, "log": death.stderr });
        error.hint("repair its code with `update-server`, which starts it again")
    }

    pub(super) fn workplace(&self) -> Workplace {
        let home = self.status.borrow().shelf.as_ref().map_or_else(|| self.id.clone(), |shelf| shelf.id.clone());
        Workplace { id: self.id.clone(), home }
    }
}

impl Status {
    /// How its tools differ from those of its record; none while it has not shown any, or has no record.
    pub fn drift(&self) -> Option<Drift> {
        let shown = matches!(self.phase, Phase::Ready(_)) || !self.tools.definitions().is_empty();
        let recorded = self.provenance.recorded.as_ref().filter(|_| shown)?;
        Some(drift(recorded.definitions(), self.tools.definitions()))
    }
}

impl Phase {
    /// The word that tools show.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready(_) => "ready",
            Self::Restarting => "restarting",
            Self::Stopped(_) => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}
