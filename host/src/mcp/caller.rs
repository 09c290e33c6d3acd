//! The client of a call, as far as the called child has to do with it.

use serde_json::{Map, Value};

use super::questions::Questions;

/// Who made a call: a client that can be asked, or, by default, nobody who could.
#[derive(Clone, Default)]
pub struct Caller {
    /// The way to the client.
    pub(super) questions: Questions,
    /// What the client answered to an earlier round of the same call.
    pub(super) inputs: Inputs,
    /// Whether the client takes a request for input in the place of a result.
    pub(super) stateless: bool,
}

/// Answers to what a child of 2026-07-28 asked for in the place of a result.
#[derive(Clone, Default)]
pub(super) struct Inputs {
    pub(super) responses: Option<Map<String, Value>>,
    /// The child's own state, as it gave it.
    pub(super) state: Option<String>,
}

impl Inputs {
    /// Puts them where the child looks for them.
    pub(super) fn insert_into(&self, params: &mut Map<String, Value>) {
        if let Some(responses) = &self.responses {
            params.insert("inputResponses".into(), responses.clone().into());
        }
        if let Some(state) = &self.state {
            params.insert("requestState".into(), state.clone().into());
        }
    }
}
