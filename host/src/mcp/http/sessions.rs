use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rmcp::transport::streamable_http_server::session::{SessionManager, local::LocalSessionManager};

use super::exchange::Parked;
use crate::tokens::{Keyring, TokenName};

/// The sessions of clients whose protocol has such: whose each is, and when it was used last. rmcp carries their messages.
pub(super) struct Sessions {
    pub(super) rmcp: Arc<LocalSessionManager>,
    known: Mutex<HashMap<String, Session>>,
    /// Those that rmcp had and nobody knew when it was looked last: of clients that left before they heard of them.
    unclaimed: Mutex<HashSet<String>>,
    most: usize,
    idle: Duration,
}

struct Session {
    owner: Option<TokenName>,
    parked: Parked,
    used: Instant,
    /// Exchanges that are not over.
    open: usize,
}

/// An exchange in a session, which does not expire meanwhile.
pub(super) struct Visit {
    pub(super) parked: Parked,
    sessions: Arc<Sessions>,
    id: String,
}

/// A session that was used a moment ago makes room for no other.
const LEAST_IDLE: Duration = Duration::from_secs(60);

impl Sessions {
    /// None yet; at most `most` at a time, each for as long as it is used within `idle`.
    pub(super) fn new(most: usize, idle: Duration) -> Arc<Self> {
        let mut rmcp = LocalSessionManager::default();
        // it would end sessions in the middle of a long call
        rmcp.session_config.keep_alive = None;
        Arc::new(Self { rmcp: Arc::new(rmcp), known: Mutex::default(), unclaimed: Mutex::default(), most, idle })
    }

    /// An exchange of this token in a session; none when it has no such session, whoever else may have one.
    pub(super) fn enter(self: &Arc<Self>, id: &str, token: Option<&TokenName>) -> Option<Visit> {
        let mut known = self.known();
        let session = known.get_mut(id).filter(|session| session.owner.as_ref() == token)?;
        session.open += 1;
        session.used = Instant::now();
        Some(Visit { parked: session.parked.clone(), sessions: self.clone(), id: id.to_owned() })
    }

    /// A session that rmcp has just begun for this token.
    pub(super) fn begun(&self, id: &str, owner: Option<TokenName>) {
        let session = Session { owner, parked: Parked::default(), used: Instant::now(), open: 0 };
        self.known().insert(id.to_owned(), session);
    }

    /// Whether there is room for one more, for which the one that was idle for longest may have to go.
    pub(super) async fn has_room(&self) -> bool {
        let oldest = {
            let known = self.known();
            if known.len() < self.most {
                return true;
            }
            let idle = known.iter().filter(|(_, session)| session.is_idle_for(LEAST_IDLE));
            idle.min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())
        };
        match oldest {
            Some(id) => {
                self.end(&id).await;
                true
            }
            None => false,
        }
    }

    /// Ends a session.
    pub(super) async fn end(&self, id: &str) {
        self.known().remove(id);
        let _ = self.rmcp.close_session(&id.into()).await;
    }

    /// Ends the sessions that were idle for too long, that ended by themselves, that nobody claimed, or whose token does not
    /// count any more.
    pub(super) async fn sweep(&self, keyring: Option<&Keyring>) {
        let over: Vec<String> = {
            let rmcp = self.rmcp.sessions.read().await;
            let known = self.known();
            let revoked = |session: &Session| match (&session.owner, keyring) {
                (Some(owner), Some(keyring)) => !keyring.knows(owner),
                _ => false,
            };
            let over = known.iter().filter(|(id, session)| {
                session.is_idle_for(self.idle) || !rmcp.contains_key(id.as_str()) || revoked(session)
            });
            let over = over.map(|(id, _)| id.clone());
            let unclaimed = rmcp.keys().filter(|id| !known.contains_key(&***id)).map(|id| id.to_string());
            let before = std::mem::replace(
                &mut *self.unclaimed.lock().unwrap_or_else(PoisonError::into_inner),
                unclaimed.collect(),
            );
            let still = before.into_iter().filter(|id| rmcp.contains_key(id.as_str()) && !known.contains_key(id));
            over.chain(still).collect()
        };
        for id in over {
            self.end(&id).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn is_idle_for(&self, time: Duration) -> bool {
        self.open == 0 && self.used.elapsed() >= time
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(session) = self.sessions.known().get_mut(&self.id) {
            session.open -= 1;
            session.used = Instant::now();
        }
    }
}
