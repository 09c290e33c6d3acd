use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper::http::request::Parts;
use rmcp::model::{Extensions, RequestId};

use super::super::Passed;
use crate::tokens::TokenName;

/// An HTTP request, as what answers it knows it.
#[derive(Clone, Default)]
pub(in crate::mcp) struct Exchange {
    /// The token that came with it.
    pub(in crate::mcp) token: Option<TokenName>,
    /// Where results that pass through are left for its answer.
    pub(in crate::mcp) parked: Parked,
}

/// Results that pass through, by the request that they answer: those of a session, whose streams may break and go on in
/// another exchange, or of one exchange without a session.
#[derive(Clone, Default)]
pub(in crate::mcp) struct Parked(Arc<Mutex<HashMap<RequestId, (Instant, Passed)>>>);

/// After this a result that nobody fetched is let go; a client that takes nothing for so long counts as gone.
const KEPT: Duration = Duration::from_secs(600);

impl Exchange {
    /// The one that brought a request; none when it came by a wire.
    pub(in crate::mcp) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Parts>()?.extensions.get()
    }
}

impl Parked {
    /// Leaves a result.
    pub(in crate::mcp) fn park(&self, id: RequestId, passed: Passed) {
        let mut parked = self.lock();
        parked.retain(|_, (at, _)| at.elapsed() < KEPT);
        parked.insert(id, (Instant::now(), passed));
    }

    /// Fetches it.
    pub(super) fn take(&self, id: &RequestId) -> Option<Passed> {
        self.lock().remove(id).map(|(_, passed)| passed)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, (Instant, Passed)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
