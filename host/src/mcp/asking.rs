//! Asks the person behind a client, where the client can do that: by `elicitation/create`.

use std::sync::Arc;

use perennial_sdk::BoxFuture;
use serde_json::json;

use super::Caller;

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

/// The way to the person behind a caller; none when the client has not said that it can ask one.
pub(super) fn ask(caller: &Caller) -> Option<Ask> {
    let questions = caller.questions.clone();
    let elicitation = questions.capabilities().elicitation?;
    // clients said nothing of modes before there were any
    if elicitation.form.is_none() && elicitation.url.is_some() {
        return None;
    }
    Some(Arc::new(move |message| {
        let questions = questions.clone();
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
            match questions.ask("elicitation/create", &request).await {
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
