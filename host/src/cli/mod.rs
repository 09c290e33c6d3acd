//! The command line: one file per subcommand.

use std::process::ExitCode;

/// Runs the program.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "__run") {
        return crate::supervisor::run_sidecar();
    }
    ExitCode::SUCCESS
}
