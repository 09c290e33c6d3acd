use clap::Args;
use perennial_sdk::Version;

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Write a saved server as one file, to standard output
///
/// The file is JSON: the source, what it depends on and what that was resolved to, its permissions and its tools, with a
/// checksum. It holds names of environment variables, never their values; it names who saved each version.
#[derive(Args)]
#[command(after_help = "Examples:\n  perennial export \"My server\" > my-server.json\n  \
                        perennial export server-abc123 --history > all-versions.json")]
pub(super) struct Export {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// An older version [default: the newest]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// With all the versions before it
    #[arg(long)]
    history: bool,
    /// As JSON, which it is in any case
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let Self { server, version, history, json: _ } = self;
        let (config, directories) = common.open()?;
        let bundle = crate::app::export(config, directories, &server, version.map(Version), history)
            .map_err(|failure| failure.context(format!("failed to export `{server}`")))?;
        output::print(&output::json(&bundle)?)?;
        Ok(Exit::Done)
    }
}
