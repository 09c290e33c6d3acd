//! What a server may do: what it asks for, as far as the operator allows it.
//!
//! The operator's `[policy]` and `[limits]` are the ceiling. What a model asks for is granted whole or denied with the
//! lines that would allow it; what a saved server once got is granted as far as the ceiling still reaches, and the rest is
//! told.

mod difference;
mod folders;
mod granted;
mod limits;
mod network;
mod refusal;
#[cfg(test)]
mod tests;
mod variables;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use perennial_sdk::{Limits, Permissions, Result};

pub use difference::Difference;
pub use granted::{Bounds, Granted, Reachable};
pub use refusal::Refusal;

use crate::{
    config::{self, Config, Sandbox},
    supervisor::Strictness,
};

/// The most that any server may be granted.
#[derive(Debug, Clone)]
pub struct Ceiling {
    policy: config::Policy,
    limits: config::Limits,
    /// The file that says so, or in which it could be said.
    file: Option<PathBuf>,
    /// Variables that go before the file, by the setting.
    variables: BTreeMap<String, &'static str>,
}

/// Folders that no grant includes unless the operator lists just them.
#[derive(Debug, Clone, Default)]
pub struct Protected {
    /// The user's home: what is below it may be granted.
    pub home: Option<PathBuf>,
    /// Where Perennial keeps what is its own: configuration, library, cache, state.
    pub own: Vec<PathBuf>,
}

/// How what is above the ceiling is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Somebody asks for it now: all of it, or a denial.
    Asked,
    /// It was granted once, by this operator or another: as much of it as the ceiling has.
    Kept,
}

/// What the operator's ceiling makes of what is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What is below it.
    pub granted: Granted,
    /// What is above it.
    pub refused: Vec<Refusal>,
}

impl Ceiling {
    /// By the configuration in force.
    pub fn of(config: &Config) -> Self {
        let mut policy = config.policy.clone();
        for folder in policy.read.iter_mut().chain(&mut policy.write) {
            if !folder.starts_with("~") {
                *folder = config.resolve(folder);
            }
        }
        let file = config.file().map(Path::to_path_buf).or_else(config::usual_file);
        Self { policy, limits: config.limits.clone(), file, variables: config.overridden().clone() }
    }

    /// Puts what is asked for below the ceiling. It blocks when folders are asked for: links are followed now.
    ///
    /// # Errors
    /// When all of it was asked for and not all can be had: `denied`, or `invalid` where it makes no sense; the hint says
    /// what the operator would have to write.
    pub fn judge(
        &self,
        permissions: &Permissions,
        limits: &Limits,
        protected: &Protected,
        demand: Demand,
    ) -> Result<Judgement> {
        let mut refused = Vec::new();
        let granted = Granted {
            network: network::judge(&self.policy.network, &permissions.network, &mut refused),
            read: folders::read(&self.policy, &permissions.read, protected, &mut refused),
            write: folders::write(&self.policy, &permissions.write, protected, &mut refused),
            env: variables::judge(&self.policy.env, &permissions.env, &mut refused),
            bounds: limits::judge(&self.limits, limits, &mut refused),
        };
        match demand {
            Demand::Asked if !refused.is_empty() => Err(self.denial(&refused)),
            _ => Ok(Judgement { granted, refused }),
        }
    }

    /// How strictly servers are confined; none when they are not.
    pub fn strictness(&self) -> Option<Strictness> {
        match self.policy.sandbox {
            Sandbox::BestEffort => Some(Strictness::BestEffort),
            Sandbox::Require => Some(Strictness::Require),
            Sandbox::Off => None,
        }
    }

    /// The file that the operator would change.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What the operator would have to write so that nothing of this is refused.
    pub fn remedy(&self, refused: &[Refusal]) -> Option<String> {
        refusal::remedy(self, refused)
    }
}

impl Protected {
    /// The home of this process' user, and these folders of Perennial's.
    pub fn new(own: Vec<PathBuf>) -> Self {
        Self { home: etcetera::home_dir().ok().filter(|home| home.is_absolute()), own }
    }
}
