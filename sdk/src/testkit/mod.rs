//! The suites that every plugin must pass.

mod dice;
mod history;
mod medium;
mod objects;
mod replay;
mod runtime;
mod storage;
mod tools;
mod torture;

use serde_json::Value;

pub use self::{
    dice::Dice,
    history::{Event, Found, Tally},
    medium::assert_objects,
    objects::{Fault, Faults, FaultyObjects, MemoryObjects},
    replay::replay,
    runtime::assert_runtime,
    storage::StorageSuite,
    tools::assert_tools,
    torture::{Torture, Tortured},
};
use crate::Exported;

/// What a check found wrong.
type Check = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
use ensure;

/// Opens the storage `P` with `config`, in a home of its own for every check, and panics with the list of all that it
/// does not do as [`Storage`](crate::Storage) says.
///
/// The library need not be empty: every check uses ids of its own. Opened twice with the same configuration and home,
/// a storage must show the same library.
pub fn assert_storage<P: Exported>(config: Value) {
    StorageSuite::new(config).run::<P>();
}
