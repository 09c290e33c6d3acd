//! What the command line asks of the program. The composition root takes the place of this file.

use perennial_sdk::{Error, SavedServer, Summary, Version};
use serde_json::{Map, Value};

use crate::{
    config::{Config, Directories},
    exit::Failure,
};

/// Serves MCP on standard input and output until the former ends.
pub fn serve(_: Config, _: Directories) -> Result<(), Failure> {
    Err(absent())
}

/// Shows a server's life; `say` gets each line for the person who watches.
pub fn tour(_: Config, _: Directories, _say: &mut dyn FnMut(&str) -> Result<(), Error>) -> Result<(), Failure> {
    Err(absent())
}

/// Every saved server.
pub fn saved(_: Config, _: Directories) -> Result<Vec<Summary>, Failure> {
    Err(absent())
}

/// One saved server by name or id, and the numbers of its versions.
pub fn saved_server(
    _: Config,
    _: Directories,
    _server: &str,
    _: Option<Version>,
) -> Result<(SavedServer, Vec<Version>), Failure> {
    Err(absent())
}

/// Starts a saved server, calls a tool of it, and answers MCP's result.
pub fn call(_: Config, _: Directories, _server: &str, _tool: &str, _: Map<String, Value>) -> Result<Value, Failure> {
    Err(absent())
}

/// Deletes a saved server by name or id, and answers what it was and the tombstone's number.
pub fn remove(_: Config, _: Directories, _server: &str) -> Result<(Summary, Version), Failure> {
    Err(absent())
}

fn absent() -> Failure {
    Error::unsupported("this build has no host in it").into()
}
