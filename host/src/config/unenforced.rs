use super::{Config, source::Step};

/// A setting that somebody made and that this version reads, but does not act upon yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unenforced {
    /// The dotted key.
    pub key: &'static str,
    /// `FILE:LINE:COLUMN`, or the environment variable.
    pub set_at: String,
}

/// Keys that come later; each leaves this list with the part that honours it.
const LATER: &[&str] = &[
    "limits.memory_mb",
    "limits.cpu",
    "limits.pids",
    "limits.files",
    "policy.network",
    "policy.read",
    "policy.write",
    "policy.env",
    "registries.pypi",
    "registries.proxy",
    "registries.ca",
    "exposure.mode",
];

impl Config {
    /// What was set without effect, to be told at start: silence would pass for enforcement.
    pub fn unenforced(&self) -> Vec<Unenforced> {
        LATER.iter().filter_map(|key| Some(Unenforced { key, set_at: self.set_at(key)? })).collect()
    }

    fn set_at(&self, key: &str) -> Option<String> {
        if let Some(variable) = self.origin.overridden.get(key) {
            return Some((*variable).to_owned());
        }
        let steps: Vec<_> = key.split('.').map(Step::Key).collect();
        let document = self.origin.document.as_ref()?;
        let found = document.find(&steps).filter(|found| found.depth == steps.len())?;
        Some(document.place(found.key()).to_string())
    }
}

impl std::fmt::Display for Unenforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: `{}` has no effect in this version yet", self.set_at, self.key)
    }
}
