//! Real S3 servers on this machine, and a proxy that makes the way to them as bad as it gets. Shared by the tests of the
//! program and of the plugin `s3`.
#![allow(dead_code, reason = "each test program uses a part of it")]

mod proxy;
mod store;

pub use proxy::{Fault, Proxy};
pub use store::{BUCKET, Store, unused_address};
