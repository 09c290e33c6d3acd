use super::{
    Config,
    source::{self, Document, Step},
};

/// A setting that somebody made and that this version reads, but does not act upon yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unenforced {
    /// The dotted key.
    pub key: &'static str,
    /// `FILE:LINE:COLUMN`, or the environment variable.
    pub set_at: String,
}

/// Keys that come later; each leaves this list with the part that honours it.
const LATER: &[&str] = &["exposure.mode"];

impl Config {
    /// What was set without effect, to be told at start: silence would pass for enforcement.
    pub fn unenforced(&self) -> Vec<Unenforced> {
        let document = self.origin.document.as_deref();
        let tree = document.and_then(Document::tree);
        let in_file = |key: &str| {
            let steps: Vec<_> = key.split('.').map(Step::Key).collect();
            let found = source::find(tree.as_ref()?, &steps).filter(|found| found.depth == steps.len())?;
            Some(document?.place(found.key()).to_string())
        };
        let set_at = |key: &str| {
            let variable = self.origin.overridden.get(key).map(|variable| (*variable).to_owned());
            variable.or_else(|| in_file(key))
        };
        LATER.iter().filter_map(|key| Some(Unenforced { key, set_at: set_at(key)? })).collect()
    }
}

impl std::fmt::Display for Unenforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: `{}` has no effect in this version yet", self.set_at, self.key)
    }
}
