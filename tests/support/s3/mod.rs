//! Real S3 servers on this machine, and a proxy that makes the way to them as bad as it gets. Shared by the tests of the
//! program and of the plugin `s3`.
#![allow(dead_code, reason = "each test program uses a part of it")]

mod proxy;
mod store;

#[allow(unused_imports, reason = "likewise")]
pub use self::{
    proxy::{Fault, Proxy},
    store::{Store, installed, unused_address},
};
