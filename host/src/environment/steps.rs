use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use perennial_sdk::{Cx, Description, Error, ErrorCode, Result, Stage, Step};
use serde_json::json;

use super::{BUILDING, Registries, output, placeholders::Placeholders, server};
use crate::supervisor::{Finished, ProcessSpec, Supervisor};

/// Bytes of what a compiler says that are kept.
const MAX_SAID: usize = 64 << 10;

/// Runs the steps of a plan.
pub(super) struct Steps<'a> {
    pub(super) supervisor: &'a Arc<Supervisor>,
    pub(super) registries: &'a Registries,
    pub(super) cx: &'a Cx,
    pub(super) runtime_id: &'a str,
    pub(super) description: &'a Description,
    /// Why nothing can be run: a program that is no longer there.
    pub(super) missing: Option<&'a Error>,
    /// Where the progress of these steps begins; each takes 1.
    pub(super) progress_from: f64,
}

impl Steps<'_> {
    /// Runs them one after the other in `work`.
    pub(super) async fn run(&self, steps: &[Step], places: &Placeholders, work: &Path) -> Result<()> {
        if let Some(missing) = self.missing.filter(|_| !steps.is_empty()) {
            return Err(missing.clone());
        }
        for (number, step) in steps.iter().enumerate() {
            server::write_files(work, &step.files).await?;
            if let Some(registry) = &step.network {
                server::write_files(work, &self.registries.files(registry)).await?;
            }
            let finished = self.step(step, self.progress_from + number as f64, places, work).await?;
            if !finished.exit.success() {
                return Err(self.failure(step, &finished));
            }
        }
        Ok(())
    }

    async fn step(&self, step: &Step, progress: f64, places: &Placeholders, work: &Path) -> Result<Finished> {
        let doing = self.doing(step);
        self.cx.progress(progress, None, &doing);
        let (program, args, env) = places.command(&step.command)?;
        let mut environment = bare_environment(&program, work);
        if let Some(registry) = &step.network {
            environment.extend(self.registries.environment(registry));
        }
        environment.extend(env);
        let spec = ProcessSpec { label: doing.clone(), program, args, env: environment, cwd: work.to_path_buf() };
        let limit = Duration::from_secs(step.time_limit_s);
        let (mut lines, mut said) = (0.0, String::new());
        let show = |line: &str| {
            lines += 1.0;
            if self.builds_server() && said.len() < MAX_SAID {
                said.push_str(line);
                said.push('\n');
            }
            self.cx.progress(progress + lines / (lines + 1.0), None, format!("{doing}: {}", output::line(line)));
        };
        let run = self.supervisor.run(self.cx, spec, limit, show).await;
        let finished = run.map_err(|error| self.explained(error))?;
        // the first errors of a compiler count, not the last
        Ok(if said.is_empty() { finished } else { Finished { tail: said, ..finished } })
    }

    fn doing(&self, step: &Step) -> String {
        let what = if self.builds_server() { "the server".into() } else { format!("{} packages", self.runtime_id) };
        format!("{} {what}", doing(step.stage))
    }

    fn builds_server(&self) -> bool {
        self.progress_from >= BUILDING
    }

    fn failure(&self, step: &Step, finished: &Finished) -> Error {
        if self.builds_server() {
            return self.rejection(step, finished);
        }
        let text = format!("{}\n{}", String::from_utf8_lossy(&finished.stdout), finished.tail);
        let tail = output::tail(if finished.tail.trim().is_empty() { &text } else { &finished.tail });
        let code = if step.network.is_some() { ErrorCode::Unavailable } else { ErrorCode::Invalid };
        let mut error = Error::new(code, format!("the installer {} while {}", finished.exit, self.doing(step)));
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
        let doing = self.doing(step);
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
