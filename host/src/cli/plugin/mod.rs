mod add;
mod check;
mod inspect;
mod list;
mod new;
mod pin;
mod remove;
mod setting;

use clap::Subcommand;

use super::{Common, output};
use crate::exit::{Exit, Failure};

#[cfg(test)]
pub(super) use self::{check::render as render_tried, list::render};

/// Plugins: languages, storages and tools of others
#[derive(Subcommand)]
pub(super) enum Command {
    List(list::List),
    Inspect(inspect::Inspect),
    Check(check::Check),
    Add(add::Add),
    Pin(pin::Pin),
    Remove(remove::Remove),
    New(new::New),
    /// The process that `check` tries a plugin in
    #[command(name = "__try", hide = true)]
    Try,
}

impl Command {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        match self {
            Self::List(list) => list.run(common),
            Self::Inspect(inspect) => inspect.run(),
            Self::Check(check) => check.run(common),
            Self::Add(add) => add.run(common),
            Self::Pin(pin) => pin.run(common),
            Self::Remove(remove) => remove.run(common),
            Self::New(new) => new.run(),
            Self::Try => check::carry_out(common),
        }
    }
}

/// What must happen before a change of `[plugins]` counts.
const TAKEN_UP: &str = "a running host takes it up at its next start; on SIGHUP it only says that it needs one\n";
