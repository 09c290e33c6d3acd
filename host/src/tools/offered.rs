use std::sync::Arc;

use perennial_sdk::{Error, ErrorCode};
use serde_json::{Map, Value};

use super::{
    Call,
    execute_tool::{call_limit, failed, note_denials, redacting},
    target,
};
use crate::{
    audit::Asked,
    catalog::Server,
    launch::Instance,
    mcp::{CallEnd, Passed, Reply, Request, Said},
    offers::Place,
    secrets,
};

/// Why a request about something that a saved server offers has no result.
#[derive(Debug)]
pub enum Failure {
    /// The server refused it.
    Refused {
        /// JSON-RPC's code.
        code: i32,
        /// The server's words.
        message: String,
        /// What else it sent.
        data: Option<Value>,
    },
    /// It never got an answer.
    Own(Error),
}

/// Passes a request about something that a saved server offers on to it, started first if need be. The result is the
/// server's own, byte for byte.
///
/// # Errors
/// See [`Failure`]; no text of them holds a secret.
pub async fn ask_saved(
    call: Call,
    place: &Place,
    method: &'static str,
    params: Map<String, Value>,
) -> Result<Passed, Failure> {
    let (host, cancelled) = (call.host.clone(), call.cancelled.clone());
    let asked = Asked::of_saved(&place.server, method, &params, &call.client);
    let answer = pass(call, place, method, params).await;
    let reply = match &answer {
        Ok(passed) => Reply::Passed(passed.clone()),
        Err(Failure::Own(error)) => Said::failure("answer", error).into(),
        Err(Failure::Refused { message, .. }) => {
            Said::failure("answer", &Error::new(ErrorCode::Other("child_error".into()), message.as_str())).into()
        }
    };
    host.audit.record_all(asked.answered(&reply, cancelled.is_cancelled()));
    answer.map_err(Failure::redacted)
}

/// Sees to it that the server of a resource runs and tells when the resource changes.
///
/// # Errors
/// Why it does not come up.
pub async fn watch_saved(call: &Call, place: &Place) -> Result<(), Error> {
    let (_, instance) = target::up(call, &place.server).await?;
    instance.session.watch(&place.own, true).await;
    Ok(())
}

async fn pass(call: Call, place: &Place, method: &'static str, params: Map<String, Value>) -> Result<Passed, Failure> {
    let (server, instance) = target::up(&call, &place.server).await.map_err(Failure::Own)?;
    let limit = call_limit(&call, &server);
    let (seen, redactor) = (instance.rights.denials_so_far(), instance.rights.redactor.clone());
    let request = Request {
        method,
        params,
        meta: call.meta,
        progress: call.progress.map(|sink| redacting(sink, redactor.clone())),
        limit,
        cancelled: call.cancelled,
        caller: call.caller,
    };
    let answered = instance.session.ask(request).await;
    server.touch();
    note_denials(&call.host, &server, &instance, seen, method, &call.client);
    match answered {
        Ok(passed) => Ok(match &redactor {
            Some(redactor) => passed.redacted(redactor),
            None => passed,
        }),
        Err(end) => Err(explained(end, &server, &instance, method).await),
    }
}

async fn explained(end: CallEnd, server: &Arc<Server>, instance: &Arc<Instance>, method: &str) -> Failure {
    match end {
        CallEnd::Refused { code, message, data } => Failure::Refused { code, message, data },
        other => Failure::Own(failed(other, server, instance, method).await),
    }
}

impl Failure {
    fn redacted(mut self) -> Self {
        let Some(redactor) = secrets::known() else { return self };
        let (message, data) = match &mut self {
            Self::Refused { message, data, .. } => (message, data.get_or_insert_default()),
            Self::Own(error) => (&mut error.message, &mut error.data),
        };
        *message = redactor.text(message).into_owned();
        redactor.value(data);
        self
    }
}
