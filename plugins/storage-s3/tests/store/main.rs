//! The plugin on real stores, on bad ways to them, and on stores that must be refused.

#![allow(unreachable_pub, reason = "nothing is reachable from outside a test program")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which starts stores")]

#[path = "../../../../tests/support/s3/mod.rs"]
mod s3;

mod canned;
mod credentials;
mod errors;
mod faults;
mod flawed;
mod host;
mod probe;
mod requests;
