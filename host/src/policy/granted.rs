use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{egress::Rule, supervisor::Caps};

/// What a server may do: all of it is below the operator's ceiling.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// What it may connect to.
    pub network: Reachable,
    /// What it may read, with links followed.
    pub read: Vec<PathBuf>,
    /// The folders that it may write, likewise.
    pub write: Vec<PathBuf>,
    /// The variables and secrets that it gets, by name.
    pub env: Vec<String>,
    /// How much it may use.
    pub bounds: Bounds,
}

/// What a server may connect to.
#[derive(Debug, Clone, PartialEq)]
pub enum Reachable {
    /// Nothing.
    Nothing,
    /// What these rules allow.
    Places(Vec<Rule>),
    /// Everything.
    Everything,
}

/// How much a server may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// MiB of memory.
    pub memory_mb: u64,
    /// Processor cores.
    pub cpu: f64,
    /// Processes and threads.
    pub pids: u64,
    /// Open files of each process.
    pub files: u64,
    /// MiB of the disk.
    pub disk_mb: u64,
    /// How long one call may take.
    pub call_timeout: Duration,
}

impl Granted {
    /// What it may do as facts; not how much it may use.
    pub fn facts(&self) -> Value {
        json!({
            "network": match &self.network {
                Reachable::Nothing => json!("none"),
                Reachable::Places(rules) => rules.iter().map(|rule| rule.endpoint.to_string()).collect(),
                Reachable::Everything => json!("all"),
            },
            "read": self.read,
            "write": self.write,
            "env": self.env,
        })
    }

    /// What it may do beyond what any server may, but not its network: `read /data; env API_TOKEN`.
    pub fn beyond_all(&self) -> Option<String> {
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        let parts = [("read", paths(&self.read)), ("write", paths(&self.write)), ("env", self.env.clone())];
        let parts: Vec<_> = parts
            .iter()
            .filter(|(_, what)| !what.is_empty())
            .map(|(kind, what)| format!("{kind} {}", what.join(", ")))
            .collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Reachable {
    /// In a few words: `none`, `api.example.com:443`, `all`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Nothing => "none".into(),
            Self::Places(rules) => rules.iter().map(|rule| rule.endpoint.to_string()).collect::<Vec<_>>().join(", "),
            Self::Everything => "all".into(),
        }
    }
}

impl Bounds {
    /// As caps of processes.
    pub fn caps(&self) -> Caps {
        const MIB: u64 = 1024 * 1024;
        Caps {
            memory_bytes: Some(self.memory_mb.saturating_mul(MIB)),
            cpu: Some(self.cpu),
            pids: Some(self.pids),
            files: Some(self.files),
            disk_bytes: Some(self.disk_mb.saturating_mul(MIB)),
        }
    }

    /// As facts, by the names that they are asked for by.
    pub fn facts(&self) -> Value {
        json!({
            "memory_mb": self.memory_mb,
            "cpu": self.cpu,
            "pids": self.pids,
            "files": self.files,
            "disk_mb": self.disk_mb,
            "call_timeout_s": self.call_timeout.as_secs_f64(),
        })
    }
}
