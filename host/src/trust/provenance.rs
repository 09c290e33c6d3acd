use std::{fmt, sync::Arc};

use perennial_sdk::{Error, Permissions, SavedServer, ServerSpec};
use serde::Serialize;

use super::in_words;
use crate::toolset::Toolset;

/// What a running server's record said of it, beside what it is made of.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// What it asks for and is not given.
    pub withheld: Option<Withheld>,
    /// Its tools as they were when it was saved; none when it never was.
    pub recorded: Option<Arc<Toolset>>,
}

/// Permissions that a version asks for and that nobody has approved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Withheld {
    /// What it asks for.
    pub permissions: Permissions,
    /// The command that approves it, for a person.
    pub remedy: String,
    /// Why nobody can tell whether it was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Withheld {
    pub(super) fn new(record: &SavedServer, problem: Option<&Error>) -> Self {
        let remedy = Self::remedy(&record.server_id);
        let problem = problem.map(|error| match &error.hint {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        });
        Self { permissions: record.permissions.clone(), remedy, problem }
    }

    /// The command that approves the newest version of a saved server. A name may hold what a shell takes for a command;
    /// an id cannot.
    pub fn remedy(id: impl fmt::Display) -> String {
        format!("perennial approve {id}")
    }

    /// The same of a version that is not the newest.
    #[must_use]
    pub fn of_version(mut self, record: &SavedServer) -> Self {
        self.remedy += &format!(" --version {}", record.version);
        self
    }
}

/// Two lines: what is withheld, and what to do.
impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "withheld: {}", in_words(&self.permissions))?;
        match &self.problem {
            Some(problem) => write!(f, "it runs under default permissions, since {problem}"),
            None => write!(
                f,
                "this version came from outside this installation, so it runs under default permissions until a person \
                 looks at it and approves it: `{}`; load it again then",
                self.remedy
            ),
        }
    }
}

impl Provenance {
    /// What still holds when a server of `old` is changed to `new`: its record tells nothing of other tools than those
    /// of its own source, and what was asked for is settled by asking for something else.
    #[must_use]
    pub fn after(&self, old: &ServerSpec, new: &ServerSpec) -> Self {
        let parts = |spec: &ServerSpec| (spec.code.clone(), spec.files.clone(), spec.dependencies.clone());
        let same_source = parts(old) == parts(new);
        Self {
            withheld: self.withheld.clone().filter(|_| old.permissions == new.permissions),
            recorded: self.recorded.clone().filter(|_| same_source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_does_not_touch() {
        let record = SavedServer { server_id: "server-a".into(), ..SavedServer::default() };
        let of_record =
            Provenance { withheld: Some(Withheld::new(&record, None)), recorded: Some(Arc::new(Toolset::default())) };
        let (old, code) = (ServerSpec::default(), ServerSpec { code: "x".into(), ..ServerSpec::default() });
        let permissions = Permissions { env: vec!["A".into()], ..Permissions::default() };
        let wider = ServerSpec { permissions, ..ServerSpec::default() };
        let left = |new: &ServerSpec| {
            let after = of_record.after(&old, new);
            (after.withheld.is_some(), after.recorded.is_some())
        };
        assert_eq!([left(&old), left(&code), left(&wider)], [(true, true), (true, false), (false, true)]);
    }
}
