//! What `fuzz/` throws bytes at.

pub use crate::{
    config::fuzzing::config,
    mcp::fuzzing::{downstream, upstream},
};
