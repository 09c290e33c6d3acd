//! What confines a process on Linux: namespaces by bubblewrap where they can be had, and always Landlock, seccomp,
//! resource limits, no capabilities and no way to gain any. Its caps are kept by a cgroup, or else by a watchdog.

mod births;
mod bubblewrap;
mod calls;
mod cgroup;
mod entry;
mod files;
mod gate;
mod init;
mod limits;
mod measures;
mod namespaces;
mod places;
mod privileges;
mod usage;
mod watchdog;

pub(super) use births::Births;
pub(super) use bubblewrap::Bubblewrap;
pub(super) use cgroup::{Cgroup, delegated};
pub(super) use entry::{Entry, Site, is_machine_root};
pub(super) use gate::open_gate;
pub use init::run_init;
pub(super) use limits::{hurry, settle, stay_awake};
pub(super) use namespaces::Namespaces;
pub(super) use places::shows;
pub(super) use watchdog::Watchdog;
