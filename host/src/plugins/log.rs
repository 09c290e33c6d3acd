use serde::Deserialize;
use serde_json::{Map, Value};

/// A record of a plugin, written to the host's own log.
pub(super) fn log(plugin: &str, record: &[u8]) {
    #[derive(Deserialize)]
    struct Record {
        #[serde(default)]
        level: String,
        #[serde(default)]
        target: String,
        #[serde(default)]
        message: String,
        #[serde(flatten)]
        fields: Map<String, Value>,
    }
    let Ok(Record { level, target, mut message, fields }) = serde_json::from_slice(record) else { return };
    for (name, value) in fields {
        message.push_str(&format!(" {name}={value}"));
    }
    match level.to_lowercase().as_str() {
        "error" => tracing::error!(target: "perennial::plugin", plugin, from = target, "{message}"),
        "warn" => tracing::warn!(target: "perennial::plugin", plugin, from = target, "{message}"),
        "debug" => tracing::debug!(target: "perennial::plugin", plugin, from = target, "{message}"),
        "trace" => tracing::trace!(target: "perennial::plugin", plugin, from = target, "{message}"),
        _ => tracing::info!(target: "perennial::plugin", plugin, from = target, "{message}"),
    }
}
