use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// How a process tree ended; recorded once and told to everyone who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Why the tree is gone.
    pub cause: ExitCause,
    /// How long the main process was up.
    pub after: Duration,
}

/// Why a process tree ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// The main process ended by itself with this code.
    Exited(i32),
    /// The main process was ended by this signal, which the host did not send.
    Signaled(i32),
    /// The host asked for the end.
    Stopped,
    /// The tree used more memory than it may, and was killed.
    OutOfMemory,
    /// The tree had more processes and threads than it may, and was killed.
    TooManyProcesses,
    /// The tree wrote more to the disk than it may, and was killed.
    DiskFull,
    /// Somebody killed the sidecar; the host killed what it left behind.
    SidecarKilled,
}

impl Exit {
    /// Whether the main process ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.cause == ExitCause::Exited(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Signaled(signal) => match signal_hook::low_level::signal_name(signal) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {signal}"),
            },
            Self::Stopped => f.write_str("was stopped"),
            Self::OutOfMemory => f.write_str("ran out of memory"),
            Self::TooManyProcesses => f.write_str("started too many processes"),
            Self::DiskFull => f.write_str("filled the disk space that it may use"),
            Self::SidecarKilled => f.write_str("was ended because its sidecar was killed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_sentence_after_the_name() {
        let texts = [ExitCause::Exited(3), ExitCause::Signaled(11), ExitCause::Signaled(63), ExitCause::Stopped]
            .map(|cause| cause.to_string());
        assert_eq!(texts, ["exited with code 3", "was killed by SIGSEGV", "was killed by signal 63", "was stopped"]);
    }
}
