use perennial_sdk::{Cx, ServerId};
use serde::Serialize;

use super::command::with_app;
use crate::{
    config::{Config, Directories},
    exit::Failure,
    exposure::Wish,
};

/// Which tools of a saved server stand in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposed {
    /// The server.
    pub server_id: ServerId,
    /// Its tools that are listed, as they are called there.
    pub tools: Vec<String>,
    /// Tools of any server that the list has no room for.
    pub left_out: usize,
}

/// Shows or hides tools of a saved server.
///
/// # Errors
/// There is none, or several have the name; `not_found` for a tool that it does not have; those of the storage.
pub fn expose(config: Config, directories: Directories, reference: &str, wish: Wish) -> Result<Exposed, Failure> {
    with_app(config, directories, async |app| {
        let server_id = app.host.library.find(&Cx::detached(), reference).await?;
        app.host.exposure.refresh(&app.host.library).await?;
        let shown = app.host.exposure.wish(&server_id, wish).await?;
        let tools = shown.names_of(&server_id).into_iter().map(str::to_owned).collect();
        Ok(Exposed { server_id, tools, left_out: shown.left_out })
    })
}
