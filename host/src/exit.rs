//! How the program ends: scripts depend on these numbers.

use std::{fmt, process::ExitCode};

use perennial_sdk::{Error, ErrorCode};

use crate::config::ConfigError;

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It did not.
    Failed = 1,
    /// The command line cannot be used.
    Usage = 2,
    /// The configuration cannot be used.
    Configuration = 3,
    /// There is no such server, tool or version.
    NotFound = 4,
    /// A policy or a permission forbids it.
    Refused = 5,
}

/// Why the program ends early.
#[derive(Debug)]
pub enum Failure {
    /// The configuration cannot be used.
    Configuration(ConfigError),
    /// The command line cannot be used.
    Usage(Error),
    /// Anything else.
    Error(Error),
}

impl Failure {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Usage(_) => Exit::Usage,
            Self::Error(error) => Exit::from(&error.code),
        }
    }

    /// Puts what was being done in front of an error; a mistake in the file or on the command line stands alone.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        match self {
            Self::Error(error) => Self::Error(error.context(doing)),
            other => other,
        }
    }
}

impl From<&ErrorCode> for Exit {
    fn from(code: &ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Denied => Self::Refused,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(error) => error.fmt(f),
            Self::Usage(error) | Self::Error(error) => {
                error.fmt(f)?;
                error.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_errors_have_their_exit_codes() {
        let codes = [ErrorCode::NotFound, ErrorCode::Denied, ErrorCode::Invalid, ErrorCode::Other("odd".into())];
        assert_eq!(codes.each_ref().map(|code| Exit::from(code) as u8), [4, 5, 1, 1]);
        assert_eq!(Failure::from(ConfigError::new("wrong")).exit() as u8, 3);
        assert_eq!(Failure::Usage(Error::invalid("wrong")).exit() as u8, 2);
    }
}
