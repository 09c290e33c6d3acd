use std::{fs, io::Write, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{PutId, ServerId, Version, testkit::Event};

/// What a writer writes down, before and after each step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "lowercase")]
pub(super) enum Line {
    Try { id: ServerId, token: String, put: PutId },
    Saved { id: ServerId, token: String, version: Version },
    Refused { token: String },
    Deleted { id: ServerId, version: Version },
}

/// The lines of one writer and its successors.
pub(super) struct Log(PathBuf);

impl Log {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// A kill can cut a line short: each starts anew, and what was cut was not acknowledged.
    pub(super) fn note(&self, line: &Line) {
        let mut file = fs::File::options().append(true).create(true).open(&self.0).expect("the log can be written");
        let line = serde_json::to_string(line).expect("a line is JSON");
        file.write_all(format!("\n{line}\n").as_bytes()).expect("the log can be written");
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let text = fs::read(&self.0).unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.lines().iter().filter(|line| matches!(line, Line::Saved { .. })).count()
    }

    /// The last save, when its end is not known.
    pub(super) fn unfinished(&self) -> Option<(ServerId, String, PutId)> {
        let last = self.lines().into_iter().rfind(|line| !matches!(line, Line::Deleted { .. }));
        match last {
            Some(Line::Try { id, token, put }) => Some((id, token, put)),
            _ => None,
        }
    }

    pub(super) fn events(&self) -> Vec<Event> {
        let event = |line| match line {
            Line::Try { id, token, .. } => Event::Tried { id, code: code(&token) },
            Line::Saved { id, token, version } => Event::Saved { id, code: code(&token), version },
            Line::Refused { token } => Event::Refused { code: code(&token) },
            Line::Deleted { id, version } => Event::Deleted { id, version },
        };
        self.lines().into_iter().map(event).collect()
    }
}

/// A token with as many bytes behind it as it ends in.
pub(super) fn code(token: &str) -> String {
    let length = token.rsplit('.').next().and_then(|length| length.parse().ok()).unwrap_or_default();
    format!("{token} {}", "x".repeat(length))
}
