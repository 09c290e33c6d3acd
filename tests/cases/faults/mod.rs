//! The forty-five faults, each provoked through the real binary. A test's name begins with the number of its fault, and
//! `docs/faults.md` is the table of them.

mod arguments;
mod children;
mod confined;
mod dependencies;
mod host;
mod hostile;
mod http;
mod import;
mod plugins;
mod processes;
mod protocol;
mod soak;
mod storage;
mod store;
mod table;
mod time;
