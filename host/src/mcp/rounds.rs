//! What a child of 2026-07-28 asks for in the place of a result, asked of a client that has no such results.

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    caller::Inputs,
    questions::{Hearer, Questions},
    session::CallEnd,
};
use crate::secrets::Redactor;

/// A result that is none yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputRequired<'a> {
    #[serde(borrow)]
    result_type: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    input_requests: indexmap::IndexMap<String, InputRequest<'a>>,
    #[serde(default)]
    request_state: Option<String>,
}

#[derive(Deserialize)]
struct InputRequest<'a> {
    #[serde(borrow)]
    method: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// How often one call may come back for input.
pub(super) const MOST_ROUNDS: usize = 10;

const KIND: &str = "input_required";

impl<'a> InputRequired<'a> {
    /// None for a result that is complete.
    pub(super) fn of(result: &'a [u8]) -> Option<Self> {
        memchr::memmem::find(result, KIND.as_bytes())?;
        serde_json::from_slice::<Self>(result).ok().filter(|it| it.result_type == KIND)
    }

    /// Asks the client for all of it.
    pub(super) async fn answered(self, questions: &Questions, redactor: Option<&Redactor>) -> Result<Inputs, CallEnd> {
        let refused = |error: rmcp::ErrorData| CallEnd::Refused {
            code: error.code.0,
            message: format!("it asks for input that it does not get: {}", error.message),
            data: error.data,
        };
        let mut waiting = Vec::new();
        for (key, InputRequest { method, params }) in self.input_requests {
            let (sender, answer) = oneshot::channel();
            let put = questions.put(&method, params, redactor, CancellationToken::new(), Hearer::Round(sender));
            put.map_err(|(_, error)| refused(error))?;
            waiting.push(async move {
                match answer.await {
                    Ok(answer) => answer.map(|answer| (key, answer)).map_err(refused),
                    Err(_) => Err(CallEnd::Cancelled),
                }
            });
        }
        let responses: Map<String, Value> = try_join_all(waiting).await?.into_iter().collect();
        Ok(Inputs { responses: Some(responses).filter(|responses| !responses.is_empty()), state: self.request_state })
    }
}
