use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use perennial_sdk::{Cx, Error, ErrorCode, Progress, Result, ServerId, ServerSpec};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    launch::{Instance, Launch, Workplace},
    library::Shelf,
    supervisor::{Restart, Ring, StopGrace, Verdict},
    toolset::Toolset,
};

/// A server that somebody created or loaded in this session, whether its process lives or not.
pub struct Server {
    /// Its id in this session.
    pub id: ServerId,
    /// When it was created or loaded.
    pub created_at: DateTime<Utc>,
    /// Lines on its standard output that are no MCP.
    pub stray: Ring,
    /// Held while it is saved: what one save learns, the next one builds on.
    pub saving: tokio::sync::Mutex<()>,
    launch: Arc<Launch>,
    status: watch::Sender<Status>,
    unwanted: watch::Sender<bool>,
    progress: watch::Sender<Option<Progress>>,
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
    /// What it is doing.
    pub phase: Phase,
    /// How its process ended last.
    pub death: Option<Death>,
    /// What the runtime has to say about the code.
    pub notes: Vec<String>,
    /// Its tools, also while its process is down.
    pub tools: Arc<Toolset>,
    restart: Restart,
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
    /// When.
    pub at: DateTime<Utc>,
}

impl Server {
    pub(super) fn new(
        id: ServerId,
        spec: ServerSpec,
        name: Option<String>,
        shelf: Option<Shelf>,
        launch: Arc<Launch>,
    ) -> Arc<Self> {
        let status = Status {
            spec: Arc::new(spec),
            name,
            shelf,
            phase: Phase::Building,
            death: None,
            notes: Vec::new(),
            tools: Arc::default(),
            restart: Restart::default(),
        };
        Arc::new(Self {
            id,
            created_at: Utc::now(),
            stray: Ring::new(200, 64 * 1024),
            saving: tokio::sync::Mutex::default(),
            launch,
            status: watch::Sender::new(status),
            unwanted: watch::Sender::new(false),
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
            }
            stopped
        });
        if starts {
            self.start();
        }
        self.settled().await
    }

    /// Builds `spec` beside the running instance and swaps when it answers; a failure leaves the old one serving.
    ///
    /// # Errors
    /// Why the new one does not come up.
    pub async fn replace(self: &Arc<Self>, cx: &Cx, spec: ServerSpec) -> Result<Arc<Instance>> {
        let launched = self.launch.start(cx, &self.workplace(), &spec, self.stray.clone()).await?;
        let instance = Arc::new(launched.instance);
        let mut old = None;
        self.status.send_modify(|status| {
            let phase = Phase::Ready(instance.clone());
            if let Phase::Ready(before) = std::mem::replace(&mut status.phase, phase) {
                old = Some(before);
            }
            status.spec = Arc::new(ServerSpec { lock: launched.lock, ..spec });
            status.notes = launched.notes;
            status.tools = instance.tools();
            status.restart = Restart::default();
            status.death = None;
        });
        tokio::spawn(self.clone().watch(instance.clone()));
        if let Some(old) = old {
            old.stop(StopGrace::default()).await;
        }
        Ok(instance)
    }

    /// Whether it is this saved server.
    pub fn stands_at(&self, saved: &ServerId) -> bool {
        self.status.borrow().shelf.as_ref().is_some_and(|shelf| shelf.id == *saved)
    }

    /// Remembers where it was saved.
    pub fn shelve(&self, shelf: Shelf) {
        self.status.send_modify(|status| {
            status.name = Some(shelf.name.clone());
            status.shelf = Some(shelf);
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
        Death { cause: exit.to_string(), stderr: instance.stderr_tail(40), at: Utc::now() }
    }

    pub(super) fn start(self: &Arc<Self>) {
        tokio::spawn(self.clone().bring_up());
    }

    pub(super) async fn end(&self) {
        self.unwanted.send_replace(true);
        let mut running = None;
        self.status.send_modify(|status| {
            let ended = Phase::Failed(Error::new(ErrorCode::Cancelled, format!("server `{}` was deleted", self.id)));
            if let Phase::Ready(instance) = std::mem::replace(&mut status.phase, ended) {
                running = Some(instance);
            }
        });
        if let Some(instance) = running {
            instance.stop(StopGrace::default()).await;
        }
    }

    async fn bring_up(self: Arc<Self>) {
        let (spec, wait, again) = {
            let status = self.status.borrow();
            let again = matches!(status.phase, Phase::Restarting);
            (status.spec.clone(), status.restart.wait(Instant::now()), again)
        };
        // a sleep of nothing still takes the timer's whole millisecond
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let progress = self.progress.clone();
        let cx = Cx::detached()
            .with_cancel(self.unwanted.subscribe())
            .with_progress(move |step| drop(progress.send_replace(Some(step))));
        let launched = self.launch.start(&cx, &self.workplace(), &spec, self.stray.clone()).await;
        match launched {
            Ok(launched) => {
                let instance = Arc::new(launched.instance);
                let taken = self.status.send_if_modified(|status| {
                    let wanted = matches!(status.phase, Phase::Building | Phase::Restarting);
                    if wanted {
                        status.spec = Arc::new(ServerSpec { lock: launched.lock, ..(*spec).clone() });
                        status.notes = launched.notes;
                        status.tools = instance.tools();
                        status.phase = Phase::Ready(instance.clone());
                    }
                    wanted
                });
                if taken {
                    tokio::spawn(self.clone().watch(instance));
                } else {
                    instance.stop(StopGrace::default()).await;
                }
            }
            Err(error) => self.status.send_modify(|status| {
                let now = Instant::now();
                let first_or_last = !again || status.restart.died(Duration::ZERO, now) == Verdict::Failed;
                if matches!(status.phase, Phase::Building | Phase::Restarting) {
                    status.phase = if first_or_last { Phase::Failed(error) } else { Phase::Stopped(Some(error)) };
                }
            }),
        }
    }

    /// Records the death of `instance`, unless it was replaced before.
    async fn watch(self: Arc<Self>, instance: Arc<Instance>) {
        let following = tokio::spawn(follow_tools(Arc::downgrade(&self), instance.clone()));
        let death = self.death_of(&instance).await;
        following.abort();
        self.status.send_if_modified(|status| {
            let ours = matches!(&status.phase, Phase::Ready(current) if Arc::ptr_eq(current, &instance));
            if ours {
                let up = instance.process.started_at().elapsed();
                status.phase = match status.restart.died(up, Instant::now()) {
                    Verdict::Again(_) => Phase::Stopped(None),
                    Verdict::Failed => Phase::Failed(self.given_up(&death)),
                };
                status.death = Some(death);
            }
            ours
        });
    }

    fn given_up(&self, death: &Death) -> Error {
        let times = Restart::MOST_DEATHS;
        let mut error = Error::unavailable(format!(
            "server `{}` died {times} times in a short time and is not started again; the last time it {}",
            self.id, death.cause
        ));
        error.data = json!({ "exit": death.cause, "log": death.stderr });
        error.hint("repair its code with `update-server`, which starts it again")
    }

    fn workplace(&self) -> Workplace {
        let home = self.status.borrow().shelf.as_ref().map_or_else(|| self.id.clone(), |shelf| shelf.id.clone());
        Workplace { id: self.id.clone(), home }
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

async fn follow_tools(server: std::sync::Weak<Server>, instance: Arc<Instance>) {
    loop {
        instance.tools_changed().await;
        let Some(server) = server.upgrade() else { return };
        server.status.send_if_modified(|status| {
            let ours = matches!(&status.phase, Phase::Ready(current) if Arc::ptr_eq(current, &instance));
            if ours {
                status.tools = instance.tools();
            }
            ours
        });
    }
}
