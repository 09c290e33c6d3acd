use std::io::IsTerminal;

use clap::Args;

use super::Common;
use crate::exit::{Exit, Failure};

/// Speak MCP on standard input and output, for a chat client
///
/// This is what a chat client starts. In the client's list of servers: {"command": "perennial", "args": ["serve"]}.
/// It ends, and every server with it, when standard input ends. SIGHUP has it read its configuration file again.
#[derive(Args)]
pub(super) struct Serve {}

impl Serve {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        // a terminal that hangs up means that everything shall end
        let reload = (!std::io::stdin().is_terminal()).then(|| common.reload());
        crate::app::serve(config, directories, reload)?;
        Ok(Exit::Done)
    }
}
