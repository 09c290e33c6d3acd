//! What of the host's lists changes, told to those who want to hear it: to sessions as notifications, to clients of
//! 2026-07-28 as events of a subscription.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rmcp::{
    Peer, RoleServer,
    model::ResourceUpdatedNotificationParam,
    service::{SubscriptionContext, SubscriptionSendError},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    host::Host,
    identity::Client,
    offers::{Listed, Place},
    resources::Servers,
    tools::Registry,
};

/// Something changed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Tools,
    Prompts,
    Resources,
    Resource(Place),
}

/// How long an answer waits for news of what it changed.
const PATIENCE: Duration = Duration::from_millis(250);

/// Asks whoever tells a session of changes.
#[derive(Debug, Clone)]
pub(super) struct Told(mpsc::UnboundedSender<oneshot::Sender<()>>);

impl Told {
    /// Waits until everything is told that has changed so far, if anybody tells it. The news of what a call changed come
    /// before its answer then: clients that close with the last answer trip over what comes after it (the official Python
    /// SDK 1.x).
    pub(super) async fn all(&self) {
        let (done, told) = oneshot::channel();
        if self.0.send(done).is_ok() {
            let _ = timeout(PATIENCE, told).await;
        }
    }
}

/// Where nobody tells anything in the order of answers.
impl Default for Told {
    fn default() -> Self {
        Self(mpsc::unbounded_channel().0)
    }
}

/// Tells one change after the other.
pub(super) struct Changes {
    host: Arc<Host>,
    tools: [watch::Receiver<()>; 2],
    offers: watch::Receiver<()>,
    updates: broadcast::Receiver<Place>,
    listed: Listed,
    /// What runs, and what is saved.
    servers: [watch::Receiver<()>; 2],
    client: Client,
    /// None where the host shows no resources of its own.
    own: Option<Servers>,
    ready: VecDeque<Change>,
    /// What servers offer has not been looked at since.
    saved: bool,
    asked: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
}

impl Changes {
    /// From now on, as far as they are this client's business; and how to ask whether they were told.
    pub(super) async fn new(host: Arc<Host>, registry: &Registry, client: Client) -> (Self, Told) {
        let (tools, offers, updates) = (registry.changes(), host.offered.changes(), host.offered.updates());
        let servers = [host.catalog.changes(), host.exposure.saved_changes()];
        let own = (!registry.is_of_one()).then(|| Servers::of(&host, &client));
        let listed = host.offered.listed(host.exposure.shown()).await;
        let (told, asked) = mpsc::unbounded_channel();
        let ready = VecDeque::new();
        let saved = false;
        (Self { host, tools, offers, updates, listed, servers, client, own, ready, saved, asked }, Told(told))
    }

    /// The next one; none when there will be no more.
    pub(super) async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Some(change);
            }
            if std::mem::take(&mut self.saved) {
                self.compare().await;
                continue;
            }
            let [plugins, saved] = &mut self.tools;
            let [running, stored] = &mut self.servers;
            tokio::select! {
                biased;
                Ok(()) = plugins.changed() => self.ready.push_back(Change::Tools),
                // told before anything else is looked at
                Ok(()) = saved.changed() => {
                    self.saved = true;
                    self.ready.push_back(Change::Tools);
                }
                Ok(()) = self.offers.changed() => self.compare().await,
                Ok(()) = running.changed() => if self.own_differ() {
                    self.ready.push_back(Change::Resources);
                },
                Ok(()) = stored.changed() => self.compare().await,
                update = self.updates.recv() => match update {
                    Ok(place) => self.ready.push_back(Change::Resource(place)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                Some(done) = self.asked.recv() => {
                    let _ = done.send(());
                }
                else => return None,
            }
        }
    }

    /// What of the prompts and resources is another.
    async fn compare(&mut self) {
        let listed = self.host.offered.listed(self.host.exposure.shown()).await;
        if !listed.prompts().eq(self.listed.prompts()) {
            self.ready.push_back(Change::Prompts);
        }
        if self.own_differ()
            || !(listed.resources().eq(self.listed.resources()) && listed.templates().eq(self.listed.templates()))
        {
            self.ready.push_back(Change::Resources);
        }
        self.listed = listed;
    }

    /// Whether the host's own resources are others than they were.
    fn own_differ(&mut self) -> bool {
        let Some(before) = &mut self.own else { return false };
        let now = Servers::of(&self.host, &self.client);
        let differ = now.differ(before);
        *before = now;
        differ
    }
}

/// Tells a session of its own, until its client is gone. `called` is what the client calls a resource that it subscribed to.
pub(super) async fn tell_session(
    mut changes: Changes,
    peer: Peer<RoleServer>,
    called: impl Fn(&Place) -> Option<String>,
) {
    while let Some(change) = changes.next().await {
        let told = match change {
            Change::Tools => peer.notify_tool_list_changed().await,
            Change::Prompts => peer.notify_prompt_list_changed().await,
            Change::Resources => peer.notify_resource_list_changed().await,
            Change::Resource(place) => match called(&place) {
                Some(uri) => peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await,
                None => Ok(()),
            },
        };
        if told.is_err() {
            return;
        }
    }
}

/// Tells a subscription of its own, until it ends.
pub(super) async fn tell_subscription(
    mut changes: Changes,
    subscription: &SubscriptionContext,
    called: impl Fn(&Place) -> Option<String>,
) {
    let sink = subscription.sink();
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = subscription.cancelled() => return,
        };
        let Some(change) = change else { return };
        let told = match change {
            Change::Tools => sink.notify_tool_list_changed().await,
            Change::Prompts => sink.notify_prompt_list_changed().await,
            Change::Resources => sink.notify_resource_list_changed().await,
            Change::Resource(place) => match called(&place) {
                Some(uri) => sink.notify_resource_updated(uri).await,
                None => Ok(()),
            },
        };
        // what was not subscribed to is not an end
        if matches!(told, Err(SubscriptionSendError::SubscriptionClosed | SubscriptionSendError::Service(_))) {
            return;
        }
    }
}
