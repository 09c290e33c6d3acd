//! The suites that every plugin must pass.
