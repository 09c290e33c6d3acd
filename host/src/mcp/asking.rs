//! Asks the person behind a client, where the client can do that: by `elicitation/create`.

use std::sync::Arc;

use perennial_sdk::BoxFuture;
use rmcp::{
    RoleServer,
    service::{ElicitationMode, RequestContext},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::attending;

/// Shows a person what a server asks for, and tells what they decide.
pub type Ask = Arc<dyn Fn(String) -> BoxFuture<'static, Decision> + Send + Sync>;

/// What a person decided on what a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may have it.
    Approve,
    /// It may run without it; also when nobody answered.
    Defaults,
    /// It shall not run.
    Cancel,
}

const APPROVE: &str = "approve";

/// The way to the person of this request; none when the client has not said that it can ask one.
///
/// Only clients that opened the session by `initialize` take requests of ours.
pub(super) fn ask(context: &RequestContext<RoleServer>) -> Option<Ask> {
    let peer = context.peer.clone();
    let initialised = peer.peer_info().is_some_and(|client| client.protocol_version.has_initialize());
    if !initialised || !peer.supported_elicitation_modes().contains(&ElicitationMode::Form) {
        return None;
    }
    Some(Arc::new(move |message| {
        let peer = peer.clone();
        Box::pin(async move {
            let schema = json!({
                "type": "object",
                "properties": {
                    "decision": {
                        "type": "string",
                        "title": "Decision",
                        "oneOf": [
                            { "const": APPROVE, "title": "Approve what it asks for" },
                            { "const": "default", "title": "Run it under default permissions" },
                        ],
                    },
                },
                "required": ["decision"],
            });
            let request = json!({ "message": message, "requestedSchema": schema });
            match attending::ask(&peer, "elicitation/create", Some(request), &CancellationToken::new()).await {
                Ok(answer) => match answer["action"].as_str() {
                    Some("accept") => {
                        let approved = answer["content"]["decision"].as_str() == Some(APPROVE);
                        if approved { Decision::Approve } else { Decision::Defaults }
                    }
                    Some("cancel") => Decision::Cancel,
                    _ => Decision::Defaults,
                },
                Err(error) => {
                    tracing::debug!(%error, "the client did not ask the person");
                    Decision::Defaults
                }
            }
        })
    }))
}
