//! Descriptors that must not be where they are.

use std::{io, os::fd::AsFd};

/// What the host inherited from its own client (and did not open itself) must not reach a server.
pub(super) fn close_strangers_on_exec() {
    #[expect(unsafe_code, reason = "no crate wraps close_range")]
    // SAFETY: sets a flag on descriptors and closes none. A kernel before 5.11 refuses.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
}

/// Nobody would see the end of the program's output while its parent holds it, too.
pub(super) fn let_go_of_output() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(null.as_fd())?;
    rustix::stdio::dup2_stderr(null.as_fd())?;
    Ok(())
}
