//! What a child offers beside tools.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{
    Passed,
    session::{CallEnd, Request, Session, on_one_line},
};
use crate::offers::Offers;

/// What one child may offer of a kind.
const MOST: usize = 1000;

/// Bytes of one definition.
const LARGEST: usize = 64 * 1024;

impl Session {
    /// Whether it offers anything beside tools.
    pub fn offers_more(&self) -> bool {
        let capabilities = self.capabilities();
        capabilities.prompts.is_some() || capabilities.resources.is_some()
    }

    /// The child's prompts, resources and templates; a kind that it refuses to list is one that it does not have.
    ///
    /// # Errors
    /// When it does not answer, or not in a way that can be read.
    pub async fn offers(&self) -> Result<Offers, CallEnd> {
        let capabilities = self.capabilities();
        let mut offers = Offers {
            completes: capabilities.completions.is_some(),
            subscribes: capabilities.resources.as_ref().is_some_and(|one| one.subscribe == Some(true)),
            ..Offers::default()
        };
        if capabilities.prompts.is_some() {
            offers.prompts = self.list("prompts/list", "prompts").await?;
        }
        if capabilities.resources.is_some() {
            offers.resources = self.list("resources/list", "resources").await?;
            offers.templates = self.list("resources/templates/list", "resourceTemplates").await?;
        }
        Ok(offers)
    }

    /// Passes a request on; the result is the child's own, byte for byte.
    ///
    /// # Errors
    /// See [`CallEnd`].
    pub async fn ask(&self, request: Request) -> Result<Passed, CallEnd> {
        let method = request.method;
        readable(self.pass(request).await?)
            .map_err(|error| CallEnd::Unusable(format!("the answer to `{method}` cannot be read ({error})")))
    }

    /// Asks the child to tell, or not to tell any more, when a resource changes.
    pub async fn watch(&self, uri: &str, on: bool) {
        if self.is_stateless() {
            let change = |uris: &mut BTreeSet<String>| {
                uris.remove(uri);
                uris.extend(on.then(|| uri.to_owned()));
            };
            return self.listen(change).await;
        }
        let method = if on { "resources/subscribe" } else { "resources/unsubscribe" };
        let params = Map::from_iter([("uri".to_owned(), Value::from(uri))]);
        if let Err(end) = self.once(method, params, None, None).await {
            tracing::debug!(?end, method, "the server does not tell when a resource changes");
        }
    }

    async fn list(&self, method: &str, member: &str) -> Result<Vec<Value>, CallEnd> {
        let mut listed = match self.pages(method, member).await {
            Ok(listed) => listed,
            Err(CallEnd::Refused { .. }) => Vec::new(),
            Err(end) => return Err(end),
        };
        listed.retain(|one| one.is_object() && one.to_string().len() <= LARGEST);
        listed.truncate(MOST);
        Ok(listed)
    }
}

/// A result that every client can read; see [`super::result`].
fn readable(raw: Bytes) -> serde_json::Result<Passed> {
    let _: super::result::ResultShape = serde_json::from_slice(&raw)?;
    Ok(Passed::new(on_one_line(raw)))
}
