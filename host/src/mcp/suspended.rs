//! Work for a client of 2026-07-28, which takes no requests: what it is asked is the result of its own request, and the
//! work goes on when the client comes back with the answers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_channel::mpsc;
use futures_util::StreamExt;
use rmcp::model::{ErrorCode, ErrorData, RequestStateCodec, SealOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    Passed, Reply,
    calls::ProgressSink,
    questions::{PATIENCE, Question},
};

/// What becomes of a request.
pub(super) type Outcome = Result<Reply, ErrorData>;

/// Work that waits for its client, by what was sealed for the client to bring back. Cheap to clone.
#[derive(Clone)]
pub(super) struct Suspended(Arc<Shared>);

struct Shared {
    seal: Seal,
    patience: Duration,
    /// By numbers that are never given twice.
    works: Mutex<HashMap<u64, Work>>,
    next: AtomicU64,
}

/// Work that goes on whether its client waits or not. Dropped, it is cancelled.
pub(super) struct Work {
    done: JoinHandle<Outcome>,
    questions: mpsc::UnboundedReceiver<Question>,
    open: BTreeMap<String, Question>,
    asked: usize,
    progress: Arc<Following>,
    _cancel: DropGuard,
}

/// Progress goes to the request that waits now, and nowhere while none does.
#[derive(Default)]
pub(super) struct Following(Mutex<Option<ProgressSink>>);

/// Seals what clients bring back: they may not make it up, nor bring it to another request.
#[derive(Clone)]
pub(super) struct Seal(RequestStateCodec);

/// What a client brings back.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum State {
    /// The work that waits for it.
    Work(u64),
    /// The state of a child that went on with its own.
    Child(String),
}

/// How long a first question waits for others to go with it.
const BREATH: Duration = Duration::from_millis(20);

/// Work that waits at once, of all clients.
const MOST: usize = 256;

impl Default for Suspended {
    fn default() -> Self {
        Self::with(PATIENCE)
    }
}

impl Default for Seal {
    fn default() -> Self {
        // 244 random bits
        let key = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        Self(RequestStateCodec::try_new(key).expect("the key is long enough"))
    }
}

impl Seal {
    /// What a client is to bring back with its next request, which must be about the same.
    pub(super) fn seal(&self, state: &State, bound_to: &[u8]) -> Result<String, ErrorData> {
        let options = SealOptions::new().associated_data(bound_to).ttl(PATIENCE);
        self.0.seal_json_with(state, &options).map_err(|error| failed(error.to_string()))
    }

    /// What a state that a client brought back means.
    ///
    /// # Errors
    /// It was not sealed here, for this very request, or not lately.
    pub(super) fn open(&self, sealed: &str, bound_to: &[u8]) -> Result<State, ErrorData> {
        self.0.open_json_with(sealed, bound_to).map_err(|error| {
            ErrorData::invalid_params(format!("`requestState` is not what this request was given: {error}"), None)
        })
    }
}

impl Suspended {
    /// Work waits this long for its client.
    fn with(patience: Duration) -> Self {
        let shared = Shared { seal: Seal::default(), patience, works: Mutex::default(), next: AtomicU64::default() };
        Self(Arc::new(shared))
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    /// Waits until the work is done, or its client must be asked: then that is the result. `bound_to` is what the next
    /// request must be about.
    pub(super) async fn turn(&self, mut work: Work, cancelled: &CancellationToken, bound_to: &[u8]) -> Outcome {
        work.open.retain(|_, question| !question.withdrawn.is_cancelled());
        if work.open.is_empty() {
            tokio::select! {
                biased;
                done = &mut work.done => return done.unwrap_or_else(|error| Err(failed(error.to_string()))),
                Some(question) = work.questions.next() => work.take(question),
                () = cancelled.cancelled() => return Err(failed("cancelled")),
            }
        }
        // what is asked in one breath makes one round
        sleep(BREATH).await;
        while let Ok(question) = work.questions.try_recv() {
            work.take(question);
        }
        self.suspend(work, bound_to)
    }

    /// The work goes on, with the answers to what was open. What is not answered is asked again.
    ///
    /// # Errors
    /// It is over.
    pub(super) fn resume(
        &self,
        id: u64,
        answers: Option<Map<String, Value>>,
        progress: Option<ProgressSink>,
    ) -> Result<Work, ErrorData> {
        let work = self.works().remove(&id);
        let mut work = work.ok_or_else(|| {
            ErrorData::invalid_params("what `requestState` stands for is over: make the request anew", None)
        })?;
        work.progress.follow(progress);
        for (key, answer) in answers.unwrap_or_default() {
            if let Some(question) = work.open.remove(&key) {
                question.answer(Ok(answer));
            }
        }
        Ok(work)
    }

    fn suspend(&self, work: Work, bound_to: &[u8]) -> Outcome {
        let requests: Map<String, Value> =
            work.open.iter().map(|(key, question)| (key.clone(), request(question))).collect();
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let state = self.0.seal.seal(&State::Work(id), bound_to)?;
        let asks = json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state });
        let mut works = self.works();
        if works.len() >= MOST {
            return Err(failed(format!("{MOST} calls wait for their clients already")));
        }
        works.insert(id, work);
        drop(works);
        let (shared, patience) = (Arc::downgrade(&self.0), self.0.patience);
        tokio::spawn(async move {
            sleep(patience).await;
            let Some(shared) = shared.upgrade() else { return };
            let late = Self(shared).works().remove(&id);
            drop(late);
        });
        Ok(Reply::Passed(Passed::new(asks.to_string().into())))
    }

    fn works(&self) -> MutexGuard<'_, HashMap<u64, Work>> {
        self.0.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Starts it. `cancel` ends it.
    pub(super) fn start(
        work: impl Future<Output = Outcome> + Send + 'static,
        questions: mpsc::UnboundedReceiver<Question>,
        progress: Arc<Following>,
        cancel: DropGuard,
    ) -> Self {
        Self { done: tokio::spawn(work), questions, open: BTreeMap::new(), asked: 0, progress, _cancel: cancel }
    }

    fn take(&mut self, question: Question) {
        self.asked += 1;
        self.open.insert(format!("{}", self.asked), question);
    }
}

impl Following {
    /// A sink that goes wherever this one goes.
    pub(super) fn sink(self: &Arc<Self>) -> ProgressSink {
        let this = self.clone();
        Arc::new(move |params| {
            let sink = this.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(sink) = sink {
                sink(params);
            }
        })
    }

    pub(super) fn follow(&self, sink: Option<ProgressSink>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }
}

fn request(question: &Question) -> Value {
    match &question.params {
        Some(params) => json!({ "method": question.method, "params": params }),
        None => json!({ "method": question.method }),
    }
}

fn failed(why: impl Into<String>) -> ErrorData {
    ErrorData::new(ErrorCode::INTERNAL_ERROR, why.into(), None)
}

#[cfg(test)]
mod tests {
    use rmcp::model::ClientCapabilities;

    use super::{super::questions::Hearer, *};
    use crate::mcp::{Said, questions::Questions};

    /// Work that asks for roots once and tells what it heard.
    fn work(cancelled: CancellationToken) -> Work {
        let capabilities: ClientCapabilities = serde_json::from_value(json!({ "roots": {} })).unwrap();
        let (questions, asked) = Questions::to(capabilities, None);
        let work = async move {
            let (sender, answer) = tokio::sync::oneshot::channel();
            let put = questions.put("roots/list", None, None, CancellationToken::new(), Hearer::Round(sender));
            assert!(put.is_ok());
            match answer.await.unwrap() {
                Ok(answer) => Ok(Said::new(answer.to_string(), json!({})).into()),
                Err(error) => Err(error),
            }
        };
        Work::start(work, asked, Arc::default(), cancelled.drop_guard())
    }

    fn asks(outcome: Outcome) -> (Map<String, Value>, String) {
        let Ok(Reply::Passed(passed)) = outcome else { panic!("it asks for nothing") };
        let asks = passed.to_value();
        (asks["inputRequests"].as_object().unwrap().clone(), asks["requestState"].as_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn work_goes_on_once_its_client_is_back() {
        let (suspended, never) = (Suspended::default(), CancellationToken::new());
        let (requests, state) = asks(suspended.turn(work(never.clone()), &never, b"this").await);
        assert!(suspended.seal().open(&state, b"that").is_err());
        assert!(Suspended::default().seal().open(&state, b"this").is_err());
        let Ok(State::Work(id)) = suspended.seal().open(&state, b"this") else { panic!("it was sealed here") };
        let answers = requests.keys().map(|key| (key.clone(), json!({ "roots": [] }))).collect();
        let work = suspended.resume(id, Some(answers), None).unwrap_or_else(|error| panic!("{error:?}"));
        let Ok(Reply::Said(said)) = suspended.turn(work, &never, b"this").await else { panic!("it is done") };
        assert_eq!(said.text, "{\"roots\":[]}");
        assert!(suspended.resume(id, None, None).is_err(), "it is resumed once");
    }

    #[tokio::test]
    async fn work_whose_client_does_not_come_back_is_cancelled() {
        let (suspended, never) = (Suspended::with(Duration::from_millis(20)), CancellationToken::new());
        let cancelled = CancellationToken::new();
        let (_, state) = asks(suspended.turn(work(cancelled.clone()), &never, b"").await);
        cancelled.cancelled().await;
        let Ok(State::Work(id)) = suspended.seal().open(&state, b"") else { panic!("it was sealed here") };
        assert!(suspended.resume(id, None, None).is_err());
        // and with its session
        let cancelled = CancellationToken::new();
        let suspended = Suspended::default();
        asks(suspended.turn(work(cancelled.clone()), &never, b"").await);
        drop(suspended);
        cancelled.cancelled().await;
    }
}
