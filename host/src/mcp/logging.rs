//! What children log while they are called: it goes to the client of the call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How much a message matters, as RFC 5424 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// Where the messages of one call go.
#[derive(Clone)]
pub(super) struct Log {
    /// The session of the client; a request that is a session of its own has none.
    pub(super) session: Option<usize>,
    /// What matters less than this is left out; by default nothing is, since the child decides then.
    pub(super) least: Option<Level>,
    /// Takes the `params` of `notifications/message`.
    pub(super) sink: Arc<dyn Fn(Map<String, Value>) + Send + Sync>,
}

impl Level {
    /// A level by its name.
    pub(super) fn of(name: &Value) -> Option<Self> {
        serde_json::from_value(name.clone()).ok()
    }
}

impl Log {
    /// The one place where messages go that may belong to any of these calls: they must all be of one session.
    pub(super) fn common<'a>(mut logs: impl Iterator<Item = Option<&'a Self>>) -> Option<&'a Self> {
        let first = logs.next()??;
        let same =
            |other: Option<&Self>| other.is_some_and(|other| first.session.is_some() && other.session == first.session);
        logs.all(same).then_some(first)
    }

    /// Passes a message on, if it matters enough.
    pub(super) fn pass(&self, params: Map<String, Value>) {
        let level = params.get("level").and_then(Level::of);
        if level.is_some() && level >= self.least {
            (self.sink)(params);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    fn log(session: Option<usize>, least: Option<Level>) -> (Log, Arc<Mutex<Vec<Value>>>) {
        let passed = Arc::new(Mutex::new(Vec::new()));
        let kept = passed.clone();
        let sink = Arc::new(move |params: Map<String, Value>| kept.lock().unwrap().push(params["level"].clone()));
        (Log { session, least, sink }, passed)
    }

    #[test]
    fn what_matters_less_is_left_out() {
        for (least, passed) in
            [(None, 8), (Some(Level::Debug), 8), (Some(Level::Warning), 5), (Some(Level::Emergency), 1)]
        {
            let (log, told) = log(None, least);
            for level in ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "loud"] {
                let Value::Object(params) = json!({ "level": level, "data": 1 }) else { unreachable!() };
                log.pass(params);
            }
            assert_eq!(told.lock().unwrap().len(), passed, "{least:?}");
        }
    }

    #[test]
    fn nobody_hears_what_may_be_anothers() {
        let (one, two, none) = (log(Some(1), None).0, log(Some(2), None).0, log(None, None).0);
        let session = |logs: &[Option<&Log>]| Log::common(logs.iter().copied()).map(|log| log.session);
        assert_eq!(session(&[]), None);
        assert_eq!(session(&[Some(&one)]), Some(Some(1)));
        assert_eq!(session(&[Some(&none)]), Some(None));
        assert_eq!(session(&[Some(&one), Some(&one)]), Some(Some(1)));
        for calls in [[Some(&one), Some(&two)], [Some(&none), Some(&none)], [Some(&one), None], [None, Some(&one)]] {
            assert_eq!(session(&calls), None);
        }
    }
}
