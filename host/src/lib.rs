//! Perennial: MCP servers that come back. `ARCHITECTURE.md` is the map of this crate.

pub mod app;
mod blocking;
pub mod bounds;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod current;
pub mod environment;
pub mod exit;
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
pub mod plugins;
pub mod schema;
pub mod sources;
pub mod supervisor;
pub mod toolchain;
pub mod tools;
pub mod toolset;
