//! The machine, and the binary that is measured.

use std::path::PathBuf;

use perennial_sdk::{Error, Result};
use serde::Serialize;

use crate::peers::command;

/// What figures depend on.
#[derive(Serialize)]
pub(crate) struct Environment {
    pub(crate) commit: String,
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) python: String,
    pub(crate) node: String,
    /// Of the last minute, before the run: above the number of cores somebody else is working.
    pub(crate) load: String,
}

impl Environment {
    pub(crate) fn of_this_machine() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let first = |file: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.split_whitespace().next().unwrap_or("unknown").to_owned()
        };
        Self {
            commit: said("git", &["describe", "--always", "--dirty"]),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: processor.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: first("/proc/sys/kernel/osrelease"),
            rustc: said("rustc", &["--version"]),
            python: said("python3", &["--version"]),
            node: said("node", &["--version"]),
            load: first("/proc/loadavg"),
        }
    }
}

/// Brings the release binary up to date, so that nobody measures yesterday's.
///
/// # Errors
/// When this program was not started by cargo, or cargo fails.
pub(crate) fn build_host() -> Result<PathBuf> {
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Err(Error::invalid("nobody says which binary to measure")
            .hint("start this through `cargo run --release -p perennial-bench`, or pass `--host FILE`"));
    };
    let built = command(PathBuf::from(cargo)).args(["build", "--release", "--package", "perennial"]).status()?;
    let host = std::env::current_exe()?.with_file_name("perennial");
    match built.success() && host.is_file() {
        true => Ok(host),
        false => Err(Error::unavailable(format!("cargo made no `{}`", host.display()))),
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = command(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or("unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
