//! The suites that every plugin must pass.

mod runtime;

pub use runtime::assert_runtime;
