//! Perennial's speed and memory, measured through the real binary with peers side by side: see `README.md`.

mod cases;
mod client;
mod echo;
mod environment;
mod node;
mod peers;
mod relay;
mod report;
mod samples;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use perennial_sdk::{Error, Result};

use crate::{cases::Case, peers::Peers, report::Report};

/// Measures Perennial's release binary against its targets and its peers, in one run.
///
/// `cargo run --release -p perennial-bench -- [--quick] [NAME…]`
#[derive(Parser)]
struct Arguments {
    /// What to measure; everything without a name.
    #[arg(value_enum)]
    names: Vec<Case>,
    /// A tenth of the repetitions: to see whether something broke, not to quote.
    #[arg(long)]
    quick: bool,
    /// Writes the figures here, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The binary to measure, instead of the one that `cargo build --release` makes.
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut own = std::env::args().skip(1);
    let done = match own.next().as_deref() {
        Some(echo::WORD) => echo::run(),
        Some(relay::WORD) => relay::run(),
        Some(cases::boundary::WORD) => return perennial_sdk::serve::<perennial_faulty_plugin::Faulty>(),
        _ => measure(Arguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("perennial-bench: {error}");
            error.hint.iter().for_each(|hint| eprintln!("{hint}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: Arguments) -> Result<()> {
    if cfg!(debug_assertions) {
        return Err(Error::unsupported("a debug build measures itself").hint("run it with `--release`"));
    }
    let host = match arguments.host {
        Some(host) => host,
        None => environment::build_host()?,
    };
    let peers = Peers::new(host)?;
    let mut report = Report::new(environment::Environment::of_this_machine());
    let names = if arguments.names.is_empty() { Case::ALL.to_vec() } else { arguments.names };
    for case in names {
        eprintln!("{case} …");
        case.run(&peers, arguments.quick, &mut report).map_err(|error| error.context(case))?;
    }
    report.print()?;
    arguments.json.map_or(Ok(()), |file| report.save(&file))
}
