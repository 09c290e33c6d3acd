//! What the cases share: a home with folders of its own, a host that runs in it, and a look at the process table.

mod fixtures;
mod home;
mod host;
mod http;
mod memory;
mod network;
mod processes;
mod registry;
mod reply;
pub mod s3;
mod vitals;

pub use fixtures::{echo_server, misbehaving_server, requests_server, serve_file, with_mark};
pub use home::TestHome;
pub use host::{LONGEST_BUILD, TestHost};
pub use http::{Answer, HttpClient, HttpHost};
pub use memory::{Memory, tree};
pub use network::{with_mounts, without_network};
pub use processes::{carrying, wait_until, wait_until_gone};
pub use registry::FixtureRegistry;
pub use reply::Reply;
pub use vitals::Vitals;

use std::path::PathBuf;

/// The folder `tests`.
pub fn tests_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests").canonicalize().unwrap()
}

/// A program of the machine.
pub fn on_path(name: &str) -> PathBuf {
    let folders = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect::<Vec<_>>();
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("`{name}` is not on PATH"))
}

/// A folder or file that `tests/run` installed.
///
/// # Panics
/// When it is not there.
pub fn installed(path: &str) -> PathBuf {
    let path = tests_dir().join(".cache").join(path);
    assert!(path.exists(), "{} is missing: `tests/run` installs it", path.display());
    path
}
