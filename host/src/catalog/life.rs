//! How a server comes up, is replaced, dies and ends.
//!
//! Four tasks may want to change what runs. Each remembers the generation that it began in, and what it brings counts
//! only while that is still the current one.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use perennial_sdk::{Cx, Error, ErrorCode, Result, ServerSpec};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::timeout,
};

use super::{Phase, Server, Status};
use crate::{
    launch::{Instance, Launched},
    mcp::News,
    offers::Place,
    policy::Demand,
    supervisor::{Restart, StopGrace, Verdict},
    trust::Drift,
};

/// How long the calls of an instance that was replaced may take to end.
const LAST_CALLS: Duration = Duration::from_secs(60);

impl Server {
    pub(super) fn start(self: &Arc<Self>) {
        tokio::spawn(self.clone().bring_up());
    }

    /// Builds `spec` beside the running instance and swaps when it answers; a failure leaves the old one serving.
    ///
    /// # Errors
    /// Why the new one does not come up; `cancelled` when the server was deleted meanwhile.
    pub async fn replace(self: &Arc<Self>, cx: &Cx, spec: ServerSpec, demand: Demand) -> Result<Arc<Instance>> {
        let place = self.workplace();
        let launched = tokio::select! {
            launched = self.launch.start(cx, &place, &spec, demand) => launched?,
            () = self.once(|status| status.deleted) => return Err(self.deleted()),
        };
        let (mut old, instance) = (None, Arc::new(launched.instance));
        let taken = self.status.send_if_modified(|status| {
            if status.deleted {
                return false;
            }
            let phase = Phase::Ready(instance.clone());
            if let Phase::Ready(before) = std::mem::replace(&mut status.phase, phase) {
                old = Some(before);
            }
            status.generation += 1;
            status.provenance = status.provenance.after(&status.spec, &spec);
            status.spec = Arc::new(ServerSpec { lock: launched.lock, ..spec });
            status.notes = launched.notes;
            status.tools = instance.tools();
            status.restart = Restart::default();
            status.death = None;
            status.failed_update = None;
            true
        });
        if !taken {
            instance.stop(StopGrace::default()).await;
            return Err(self.deleted());
        }
        tokio::spawn(self.clone().watch(instance.clone()));
        if let Some(old) = old {
            tokio::spawn(async move {
                let _ = timeout(LAST_CALLS, old.session.idle()).await;
                old.stop(StopGrace::default()).await;
            });
        }
        Ok(instance)
    }

    pub(super) async fn end(&self, grace: StopGrace) {
        let (mut running, mut unsaved) = (None, false);
        self.status.send_modify(|status| {
            if let Phase::Ready(instance) = std::mem::replace(&mut status.phase, Phase::Failed(self.deleted())) {
                running = Some(instance);
            }
            status.generation += 1;
            status.deleted = true;
            unsaved = status.shelf.is_none();
        });
        if let Some(instance) = running {
            instance.stop(grace).await;
        }
        if unsaved {
            self.launch.forget(&self.workplace()).await;
        }
    }

    async fn bring_up(self: Arc<Self>) {
        let (generation, spec, wait, again, saved) = {
            let status = self.status.borrow();
            let again = matches!(status.phase, Phase::Restarting);
            let wait = status.restart.wait(Instant::now());
            (status.generation, status.spec.clone(), wait, again, status.shelf.is_some())
        };
        // what was granted once may be more than the ceiling has by now: less of it is better than nothing
        let demand = if again || saved { Demand::Kept } else { Demand::Asked };
        // a sleep of nothing still takes the timer's whole millisecond
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let progress = self.progress.clone();
        let (outdated, cancelled) = watch::channel(false);
        let cx =
            Cx::detached().with_cancel(cancelled).with_progress(move |step| drop(progress.send_replace(Some(step))));
        let place = self.workplace();
        let launching = self.launch.start(&cx, &place, &spec, demand);
        tokio::pin!(launching);
        let launched = tokio::select! {
            launched = &mut launching => launched,
            () = self.once(|status| status.generation != generation) => {
                outdated.send_replace(true);
                launching.await
            }
        };
        self.progress.send_replace(None);
        match launched {
            Ok(launched) => self.clone().came_up(generation, &spec, launched).await,
            Err(error) => {
                self.status.send_if_modified(|status| {
                    let current = status.generation == generation;
                    if current {
                        let last = again && status.restart.died(Duration::ZERO, Instant::now()) == Verdict::Failed;
                        let fails = !again || last;
                        status.phase = if fails { Phase::Failed(error) } else { Phase::Stopped(Some(error)) };
                    }
                    current
                });
            }
        }
    }

    async fn came_up(self: Arc<Self>, generation: u64, spec: &ServerSpec, launched: Launched) {
        let instance = Arc::new(launched.instance);
        let taken = self.status.send_if_modified(|status| {
            let current = status.generation == generation;
            if current {
                status.spec = Arc::new(ServerSpec { lock: launched.lock, ..spec.clone() });
                status.notes = launched.notes;
                status.tools = instance.tools();
                status.phase = Phase::Ready(instance.clone());
            }
            current
        });
        if taken {
            if self.lazy {
                self.touch();
                tokio::spawn(rest(Arc::downgrade(&self), instance.clone()));
            }
            tokio::spawn(self.watch(instance));
        } else {
            instance.stop(StopGrace::default()).await;
        }
    }

    /// Records the death of `instance`, unless it was replaced before.
    async fn watch(self: Arc<Self>, instance: Arc<Instance>) {
        let following = tokio::spawn(follow_tools(Arc::downgrade(&self), instance.clone()));
        let offering = tokio::spawn(follow_offers(Arc::downgrade(&self), instance.clone()));
        let death = self.death_of(&instance).await;
        following.abort();
        offering.abort();
        self.status.send_if_modified(|status| {
            let ours = status.runs(&instance);
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

    async fn once(&self, comes: impl Fn(&Status) -> bool) {
        let mut status = self.status.subscribe();
        let _ = status.wait_for(|status| comes(status)).await;
    }

    fn deleted(&self) -> Error {
        Error::new(ErrorCode::Cancelled, format!("server `{}` was deleted", self.id))
    }
}

impl Status {
    fn runs(&self, instance: &Arc<Instance>) -> bool {
        matches!(&self.phase, Phase::Ready(current) if Arc::ptr_eq(current, instance))
    }
}

/// Ends the process of a server that nobody has called for a while.
async fn rest(server: Weak<Server>, instance: Arc<Instance>) {
    loop {
        let left = {
            let Some(server) = server.upgrade() else { return };
            let idle = server.launch.settings.get().idle;
            if server.is_watched() { idle } else { idle.saturating_sub(server.unused_for()) }
        };
        if !left.is_zero() {
            tokio::time::sleep(left).await;
            continue;
        }
        instance.session.idle().await;
        let Some(server) = server.upgrade() else { return };
        let idle = server.launch.settings.get().idle;
        let (mut replaced, watched) = (false, server.is_watched());
        let ends = server.status.send_if_modified(|status| {
            replaced = !status.runs(&instance);
            // whoever calls says so before it looks at the status, so that no call finds a process that is ended here
            let ends = !replaced && !watched && server.unused_for() >= idle;
            if ends {
                status.phase = Phase::Stopped(None);
                status.generation += 1;
            }
            ends
        });
        if ends {
            instance.stop(StopGrace::default()).await;
        }
        if ends || replaced {
            return;
        }
    }
}

async fn follow_tools(server: Weak<Server>, instance: Arc<Instance>) {
    let mut noted = false;
    loop {
        if let Some(server) = server.upgrade() {
            tell_exposure(&server).await;
        }
        if let Some(server) = server.upgrade().filter(|_| !noted) {
            noted = note_drift(&server);
        }
        instance.tools_changed().await;
        let Some(server) = server.upgrade() else { return };
        server.status.send_if_modified(|status| {
            let ours = status.runs(&instance);
            if ours {
                status.tools = instance.tools();
            }
            ours
        });
    }
}

/// Has the list show nothing that is not as it is recorded. An instance that somebody loaded may be of an earlier version.
async fn tell_exposure(server: &Server) {
    let status = server.status();
    if let Some(shelf) = status.shelf.filter(|_| server.lazy && status.provenance.recorded.is_some()) {
        server.launch.exposure.seen(&shelf.id, &status.tools).await;
    }
}

/// Learns what a server offers beside tools, and hears of it when that changes.
async fn follow_offers(server: Weak<Server>, instance: Arc<Instance>) {
    let mut news = instance.session.news();
    if !instance.session.offers_more() {
        return;
    }
    let saved = || Some(server.upgrade()?.status.borrow().shelf.as_ref()?.id.clone());
    let offered = |server: Arc<Server>| server.launch.offered.clone();
    if let (Some(server), Some(saved)) = (server.upgrade(), saved()) {
        for uri in offered(server).watched(&saved) {
            instance.session.watch(&uri, true).await;
        }
    }
    loop {
        if instance.look_at_offers().await {
            let Some(following) = server.upgrade() else { return };
            following.tell_offers().await;
        }
        loop {
            match news.recv().await {
                Ok(News::Updated(uri)) => {
                    if let (Some(server), Some(saved)) = (server.upgrade(), saved()) {
                        offered(server).updated(Place { server: saved, own: uri });
                    }
                }
                // a server that changes much says so often
                Ok(News::Offers) | Err(RecvError::Lagged(_)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    break;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}

/// Says that a server has other tools than its record, if it has.
fn note_drift(server: &Server) -> bool {
    let drift = server.status.borrow().drift().filter(Drift::is_flagged);
    if let Some(drift) = &drift {
        tracing::warn!(server = %server.id, %drift, "its tools are not those that were recorded when it was saved");
    }
    drift.is_some()
}
