//! What a plugin logs through `tracing`, and how it panics, as records for the host.

use std::{cell::Cell, fmt, panic, sync::Once};

use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Takes a log record that belongs to a call, or to none.
pub(crate) type Emit = fn(Source, &[u8]);

/// The host and the call that what is logged right now belongs to: numbers and addresses that only `glue` understands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) host: &'static crate::abi::Host,
    pub(crate) call: u64,
}

thread_local! {
    static NOW: Cell<Option<Source>> = const { Cell::new(None) };
}

/// Runs a step of a call, so that what it logs is known to belong to the call.
pub(crate) fn within<T>(source: Source, step: impl FnOnce() -> T) -> T {
    struct Before(Option<Source>);
    impl Drop for Before {
        fn drop(&mut self) {
            NOW.set(self.0);
        }
    }
    let _before = Before(NOW.replace(Some(source)));
    step()
}

/// Sends logs and panics to the host from now on; once for each library, since a library has its own copy of `tracing`
/// and of the standard library.
pub(crate) fn install(host: &'static crate::abi::Host, emit: Emit) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let first = Source { host, call: 0 };
        panic::set_hook(Box::new(move |info| {
            let message = info.to_string().replace('\n', " ");
            let record = serde_json::json!({ "level": "error", "target": "panic", "message": message });
            emit(NOW.get().unwrap_or(first), record.to_string().as_bytes());
        }));
        let _ = tracing::subscriber::set_global_default(Forward { first, emit });
    });
}

struct Forward {
    first: Source,
    emit: Emit,
}

struct Fields(Map<String, Value>);

impl Subscriber for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::DEBUG)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut fields = Fields(Map::new());
        fields.0.insert("level".into(), metadata.level().as_str().to_lowercase().into());
        fields.0.insert("target".into(), metadata.target().into());
        event.record(&mut fields);
        if let Ok(record) = serde_json::to_vec(&fields.0) {
            (self.emit)(NOW.get().unwrap_or(self.first), &record);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}
