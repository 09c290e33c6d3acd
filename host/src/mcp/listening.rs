//! What a child of 2026-07-28 is to tell of by itself: it has to be asked, by a request that lasts.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::{Caller, calls::Waiting, session::Session};

/// The subscription of one session.
#[derive(Default)]
pub(super) struct Listening(Mutex<Wanted>);

#[derive(Default)]
struct Wanted {
    resources: BTreeSet<String>,
    /// Dropped, it is cancelled at the child.
    lasting: Option<Waiting>,
}

impl Session {
    /// Asks the child to tell of what it says that it can, and of these resources of its own. It is nothing to other
    /// children, which tell without being asked.
    pub(super) async fn listen(&self, change: impl FnOnce(&mut BTreeSet<String>)) {
        let mut wanted = self.listening().0.lock().await;
        change(&mut wanted.resources);
        let capabilities = self.capabilities();
        let mut filter = Map::new();
        for (name, can) in [
            ("toolsListChanged", capabilities.tools.and_then(|tools| tools.list_changed)),
            ("promptsListChanged", capabilities.prompts.and_then(|prompts| prompts.list_changed)),
            ("resourcesListChanged", capabilities.resources.and_then(|resources| resources.list_changed)),
        ] {
            if can == Some(true) {
                filter.insert(name.into(), true.into());
            }
        }
        if !wanted.resources.is_empty() {
            filter.insert("resourceSubscriptions".into(), wanted.resources.iter().cloned().map(Value::from).collect());
        }
        if filter.is_empty() {
            wanted.lasting = None;
            return;
        }
        let mut params = Map::from_iter([("notifications".to_owned(), json!(filter))]);
        self.introduce(&mut params, &Caller::default());
        // the next one is there before the last one ends, so that nothing falls between them
        match self.last("subscriptions/listen", params).await {
            Ok(lasting) => wanted.lasting = Some(lasting),
            Err(end) => tracing::debug!(?end, "the server does not tell of changes"),
        }
    }
}
