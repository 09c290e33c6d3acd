//! Perennial: MCP servers that come back. `ARCHITECTURE.md` is the map of this crate.

mod blocking;
pub mod cli;
pub mod config;
pub mod environment;
pub mod supervisor;
pub mod toolchain;
