use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use perennial_sdk::{Cx, Description, Error, ErrorCode, Result, Stage, Step, Toolchain};
use serde_json::json;

use super::{Registries, Roof, output, placeholders::Placeholders, server, stages::Stages};
use crate::{
    egress::Denial,
    supervisor::{Finished, ProcessSpec, Supervisor},
};

/// Bytes of what a compiler says that are kept.
const MAX_SAID: usize = 64 << 10;

/// A part of the way from a plan to a server that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Requirements become a lock.
    Resolving,
    /// A lock becomes an environment.
    Installing,
    /// The server's own source is built.
    Building,
}

/// Runs the steps of a plan.
pub(super) struct Steps<'a> {
    pub(super) supervisor: &'a Arc<Supervisor>,
    pub(super) registries: Arc<Registries>,
    pub(super) roof: Arc<Roof>,
    pub(super) toolchain: &'a Toolchain,
    pub(super) cx: &'a Cx,
    pub(super) runtime_id: &'a str,
    pub(super) description: &'a Description,
    /// Why nothing can be run: a program that is no longer there.
    pub(super) missing: Option<&'a Error>,
    /// What they do.
    pub(super) phase: Phase,
}

impl Phase {
    /// What all of the way comes to; starting the server is the rest.
    pub(super) const ALL: f64 = 100.0;

    /// Where its part of [`Phase::ALL`] begins and ends. How long it takes nobody knows, but it must only ever grow.
    pub(super) const fn span(self) -> (f64, f64) {
        match self {
            Self::Resolving => (0.0, 15.0),
            Self::Installing => (15.0, 75.0),
            Self::Building => (75.0, 95.0),
        }
    }
}

impl Steps<'_> {
    /// Runs them one after the other in `work`.
    pub(super) async fn run(&self, steps: &[Step], places: &Placeholders, work: &Path) -> Result<()> {
        if let Some(missing) = self.missing.filter(|_| !steps.is_empty()) {
            return Err(missing.clone());
        }
        let (from, to) = self.phase.span();
        let each = (to - from) / steps.len().max(1) as f64;
        for (number, step) in steps.iter().enumerate() {
            server::write_files(work, &step.files).await?;
            if let Some(registry) = &step.network {
                server::write_files(work, &self.registries.files(registry)).await?;
            }
            let from = from + each * number as f64;
            let (finished, denied) = self.step(step, (from, from + each), places, work).await?;
            if !finished.exit.success() {
                return Err(with_denials(self.failure(step, &finished), &denied));
            }
        }
        Ok(())
    }

    async fn step(
        &self,
        step: &Step,
        (from, to): (f64, f64),
        places: &Placeholders,
        work: &Path,
    ) -> Result<(Finished, Vec<Denial>)> {
        let mut stages = Stages::new(step.stage, self.doing(step.stage));
        self.cx.progress(from, Some(Phase::ALL), stages.doing());
        let (program, args, env) = places.command(&step.command)?;
        let mut environment = bare_environment(&program, work);
        if step.network.is_some() || !step.hosts.is_empty() {
            environment.extend(self.registries.environment(step.network.as_deref().unwrap_or_default()));
        }
        environment.extend(env);
        let label = stages.doing().to_owned();
        let confined = self.roof.over(step, &self.registries, self.toolchain, &environment, places, work)?;
        let confinement = confined.confinement;
        let spec = ProcessSpec { label, program, args, env: environment, cwd: work.to_path_buf(), confinement };
        let limit = Duration::from_secs(step.time_limit_s);
        let mut said = String::new();
        let show = |line: &str| {
            if self.phase == Phase::Building && said.len() < MAX_SAID {
                said.push_str(line);
                said.push('\n');
            }
            if let Some(told) = stages.read(line) {
                self.cx.progress(from + (to - from) * stages.fraction(), Some(Phase::ALL), told);
            }
        };
        let run = self.supervisor.run(self.cx, spec, limit, show).await;
        let denied = confined.traffic.map(|traffic| traffic.denials.all()).unwrap_or_default();
        let finished = run.map_err(|error| with_denials(self.explained(error), &denied))?;
        // the first errors of a compiler count, not the last
        Ok((if said.is_empty() { finished } else { Finished { tail: said, ..finished } }, denied))
    }

    fn doing(&self, stage: Stage) -> String {
        match self.phase {
            Phase::Building => format!("{} the server", doing(stage)),
            Phase::Resolving | Phase::Installing => format!("{} {} packages", doing(stage), self.runtime_id),
        }
    }

    fn failure(&self, step: &Step, finished: &Finished) -> Error {
        if self.phase == Phase::Building {
            return self.rejection(step, finished);
        }
        let text = format!("{}\n{}", String::from_utf8_lossy(&finished.stdout), finished.tail);
        let tail = output::tail(if finished.tail.trim().is_empty() { &text } else { &finished.tail });
        let code =
            if step.network.is_some() || !step.hosts.is_empty() { ErrorCode::Unavailable } else { ErrorCode::Invalid };
        let mut error = Error::new(code, format!("the installer {} while {}", finished.exit, self.doing(step.stage)));
        error.retryable = false;
        error.hint = output::hint(&self.description.hints, &text).map(Into::into);
        error.data = json!({ "stage": step.stage, "tail": tail });
        error.source.push(tail);
        error
    }

    /// What a compiler has against the server's own code.
    fn rejection(&self, step: &Step, finished: &Finished) -> Error {
        let text = if finished.tail.trim().is_empty() {
            String::from_utf8_lossy(&finished.stdout).into_owned()
        } else {
            finished.tail.clone()
        };
        let doing = self.doing(step.stage);
        let mut error = Error::invalid(format!("the compiler {} while {doing}", finished.exit));
        error.hint = output::hint(&self.description.hints, &text).map(Into::into);
        error.data = json!({ "stage": step.stage, "log": output::complaints(&text, &self.description.noise) });
        error
    }

    /// A step that was ended has no exit status that tells more than its last lines.
    fn explained(&self, mut error: Error) -> Error {
        let Some(tail) = error.data.get("tail").and_then(serde_json::Value::as_str) else { return error };
        let tail = output::tail(tail);
        error.hint = error.hint.or_else(|| output::hint(&self.description.hints, &tail).map(Into::into));
        error.data = json!({ "tail": tail });
        if !tail.is_empty() {
            error.source.push(tail);
        }
        error
    }
}

/// Says what a step asked for that it may not connect to: installers seldom say more than that something failed.
fn with_denials(mut error: Error, denied: &[Denial]) -> Error {
    if denied.is_empty() {
        return error;
    }
    let mut lines: Vec<_> = denied.iter().take(5).map(ToString::to_string).collect();
    lines.extend(error.hint.take());
    error.hint = Some(lines.join("\n"));
    if let serde_json::Value::Object(data) = &mut error.data {
        data.insert("denied".into(), json!(denied));
    }
    error
}

/// Nothing of the user's: a home and a temporary folder that end with the step, and no more programs than the system's.
fn bare_environment(program: &Path, work: &Path) -> BTreeMap<String, String> {
    let path = server::search_path(program);
    let work = work.to_string_lossy();
    let pairs = [("PATH", path.as_str()), ("HOME", &work), ("TMPDIR", &work), ("LANG", "C.UTF-8")];
    pairs.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolving => "resolving",
        Stage::Installing => "installing",
        Stage::Compiling => "compiling",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_sees_nothing_of_the_user() {
        let environment = bare_environment(Path::new("/opt/uv/bin/uv"), Path::new("/w"));
        assert_eq!(environment["HOME"], "/w");
        assert!(environment["PATH"].starts_with("/opt/uv/bin:"));
        assert_eq!(environment.len(), 4);
    }
}
