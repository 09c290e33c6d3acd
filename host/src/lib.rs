//! Perennial: MCP servers that come back. `ARCHITECTURE.md` is the map of this crate.

pub mod app;
pub mod audit;
mod blocking;
pub mod bounds;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod current;
pub mod definitions;
pub mod egress;
pub mod environment;
pub mod exit;
pub mod exposure;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod identity;
pub mod launch;
pub mod library;
pub mod log;
pub mod mcp;
pub mod moving;
pub mod offers;
pub mod plugins;
pub mod policy;
mod private_file;
pub mod prompts;
pub mod resources;
pub mod rights;
pub mod schema;
pub mod secrets;
pub mod sources;
pub mod supervisor;
pub mod tokens;
pub mod toolchain;
pub mod tools;
pub mod toolset;
pub mod trust;
