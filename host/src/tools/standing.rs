//! What a model is told of a server beside what it can do: what is kept from it, and whether its tools are still the same.

use serde_json::{Value, json};

use crate::{catalog::Status, trust::Drift};

/// Lines of text for an answer that tells of a server which came up, each with its line feed in front.
pub(super) fn lines(status: &Status) -> String {
    let mut text = String::new();
    if let Some(withheld) = &status.provenance.withheld {
        text += &format!("\n{withheld}");
    }
    if let Some(drift) = flagged(status) {
        text += &format!("\nits tools are not those that were recorded when it was saved: {drift}");
        text += "\nthey are served by `execute-tool` as they are; look at `get-server` before you rely on them";
    }
    text
}

/// What is withheld, as facts; null when nothing is.
pub(super) fn withheld(status: &Status) -> Value {
    json!(status.provenance.withheld)
}

/// How its tools differ, as facts; null when they do not.
pub(super) fn drift(status: &Status) -> Value {
    json!(flagged(status).map(|drift| drift.brief()))
}

/// The marks of the tools that differ, by name; null when none does.
pub(super) fn marks(status: &Status) -> Value {
    let Some(drift) = flagged(status) else { return Value::Null };
    let marks = status.tools.names().filter_map(|name| Some((name.to_owned(), drift.mark(name)?.into())));
    Value::Object(marks.collect())
}

fn flagged(status: &Status) -> Option<Drift> {
    status.drift().filter(Drift::is_flagged)
}
