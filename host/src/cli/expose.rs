use clap::Args;

use super::{Common, output};
use crate::{
    app::Exposed,
    exit::{Exit, Failure},
    exposure::Wish,
};

/// Show or hide the tools of a saved server in the list that clients get
///
/// Hosts that run take it up within seconds. Without a choice the configuration decides: `[exposure]`.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  perennial expose \"My server\" --tools add,multiply\n  perennial expose \"My server\" --hide"
)]
pub(super) struct Expose {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// Only these tools
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',', conflicts_with = "hide")]
    tools: Option<Vec<String>>,
    /// None of its tools
    #[arg(long)]
    hide: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Expose {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let (config, directories) = common.open()?;
        let wish = match (self.hide, self.tools) {
            (true, _) => Wish::Hide,
            (false, Some(tools)) => Wish::Tools(tools),
            (false, None) => Wish::Show,
        };
        let exposed = crate::app::expose(config, directories, &self.server, wish).map_err(|failure| {
            failure.context(format!("failed to change which tools of `{}` are listed", self.server))
        })?;
        output::print(&if self.json { output::json(&exposed)? } else { render(&exposed) })?;
        Ok(Exit::Done)
    }
}

/// What is listed now, for people.
pub(super) fn render(exposed: &Exposed) -> String {
    match exposed.tools.as_slice() {
        [] => format!("no tool of {} is listed\n", exposed.server_id),
        tools => tools.iter().map(|tool| format!("{tool}\n")).collect(),
    }
}
