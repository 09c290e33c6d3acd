use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, output};
use crate::exit::{Exit, Failure};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example: perennial completions bash > ~/.local/share/bash-completion/completions/perennial")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "perennial", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
