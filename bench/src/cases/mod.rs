//! What is measured: one file each.

pub(crate) mod boundary;
mod call;
mod confine;
mod create;
mod create_node;
mod create_rust;
mod first_call;
mod first_list;
mod initialize;
mod library;
mod memory;
mod save;
mod siblings;
mod throughput;
mod twenty;

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
    /// The same in TypeScript and JavaScript.
    CreateNode,
    /// The same in Rust.
    CreateRust,
    /// PSS of the host when it is idle.
    Memory,
    /// Twenty servers created at once: time and memory.
    Twenty,
    /// A save with 10, 1,000 and 10,000 servers saved already.
    Save,
    /// Start-up and list with 10,000 saved servers.
    Library,
    /// A call of a plugin: built in, native, out of process.
    Boundary,
    /// What confining a process adds to its start, and to the calls of a server.
    Confine,
    /// Calls of a server while another one attacks.
    Siblings,
    /// From spawn to the first list of tools with those of 100 saved servers.
    FirstList,
    /// The first call of a saved server's tool in a new session.
    FirstCall,
}

impl Case {
    pub(crate) const ALL: [Self; 15] = [
        Self::Initialize,
        Self::Call,
        Self::Throughput,
        Self::Create,
        Self::CreateNode,
        Self::CreateRust,
        Self::Memory,
        Self::Twenty,
        Self::Save,
        Self::Library,
        Self::Boundary,
        Self::Confine,
        Self::Siblings,
        Self::FirstList,
        Self::FirstCall,
    ];

    pub(crate) fn run(self, peers: &Peers, quick: bool, report: &mut Report) -> Result<()> {
        match self {
            Self::Initialize => initialize::run(peers, quick, report),
            Self::Call => call::run(peers, quick, report),
            Self::Throughput => throughput::run(peers, quick, report),
            Self::Create => create::run(peers, quick, report),
            Self::CreateNode => create_node::run(peers, quick, report),
            Self::CreateRust => create_rust::run(peers, quick, report),
            Self::Memory => memory::run(peers, quick, report),
            Self::Twenty => twenty::run(peers, quick, report),
            Self::Save => save::run(peers, quick, report),
            Self::Library => library::run(peers, quick, report),
            Self::Boundary => boundary::run(peers, quick, report),
            Self::Confine => confine::run(peers, quick, report),
            Self::Siblings => siblings::run(peers, quick, report),
            Self::FirstList => first_list::run(peers, quick, report),
            Self::FirstCall => first_call::run(peers, quick, report),
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
            Self::CreateNode => "create-node",
            Self::CreateRust => "create-rust",
            Self::Memory => "memory",
            Self::Twenty => "twenty",
            Self::Save => "save",
            Self::Library => "library",
            Self::Boundary => "boundary",
            Self::Confine => "confine",
            Self::Siblings => "siblings",
            Self::FirstList => "first-list",
            Self::FirstCall => "first-call",
        })
    }
}

/// Arguments of the echo tool with so many bytes in them.
fn arguments(bytes: usize) -> Value {
    let text: String = "words of some length and nothing to escape, ".chars().cycle().take(bytes).collect();
    json!({ "message": text })
}
