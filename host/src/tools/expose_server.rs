use perennial_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{BuiltIn, Call, Effect};
use crate::{
    exposure::Wish,
    mcp::{Reply, Said},
};

pub(super) struct ExposeServer;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// The saved server's id, or its name when only one has it.
    saved_server_id: String,
    /// Only these of its tools; all when left out.
    #[serde(default)]
    tools: Option<Vec<String>>,
    /// Takes its tools out of the list.
    #[serde(default)]
    hide: bool,
}

impl BuiltIn for ExposeServer {
    const NAME: &'static str = "expose-server";
    const TITLE: &'static str = "Show or hide the tools of a saved server";
    const DESCRIPTION: &'static str = "Puts the tools of a saved server into this server's own tool list, in this and every \
        later session, or takes them out with `hide`. Hidden tools can still be called with `execute-tool`.";
    const EFFECT: Effect = Effect::Adds;
    const DOING: &'static str = "change which tools are listed";
    type Arguments = Arguments;

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let wish = match (arguments.hide, arguments.tools) {
            (true, Some(_)) => {
                return Err(Error::invalid("`hide` and `tools` together mean nothing")
                    .hint("`tools` alone shows just these, `hide` alone shows none"));
            }
            (true, None) => Wish::Hide,
            (false, Some(tools)) => Wish::Tools(tools),
            (false, None) => Wish::Show,
        };
        let id = call.host.library.find(&call.cx(), &arguments.saved_server_id).await?;
        // what is known may be older than the save that is meant
        call.host.exposure.refresh(&call.host.library).await?;
        let shown = call.host.exposure.wish(&id, wish.clone()).await?;
        let names = shown.names_of(&id);
        let text = match (&wish, names.as_slice()) {
            (Wish::Hide, _) => format!("the tools of {id} are hidden; `execute-tool` still calls them"),
            (_, []) => format!(
                "the tools of {id} have no room in the list, or are turned off by `[exposure]` in the \
                                configuration; `find-tools` finds them, `execute-tool` calls them"
            ),
            (_, names) => format!("listed from now on: {}", names.join(", ")),
        };
        let facts = json!({ "savedServerId": id, "exposed": names, "leftOut": shown.left_out });
        Ok(Said::new(text, facts).into())
    }
}
