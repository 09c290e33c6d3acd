//! What the end of a process means.

use rustix::process::WaitStatus;
use signal_hook::consts::{SIGKILL, SIGXFSZ};

use super::{Confinement, ExitCause};

pub(super) fn cause(status: WaitStatus) -> ExitCause {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitCause::Exited(code),
        (None, signal) => ExitCause::Signaled(signal.unwrap_or(0)),
    }
}

/// How many processes the kernel has killed for want of memory since the machine started.
pub(super) fn oom_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()
}

/// What the kernel knows of the end of a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// It killed for want of memory meanwhile.
    pub(super) out_of_memory: bool,
    /// It refused to start a process of the tree.
    pub(super) out_of_processes: bool,
}

/// The kernel's own limits end a process by a signal, or by an error that it does not survive: says which limit it was.
pub(super) fn explain(cause: ExitCause, confinement: Option<&Confinement>, seen: Circumstances) -> ExitCause {
    let Some(caps) = confinement.map(|confinement| confinement.caps) else { return cause };
    match cause {
        ExitCause::Signaled(SIGXFSZ) if caps.disk_bytes.is_some() => ExitCause::DiskFull,
        ExitCause::Signaled(SIGKILL) if seen.out_of_memory => ExitCause::OutOfMemory,
        ExitCause::Signaled(_) | ExitCause::Exited(1..) if seen.out_of_processes => ExitCause::TooManyProcesses,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Caps;

    #[test]
    fn limits_of_the_kernel_are_told_from_other_ends() {
        let capped = Confinement { caps: Caps { disk_bytes: Some(1), ..Caps::default() }, ..Confinement::default() };
        let nothing = Circumstances::default();
        let memory = Circumstances { out_of_memory: true, ..nothing };
        let processes = Circumstances { out_of_processes: true, ..nothing };
        let explained = |cause, seen| explain(cause, Some(&capped), seen);
        assert_eq!(explained(ExitCause::Signaled(SIGXFSZ), nothing), ExitCause::DiskFull);
        assert_eq!(explained(ExitCause::Signaled(SIGKILL), nothing), ExitCause::Signaled(SIGKILL));
        assert_eq!(explained(ExitCause::Signaled(SIGKILL), memory), ExitCause::OutOfMemory);
        assert_eq!(explained(ExitCause::Exited(1), memory), ExitCause::Exited(1));
        assert_eq!(explained(ExitCause::Exited(1), processes), ExitCause::TooManyProcesses);
        assert_eq!(explained(ExitCause::Exited(0), processes), ExitCause::Exited(0));
        assert_eq!(explain(ExitCause::Signaled(SIGKILL), None, memory), ExitCause::Signaled(SIGKILL));
    }
}
