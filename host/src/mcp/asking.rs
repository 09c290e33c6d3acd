//! Asks the person behind a client, where the client can do that: by `elicitation/create`.

use std::{sync::Arc, time::Duration};

use perennial_sdk::BoxFuture;
use rmcp::{
    RoleServer,
    model::{ElicitRequestParams, ElicitationAction},
    service::{ElicitationMode, RequestContext},
};
use serde_json::json;

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

/// How long a person may think about it.
const PATIENCE: Duration = Duration::from_secs(300);

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
            let requested_schema = serde_json::from_value(schema).expect("the schema above is one");
            let request = ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema };
            match peer.create_elicitation_with_timeout(request, Some(PATIENCE)).await {
                Ok(answer) => match answer.action {
                    ElicitationAction::Accept => {
                        let decision = answer.content.as_ref().and_then(|content| content.get("decision"));
                        let approved = decision.and_then(|decision| decision.as_str()) == Some(APPROVE);
                        if approved { Decision::Approve } else { Decision::Defaults }
                    }
                    ElicitationAction::Decline => Decision::Defaults,
                    ElicitationAction::Cancel => Decision::Cancel,
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
