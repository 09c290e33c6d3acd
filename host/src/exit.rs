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
    /// Anything else.
    Error(Error),
}

impl Failure {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Configuration(_) => Exit::Configuration,
            Self::Error(error) => Exit::from(&error.code),
        }
    }
}

impl From<&ErrorCode> for Exit {
    fn from(code: &ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::Denied => Self::Refused,
            ErrorCode::Invalid => Self::Usage,
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
            Self::Error(error) => {
                error.fmt(f)?;
                error.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
            }
        }
    }
}
