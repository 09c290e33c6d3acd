use std::{io, process::ExitCode};

use rustix::process::{WaitOptions, wait};
use signal_hook::consts::signal::SIGCHLD;

use crate::supervisor::descriptors::let_go_of_output;

/// The first process inside bubblewrap's namespaces (`perennial __init`): as long as it is there they are, and when it ends
/// the kernel kills everything inside. Orphans come to it; since it ignores their deaths, the kernel reaps them.
///
/// Descriptor 0 is its lifeline: it ends with whoever holds the other end, which is the sidecar.
pub fn run_init() -> ExitCode {
    #[expect(unsafe_code, reason = "no crate sets a signal to be ignored")]
    // SAFETY: changes what becomes of one signal, and sets no handler.
    unsafe {
        libc::signal(SIGCHLD, libc::SIG_IGN)
    };
    // Those that came before, and died.
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    // What it holds of the sidecar's does not matter to anybody.
    let _ = let_go_of_output();
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    ExitCode::SUCCESS
}
