use perennial_sdk::SavedServer;
use serde::{Deserialize, Serialize};

use crate::moving::digest;

/// SHA-256 in hex over what a version of one saved server runs, and with which rights: its id, language, source, further
/// files, dependencies, lock, permissions and limits.
///
/// The source is part of it, so that rights are given to a content and not to a name that others can put any content
/// behind. What runs nothing is not: the name, the description, who saved it and when.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a version, whichever storage it comes from.
    pub fn of(record: &SavedServer) -> Self {
        Self(digest(&SavedServer {
            server_id: record.server_id.clone(),
            language: record.language.clone(),
            code: record.code.clone(),
            files: record.files.clone(),
            dependencies: record.dependencies.clone(),
            lock: record.lock.clone(),
            permissions: record.permissions.clone(),
            limits: record.limits.clone(),
            ..SavedServer::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use perennial_sdk::{Dependencies, Limits, Permissions, ToolDefinition};
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_runs_counts_and_nothing_else() {
        let record = SavedServer { server_id: "server-a".into(), code: "x".into(), ..SavedServer::default() };
        let tool: ToolDefinition = serde_json::from_value(json!({ "name": "echo" })).unwrap();
        let same = SavedServer {
            name: "n".into(),
            saved_at: "t".into(),
            description: Some("d".into()),
            tools: vec![tool],
            sha256: Some("s".into()),
            ..record.clone()
        };
        assert_eq!(Fingerprint::of(&record), Fingerprint::of(&same));
        let others = [
            SavedServer { server_id: "server-b".into(), ..record.clone() },
            SavedServer { language: "python".into(), ..record.clone() },
            SavedServer { code: "y".into(), ..record.clone() },
            SavedServer { files: [("a".to_owned(), String::new())].into(), ..record.clone() },
            SavedServer { dependencies: Dependencies::List(vec!["a".into()]), ..record.clone() },
            SavedServer { lock: Some(String::new()), ..record.clone() },
            SavedServer {
                permissions: Permissions { env: vec!["A".into()], ..Permissions::default() },
                ..record.clone()
            },
            SavedServer { limits: Limits { pids: Some(1), ..Limits::default() }, ..record.clone() },
        ];
        let all: std::collections::HashSet<_> = others.iter().chain([&record]).map(Fingerprint::of).collect();
        assert_eq!(all.len(), 9);
    }

    #[test]
    fn a_record_that_was_stored_and_read_has_the_same() {
        let limits = Limits { cpu: Some(1.0), call_timeout_s: Some(0.1), ..Limits::default() };
        let record = SavedServer { code: "é\u{2028}".into(), limits, ..SavedServer::default() };
        let read: SavedServer = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(Fingerprint::of(&record), Fingerprint::of(&read));
    }
}
