//! What a call that failed was denied, said where its failure is told: clients seldom show more than that something did
//! not work.

use perennial_sdk::Error;
use serde_json::{Value, json};

use crate::{launch::Instance, mcp::Passed, policy::Reachable};

/// Places that one answer names.
const MOST: usize = 5;

/// What systems and languages say of a file or a connection that a process may not have.
const OF_FILES: &[&str] = &["Permission denied", "EACCES", "PermissionDenied", "Operation not permitted", "EPERM"];
const OF_CONNECTIONS: &[&str] = &[
    "Network is unreachable",
    "ENETUNREACH",
    "EAI_AGAIN",
    "Temporary failure in name resolution",
    "Name or service not known",
    "ENOTFOUND",
    "failed to lookup address",
    "No route to host",
    "fetch failed",
    "ECONNREFUSED",
    "Connection refused",
];

/// A result with what was denied while it came about, if it tells of a failure. Others pass untouched.
pub(super) fn told(passed: Passed, instance: &Instance, seen: u64) -> Passed {
    if !passed.is_error() {
        return passed;
    }
    let lines = lines(instance, seen, &String::from_utf8_lossy(passed.as_bytes()));
    if lines.is_empty() { passed } else { passed.with_text(&lines.join("\n")) }
}

/// The same for a call that gave no result.
pub(super) fn with(mut error: Error, instance: &Instance, seen: u64) -> Error {
    let mut lines = lines(instance, seen, &format!("{error} {}", error.data));
    if lines.is_empty() {
        return error;
    }
    if let Value::Object(data) = &mut error.data {
        data.insert("denied".into(), json!(instance.rights.denied_since(seen)));
    }
    lines.extend(error.hint.take());
    error.hint(lines.join("\n"))
}

fn lines(instance: &Instance, seen: u64, said: &str) -> Vec<String> {
    let rights = &instance.rights;
    let denied = rights.denied_since(seen);
    let mut lines: Vec<_> = denied.iter().take(MOST).map(ToString::to_string).collect();
    let enforces = |what: &str| {
        rights.strictness.is_some()
            && instance.process.enforced().measures.iter().any(|measure| measure.what == what && measure.by.is_some())
    };
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if enforces("files") && says(OF_FILES) {
        lines.push(
            "this server reads its programs, its packages and its own files, and writes its own folder (`HOME`); \
             `update-server` with `permissions` whose `read` or `write` name others asks for them, where the operator \
             allows it"
                .into(),
        );
    }
    if denied.is_empty() && enforces("network") && (says(OF_CONNECTIONS) || says(OF_FILES)) {
        match rights.granted.network {
            Reachable::Nothing => lines.push(
                "this server was granted no network; `update-server` with `permissions` such as \
                 {\"network\": [\"api.example.com:443\"]} asks for hosts by name and port"
                    .into(),
            ),
            Reachable::Places(_) => lines.push(
                "this server connects through the HTTP proxy that `HTTPS_PROXY` and `HTTP_PROXY` name, and in no other \
                 way; a client that does not look at them must be told of it"
                    .into(),
            ),
            Reachable::Everything => {}
        }
    }
    lines
}
