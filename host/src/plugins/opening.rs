use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use perennial_sdk::{Error, Result};
use serde_json::Value;
use tokio::{sync::SetOnce, task::AbortHandle};

use super::{Configured, Failed, Origin, Plugin, Surroundings};

/// A plugin of others, from when its opening begins. What begins it need not wait for its end; dropping it gives it up.
pub(super) struct Opening {
    pub(super) name: String,
    origin: Origin,
    outcome: Outcome,
    task: Option<AbortHandle>,
}

/// The plugin, or why it is not there; nothing as long as nobody knows.
pub(super) type Outcome = Arc<SetOnce<Result<Plugin, Failed>>>;

impl Opening {
    pub(super) fn begin(name: String, configured: Configured, config: Value, around: &Surroundings) -> Self {
        let source = match configured {
            Ok(source) => source,
            Err((origin, error)) => {
                let failed = Failed { name: name.clone(), origin: origin.clone(), error };
                let outcome = Arc::new(SetOnce::new_with(Some(Err(failed))));
                return Self { name, origin, outcome, task: None };
            }
        };
        let (origin, outcome) = (source.origin(), Outcome::default());
        let task = {
            let (name, origin, outcome, around) = (name.clone(), origin.clone(), outcome.clone(), around.clone());
            tokio::spawn(async move {
                let opened = AssertUnwindSafe(source.open(&name, config, &around)).catch_unwind().await;
                let opened = match opened.unwrap_or_else(|_| Err(Error::internal("its opening panicked"))) {
                    Ok(plugin) => Ok(Plugin { origin, ..plugin }),
                    Err(error) => Err(Failed { name, origin, error }),
                };
                let _ = outcome.set(opened);
            })
        };
        Self { name, origin, outcome, task: Some(task.abort_handle()) }
    }

    /// Whether it is a process: it may need long to come up, and hang.
    pub(super) fn is_process(&self) -> bool {
        matches!(self.origin, Origin::Command(_))
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.outcome.initialized()
    }

    pub(super) fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    pub(super) fn plugin(&self) -> Option<&Plugin> {
        self.outcome.get()?.as_ref().ok()
    }

    pub(super) fn failed(&self) -> Option<&Failed> {
        self.outcome.get()?.as_ref().err()
    }

    pub(super) fn give_up(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.give_up();
    }
}
