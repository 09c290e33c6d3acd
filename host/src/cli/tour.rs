use clap::Args;

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Create a server, call it, save it, end it, bring it back: all of it here and now
///
/// Shows in a few seconds whether Perennial works on this machine. It works in a folder of its own, which it removes:
/// your library is not touched.
#[derive(Args)]
pub(super) struct Tour {}

impl Tour {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        crate::app::tour(config, directories, &mut |line| output::print(&format!("{}\n", output::plain(line))))?;
        Ok(Exit::Done)
    }
}
