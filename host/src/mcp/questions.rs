//! What children ask while they are called, and the way from there to the client that called.
//!
//! A question belongs to one call: it reaches the client that made it, and nothing of it is left when the call ends.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_channel::mpsc;
use rmcp::model::{ClientCapabilities, ErrorCode, ErrorData};
use serde_json::{Value, value::RawValue};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{calls::Calls, envelope::to_line, logging::Log};
use crate::secrets::Redactor;

/// The way from a call of a child to the client that made it; none by default.
#[derive(Clone, Default)]
pub(super) struct Questions(Option<Arc<Way>>);

/// Something that a client is to be asked. Whoever drops it unanswered refuses it.
pub(super) struct Question {
    /// The method, one of [`METHODS`].
    pub(super) method: &'static str,
    pub(super) params: Option<Value>,
    /// Whoever asked does not want to know any more.
    pub(super) withdrawn: CancellationToken,
    hearer: Option<Hearer>,
    way: Arc<Way>,
}

/// Who waits for the answer.
pub(super) enum Hearer {
    /// A child, under this id.
    Child { calls: Calls, id: Box<RawValue> },
    /// A round of a call.
    Round(oneshot::Sender<Result<Value, ErrorData>>),
}

struct Way {
    /// Unbounded, since it costs next to nothing until there is a question: [`Way::begins`] counts.
    questions: mpsc::UnboundedSender<Question>,
    capabilities: ClientCapabilities,
    log: Option<Log>,
    asked: AtomicUsize,
    waits: Mutex<Waits>,
}

/// How long a call has waited for its client.
#[derive(Default)]
struct Waits {
    open: usize,
    since: Option<Instant>,
    before: Duration,
}

/// What children may ask of clients.
pub(super) const METHODS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

/// How long a client, or the person before it, may think about an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Questions of one call that wait at once.
const MOST_AT_ONCE: usize = 8;

/// Questions of one call in all.
const MOST: usize = 64;

/// Bytes of the longest question.
const LARGEST: usize = 1024 * 1024;

impl Questions {
    /// A way to a client of these capabilities, and its other end.
    pub(super) fn to(capabilities: ClientCapabilities, log: Option<Log>) -> (Self, mpsc::UnboundedReceiver<Question>) {
        let (questions, received) = mpsc::unbounded();
        let way = Way { questions, capabilities, log, asked: AtomicUsize::new(0), waits: Mutex::default() };
        (Self(Some(Arc::new(way))), received)
    }

    /// What the client can be asked.
    pub(super) fn capabilities(&self) -> ClientCapabilities {
        self.0.as_ref().map(|way| way.capabilities.clone()).unwrap_or_default()
    }

    /// Where what the child logs goes.
    pub(super) fn log(&self) -> Option<&Log> {
        self.0.as_ref()?.log.as_ref()
    }

    /// How long the call has waited for its client so far: time that is not the child's.
    pub(super) fn waited(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |way| {
            let waits = way.waits();
            waits.before + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
        })
    }

    /// Asks the client something of the host's own, and waits for the answer.
    ///
    /// # Errors
    /// What the client answers; that it did not.
    pub(super) async fn ask(&self, method: &str, params: &Value) -> Result<Value, ErrorData> {
        let (sender, answer) = oneshot::channel();
        let params = serde_json::value::to_raw_value(params).ok();
        let put = self.put(method, params.as_deref(), None, CancellationToken::new(), Hearer::Round(sender));
        put.map_err(|(_, error)| error)?;
        answer.await.unwrap_or_else(|_| Err(ErrorData::internal_error("nobody answered", None)))
    }

    /// Asks the client for whoever hears the answer.
    ///
    /// # Errors
    /// Why it is not asked.
    pub(super) fn put(
        &self,
        method: &str,
        params: Option<&RawValue>,
        redactor: Option<&Redactor>,
        withdrawn: CancellationToken,
        hearer: Hearer,
    ) -> Result<(), (Hearer, ErrorData)> {
        let refuse = |hearer, code, why: String| Err((hearer, ErrorData::new(code, why, None)));
        let Some(method) = METHODS.into_iter().find(|known| *known == method) else {
            return refuse(hearer, ErrorCode::METHOD_NOT_FOUND, format!("no client is asked for `{method:.40}`"));
        };
        let Some(way) = &self.0 else {
            let why = format!("who made this call cannot be asked for `{method}`");
            return refuse(hearer, ErrorCode::METHOD_NOT_FOUND, why);
        };
        if params.is_some_and(|params| params.get().len() > LARGEST) {
            return refuse(hearer, ErrorCode::INVALID_PARAMS, format!("above the limit of {LARGEST} bytes"));
        }
        let mut params = match params.map(|params| serde_json::from_str::<Value>(params.get())).transpose() {
            Ok(params) => params,
            Err(error) => return refuse(hearer, ErrorCode::INVALID_PARAMS, format!("the parameters: {error}")),
        };
        if let Some(why) = missing(&way.capabilities, method, params.as_ref()) {
            return refuse(hearer, ErrorCode::METHOD_NOT_FOUND, why);
        }
        if way.asked.fetch_add(1, Ordering::Relaxed) >= MOST {
            let why = format!("above the limit of {MOST} requests in one call");
            return refuse(hearer, ErrorCode::INVALID_REQUEST, why);
        }
        if let (Some(redactor), Some(params)) = (redactor, &mut params) {
            redactor.value(params);
        }
        if !way.begins() {
            let why = format!("above the limit of {MOST_AT_ONCE} requests at once");
            return refuse(hearer, ErrorCode::INVALID_REQUEST, why);
        }
        let question = Question { method, params, withdrawn, hearer: Some(hearer), way: way.clone() };
        way.questions.unbounded_send(question).or_else(|unsent| match unsent.into_inner().hearer.take() {
            Some(hearer) => refuse(hearer, ErrorCode::INVALID_REQUEST, "the call is over".into()),
            None => Ok(()),
        })
    }
}

impl Question {
    pub(super) fn answer(mut self, answer: Result<Value, ErrorData>) {
        if let Some(hearer) = self.hearer.take() {
            hearer.hears(answer);
        }
    }
}

impl Hearer {
    /// A child that does not read what it asked for goes without.
    pub(super) fn hears(self, answer: Result<Value, ErrorData>) {
        match self {
            Self::Round(sender) => drop(sender.send(answer)),
            Self::Child { calls, id } => {
                calls.closes_question(&id);
                #[derive(serde::Serialize)]
                struct Answer<'a> {
                    jsonrpc: &'static str,
                    id: &'a RawValue,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    result: Option<Value>,
                    #[serde(skip_serializing_if = "Option::is_none")]
                    error: Option<ErrorData>,
                }
                let (result, error) = match answer {
                    Ok(result) => (Some(result), None),
                    Err(error) => (None, Some(error)),
                };
                if let Ok(line) = to_line(&Answer { jsonrpc: "2.0", id: &id, result, error }) {
                    calls.outbox().try_send(line);
                }
            }
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.way.ends();
        if let Some(hearer) = self.hearer.take() {
            hearer.hears(Err(ErrorData::new(
                ErrorCode::INTERNAL_ERROR,
                "the call ended before the client answered",
                None,
            )));
        }
    }
}

impl Way {
    /// One more waits for its answer; false when there are enough.
    fn begins(&self) -> bool {
        let mut waits = self.waits();
        let room = waits.open < MOST_AT_ONCE;
        if room {
            waits.open += 1;
            waits.since.get_or_insert_with(Instant::now);
        }
        room
    }

    fn ends(&self) {
        let mut waits = self.waits();
        waits.open = waits.open.saturating_sub(1);
        if waits.open == 0
            && let Some(since) = waits.since.take()
        {
            waits.before += since.elapsed();
        }
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client lacks for this question.
fn missing(capabilities: &ClientCapabilities, method: &str, params: Option<&Value>) -> Option<String> {
    let param = |key: &str| params.and_then(|params| params.get(key)).filter(|value| !value.is_null());
    let lacks = |what: &str| Some(format!("the client that made this call does not offer {what}"));
    match method {
        "elicitation/create" => {
            let Some(elicitation) = &capabilities.elicitation else { return lacks("`elicitation`") };
            match param("mode").and_then(Value::as_str).unwrap_or("form") {
                // clients said nothing of modes before there were any
                "form" if elicitation.form.is_some() || elicitation.url.is_none() => None,
                "url" if elicitation.url.is_some() => None,
                mode => lacks(&format!("`elicitation` by `{mode:.20}`")),
            }
        }
        "sampling/createMessage" => match &capabilities.sampling {
            None => lacks("`sampling`"),
            Some(sampling) if sampling.tools.is_none() && (param("tools").or(param("toolChoice"))).is_some() => {
                lacks("`sampling` with tools")
            }
            Some(_) => None,
        },
        _ if capabilities.roots.is_none() => lacks("`roots`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use serde_json::json;

    use super::*;

    fn client(capabilities: Value) -> (Questions, mpsc::UnboundedReceiver<Question>) {
        Questions::to(serde_json::from_value(capabilities).unwrap(), None)
    }

    fn put(
        questions: &Questions,
        method: &str,
        params: Value,
    ) -> Result<oneshot::Receiver<Result<Value, ErrorData>>, String> {
        let (sender, answer) = oneshot::channel();
        let params = serde_json::value::to_raw_value(&params).unwrap();
        let put = questions.put(method, Some(&params), None, CancellationToken::new(), Hearer::Round(sender));
        put.map(|()| answer).map_err(|(_, error)| error.message.into_owned())
    }

    #[test]
    fn clients_are_asked_what_they_offer() {
        for (capabilities, method, params, refused) in [
            (json!({}), "elicitation/create", json!({}), true),
            (json!({ "elicitation": {} }), "elicitation/create", json!({}), false),
            (json!({ "elicitation": {} }), "elicitation/create", json!({ "mode": "url" }), true),
            (json!({ "elicitation": { "url": {} } }), "elicitation/create", json!({ "mode": "url" }), false),
            (json!({ "elicitation": { "url": {} } }), "elicitation/create", json!({ "mode": "form" }), true),
            (json!({ "elicitation": {} }), "sampling/createMessage", json!({}), true),
            (json!({ "sampling": {} }), "sampling/createMessage", json!({ "tools": null }), false),
            (json!({ "sampling": {} }), "sampling/createMessage", json!({ "tools": [] }), true),
            (json!({ "sampling": { "tools": {} } }), "sampling/createMessage", json!({ "tools": [] }), false),
            (json!({ "sampling": {} }), "roots/list", json!({}), true),
            (json!({ "roots": {} }), "roots/list", json!({}), false),
            (json!({ "roots": {} }), "tools/list", json!({}), true),
        ] {
            let (questions, _received) = client(capabilities.clone());
            let put = put(&questions, method, params.clone());
            assert_eq!(put.is_err(), refused, "{capabilities} {method} {params}: {put:?}");
        }
        assert!(put(&Questions::default(), "roots/list", json!({})).unwrap_err().contains("cannot be asked"));
    }

    #[tokio::test]
    async fn there_is_a_limit_on_how_many_and_how_large() {
        let (questions, mut received) = client(json!({ "roots": {} }));
        let waiting: Vec<_> = (0..MOST_AT_ONCE).map(|_| put(&questions, "roots/list", json!({})).unwrap()).collect();
        assert!(put(&questions, "roots/list", json!({})).unwrap_err().contains("at once"));
        received.next().await.unwrap().answer(Ok(json!({ "roots": [] })));
        drop(received);
        let mut answers = Vec::new();
        for one in waiting {
            answers.push(one.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "what nobody answers is refused");
        assert!(put(&questions, "roots/list", json!({})).unwrap_err().contains("over"));
        for _ in 0..MOST {
            let _ = put(&questions, "roots/list", json!({}));
        }
        assert!(put(&questions, "roots/list", json!({})).unwrap_err().contains("in one call"));
        assert!(put(&questions, "roots/list", json!("x".repeat(LARGEST))).unwrap_err().contains("bytes"));
    }

    #[tokio::test]
    async fn what_a_client_takes_is_not_the_childs_time() {
        let (questions, mut received) = client(json!({ "roots": {} }));
        assert_eq!(questions.waited(), Duration::ZERO);
        let _answers = [put(&questions, "roots/list", json!({})), put(&questions, "roots/list", json!({}))];
        drop(received.next().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(questions.waited() >= Duration::from_millis(20), "one is still open");
        drop(received.next().await);
        let waited = questions.waited();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(questions.waited(), waited);
    }
}
