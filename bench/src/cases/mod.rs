//! What is measured: one file each.

pub(crate) mod boundary;
mod call;
mod create;
mod initialize;
mod memory;
mod throughput;

use std::fmt;

use clap::ValueEnum;
use perennial_sdk::Result;
use serde_json::{Value, json};

use crate::{peers::Peers, report::Report};

/// A name for the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// From spawn to the answer to `initialize`.
    Initialize,
    /// What the host adds to a call of a server's tool.
    Call,
    /// Calls a second with 64 in flight.
    Throughput,
    /// From the request to a new Python server that answers.
    Create,
    /// PSS of the host when it is idle.
    Memory,
    /// A call of a plugin: built in, native, out of process.
    Boundary,
}

impl Case {
    pub(crate) const ALL: [Self; 6] =
        [Self::Initialize, Self::Call, Self::Throughput, Self::Create, Self::Memory, Self::Boundary];

    pub(crate) fn run(self, peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
        match self {
            Self::Initialize => initialize::run(peers, quick, report),
            Self::Call => call::run(peers, quick, report),
            Self::Throughput => throughput::run(peers, quick, report),
            Self::Create => create::run(peers, quick, report),
            Self::Memory => memory::run(peers, quick, report),
            Self::Boundary => boundary::run(peers, quick, report),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initialize => "initialize",
            Self::Call => "call",
            Self::Throughput => "throughput",
            Self::Create => "create",
            Self::Memory => "memory",
            Self::Boundary => "boundary",
        })
    }
}

/// Arguments of the echo tool with so many bytes in them.
fn arguments(bytes: usize) -> Value {
    let text: String = "words of some length and nothing to escape, ".chars().cycle().take(bytes).collect();
    json!({ "message": text })
}
