//! What is asked of a child, and who waits for the answer.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use rmcp::{
    RoleClient,
    model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId},
    service::RxJsonRpcMessage,
};
use serde_json::{Map, Value, json, value::RawValue};
use tokio::sync::{Notify, broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    envelope::to_line,
    logging::Log,
    outbox::Outbox,
    questions::{Hearer, METHODS, Questions},
};
use crate::{secrets::Redactor, supervisor::Ring};

/// The requests that a child owes an answer.
#[derive(Clone)]
pub(super) struct Calls(Arc<Shared>);

/// What became of a request that went past rmcp.
#[derive(Debug)]
pub(super) enum Answer {
    /// The `result`, as it stood on the line.
    Result(Bytes),
    /// The child's own JSON-RPC error.
    Error(ErrorData),
    /// It sent something that is no answer.
    Unusable(String),
}

/// What a child tells of itself, beside its tools.
#[derive(Debug, Clone)]
pub enum News {
    /// It offers other prompts or resources than before.
    Offers,
    /// This resource changed.
    Updated(String),
}

/// Takes the `params` of progress notifications.
pub type ProgressSink = Arc<dyn Fn(Map<String, Value>) + Send + Sync>;

/// A request that waits for its answer; dropped early, it is cancelled at the child.
pub(super) struct Waiting {
    id: i64,
    answer: oneshot::Receiver<Answer>,
    calls: Calls,
    answered: bool,
}

struct Shared {
    outbox: Outbox,
    stray: Ring,
    /// Of what the child was given.
    redactor: Option<Redactor>,
    pending: Mutex<Pending>,
    tools_changed: Notify,
    news: broadcast::Sender<News>,
    ended: CancellationToken,
}

#[derive(Default)]
struct Pending {
    next: i64,
    ended: bool,
    requests: HashMap<i64, Asker>,
    /// What the child itself asks, by its ids.
    questions: HashMap<String, CancellationToken>,
}

pub(super) enum Asker {
    Rmcp {
        id: RequestId,
        method: String,
    },
    /// `questions` goes to the client of a call; what the host wants to know for itself has none.
    Past {
        answer: oneshot::Sender<Answer>,
        progress: Option<ProgressSink>,
        questions: Option<Questions>,
    },
}

impl Calls {
    /// Wire ids start here: children that invent ids invent small ones.
    pub(super) const FIRST_ID: i64 = 1 << 40;

    pub(super) fn new(outbox: Outbox, stray: Ring, redactor: Option<Redactor>) -> Self {
        Self(Arc::new(Shared {
            outbox,
            stray,
            redactor,
            pending: Mutex::default(),
            tools_changed: Notify::new(),
            news: broadcast::Sender::new(64),
            ended: CancellationToken::new(),
        }))
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Sends a request past rmcp. `params` gets the progress token when somebody listens.
    ///
    /// # Errors
    /// When the child's session has ended.
    pub(super) async fn request(
        &self,
        method: &str,
        mut params: Map<String, Value>,
        progress: Option<ProgressSink>,
        questions: Option<Questions>,
    ) -> io::Result<Waiting> {
        let (sender, answer) = oneshot::channel();
        let listened = progress.is_some();
        let id = self.ask(Asker::Past { answer: sender, progress, questions }).ok_or(io::ErrorKind::BrokenPipe)?;
        let waiting = Waiting { id, answer, calls: self.clone(), answered: false };
        if listened {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("progressToken".into(), id.into());
            }
        }
        #[derive(serde::Serialize)]
        struct Request<'a> {
            jsonrpc: &'static str,
            id: i64,
            method: &'a str,
            params: &'a Map<String, Value>,
        }
        let line = to_line(&Request { jsonrpc: "2.0", id, method, params: &params })?;
        self.0.outbox.send(line).await?;
        Ok(waiting)
    }

    /// Closes the child's input and fails what still waits.
    pub(super) fn close(&self) {
        self.0.outbox.close();
        self.end();
    }

    /// Fires when the child closed its output, or takes no input any more.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.0.ended
    }

    /// Finds what the child was given.
    pub(super) fn redactor(&self) -> Option<&Redactor> {
        self.0.redactor.as_ref()
    }

    /// Waits for the child to say that its tools changed.
    pub(super) async fn tools_changed(&self) {
        self.0.tools_changed.notified().await;
    }

    /// Hears what the child tells from now on.
    pub(super) fn news(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
    }

    pub(super) fn tell(&self, news: News) {
        let _ = self.0.news.send(news);
    }

    /// A resource changed, by the `params` of the notification.
    pub(super) fn tell_updated(&self, params: Option<&RawValue>) {
        #[derive(serde::Deserialize)]
        struct Updated {
            uri: String,
        }
        if let Some(Ok(Updated { uri })) = params.map(|params| serde_json::from_str(params.get())) {
            self.tell(News::Updated(uri));
        }
    }

    pub(super) fn tell_tools_changed(&self) {
        self.0.tools_changed.notify_one();
    }

    pub(super) fn ask(&self, asker: Asker) -> Option<i64> {
        let mut pending = self.pending();
        if pending.ended {
            return None;
        }
        let id = Self::FIRST_ID + pending.next;
        pending.next += 1;
        pending.requests.insert(id, asker);
        Some(id)
    }

    pub(super) fn take(&self, id: i64) -> Option<Asker> {
        self.pending().requests.remove(&id)
    }

    pub(super) fn forget(&self, rmcp_id: &RequestId) -> Option<i64> {
        let mut pending = self.pending();
        let wire = pending.requests.iter().find_map(|(wire, asker)| match asker {
            Asker::Rmcp { id, .. } if id == rmcp_id => Some(*wire),
            _ => None,
        })?;
        pending.requests.remove(&wire);
        Some(wire)
    }

    /// Passes a progress notification on, when somebody waits for it.
    pub(super) fn progress(&self, params: Option<&RawValue>) {
        let Some(Ok(params)) = params.map(|raw| serde_json::from_str::<Map<String, Value>>(raw.get())) else {
            return;
        };
        let token = params.get("progressToken").and_then(Value::as_i64);
        let sink = token.and_then(|id| match self.pending().requests.get(&id) {
            Some(Asker::Past { progress, .. }) => progress.clone(),
            _ => None,
        });
        if let Some(sink) = sink {
            sink(params);
        }
    }

    /// Passes a request of the child on to the client whose call it belongs to. One that is refused is answered here.
    pub(super) fn child_asks(&self, method: &str, id: &RawValue, params: Option<&RawValue>) {
        let hearer = Hearer::Child { calls: self.clone(), id: id.to_owned() };
        let withdrawn = CancellationToken::new();
        if !METHODS.contains(&method) {
            let unknown = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "the host does not offer this method", None);
            return hearer.hears(Err(unknown));
        }
        let put = match self.caller(id, &withdrawn) {
            Ok(questions) => questions.put(method, params, self.0.redactor.as_ref(), withdrawn, hearer),
            Err(why) => Err((hearer, ErrorData::invalid_request(why, None))),
        };
        if let Err((hearer, error)) = put {
            hearer.hears(Err(error));
        }
    }

    /// The one client whose call the child works on, once its question is entered.
    fn caller(&self, id: &RawValue, withdrawn: &CancellationToken) -> Result<Questions, &'static str> {
        let mut pending = self.pending();
        let mut callers = pending.requests.values().filter_map(|asker| match asker {
            Asker::Past { questions, .. } => questions.clone(),
            Asker::Rmcp { .. } => None,
        });
        let caller = match (callers.next(), callers.next()) {
            (Some(one), None) => one,
            (None, _) => {
                return Err("no call is in flight that this could belong to, and clients are asked within calls");
            }
            (Some(_), Some(_)) => {
                return Err("several calls are in flight, and it cannot be told which of them this belongs to");
            }
        };
        drop(callers);
        if pending.questions.contains_key(id.get()) {
            return Err("the id is that of a request still in flight");
        }
        pending.questions.insert(id.get().to_owned(), withdrawn.clone());
        Ok(caller)
    }

    /// Passes on what the child logs, to the client whose call it works on, when that can be told.
    pub(super) fn log(&self, params: Option<&RawValue>) {
        let Some(Ok(mut params)) = params.map(|raw| serde_json::from_str::<Map<String, Value>>(raw.get())) else {
            return;
        };
        let log = {
            let pending = self.pending();
            let callers = pending.requests.values().filter_map(|asker| match asker {
                Asker::Past { questions, .. } => questions.as_ref(),
                Asker::Rmcp { .. } => None,
            });
            Log::common(callers.map(Questions::log)).cloned()
        };
        let Some(log) = log else { return };
        if let Some(redactor) = &self.0.redactor {
            redactor.members(&mut params);
        }
        log.pass(params);
    }

    /// The child cancelled a request of its own.
    pub(super) fn withdraw(&self, params: Option<&RawValue>) {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Cancelled<'a> {
            #[serde(borrow)]
            request_id: &'a RawValue,
        }
        let cancelled = params.and_then(|params| serde_json::from_str::<Cancelled<'_>>(params.get()).ok());
        if let Some(withdrawn) = cancelled.and_then(|it| self.pending().questions.remove(it.request_id.get())) {
            withdrawn.cancel();
        }
    }

    /// A request of the child has its answer.
    pub(super) fn closes_question(&self, id: &RawValue) {
        self.pending().questions.remove(id.get());
    }

    /// Waits until no call is in flight.
    pub(super) async fn idle(&self) {
        let call = |asker: &Asker| matches!(asker, Asker::Past { questions: Some(_), .. });
        while self.pending().requests.values().any(call) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails the request whose id a broken line mentions.
    pub(super) fn fail_mentioned(
        &self,
        line: &[u8],
        why: String,
        ready: &mut Vec<RxJsonRpcMessage<RoleClient>>,
    ) -> bool {
        let mentioned = memchr::memmem::find_iter(line, b"\"id\"").find_map(|at| {
            let rest = line[at + 4..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
            let rest = rest.strip_prefix(b"\"").unwrap_or(rest);
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let id = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
            self.take(id)
        });
        match mentioned {
            Some(Asker::Past { answer, .. }) => drop(answer.send(Answer::Unusable(why))),
            Some(Asker::Rmcp { id, .. }) => {
                ready.push(JsonRpcMessage::error(ErrorData::internal_error(why, None), Some(id)));
            }
            None => return false,
        }
        true
    }

    /// Forgets every asker; each then sees that its answer will not come.
    pub(super) fn end(&self) {
        let mut pending = self.pending();
        pending.ended = true;
        pending.requests.clear();
        drop(pending);
        self.0.ended.cancel();
    }

    pub(super) fn stray(&self, line: &[u8]) {
        self.0.stray.push_line(line);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.pending.lock().expect("no holder panics")
    }
}

impl Waiting {
    /// The answer; none when the session ended first.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        let answer = (&mut self.answer).await.ok();
        self.answered = true;
        answer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered && self.calls.take(self.id).is_some() {
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{}}}}}\n",
                self.id
            );
            self.calls.0.outbox.try_send(line.into());
        }
    }
}
