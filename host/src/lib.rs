//! Perennial: MCP servers that come back. `ARCHITECTURE.md` is the map of this crate.

pub mod cli;
pub mod config;
pub mod environment;
pub mod exit;
pub mod log;
pub mod supervisor;
pub mod toolchain;
