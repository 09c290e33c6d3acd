use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::output;
use crate::{
    exit::{Exit, Failure},
    plugins::scaffold::{self, Id, Scaffold, Sdk, scaffold},
};

/// Write the crate of a new plugin, which compiles and passes its tests as it is
///
/// It is a library for the host's own process, and a program that does the same out of process.
#[derive(Args)]
#[command(after_help = "Example: perennial plugin new --kind tools hello && cd hello && cargo test")]
pub(in crate::cli) struct New {
    /// The plugin's name: a lowercase letter, and then lowercase letters, digits and `-`
    name: Id,
    /// What it provides
    #[arg(long)]
    kind: Kind,
    /// The folder of the crate `perennial-sdk` [default: the one of this version, from crates.io]
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
    /// The folder in which the crate's folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A language that servers can be written in
    Runtime,
    /// A place for saved servers
    Storage,
    /// Tools beside the built-in ones
    Tools,
}

impl New {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Self { name, kind, sdk, into } = self;
        let kind = match kind {
            Kind::Runtime => scaffold::Kind::Runtime,
            Kind::Storage => scaffold::Kind::Storage,
            Kind::Tools => scaffold::Kind::Tools,
        };
        let sdk = sdk.map_or(Sdk::OfThisVersion, Sdk::Folder);
        let made = scaffold(kind, &name, &sdk, &into).map_err(|error| error.context("failed to write the plugin"))?;
        output::print(&render(&name, &made))?;
        Ok(Exit::Done)
    }
}

fn render(name: &Id, made: &Scaffold) -> String {
    let Scaffold { folder, library } = made;
    let folder = folder.strip_prefix(".").unwrap_or(folder);
    let name = name.as_str();
    let built = Path::new("target/release").join(library);
    output::plain(&format!(
        "wrote {folder}\n\
         next:\n  \
         cd {folder}\n  \
         cargo test\n  \
         cargo build --release\n  \
         perennial plugin check {built}\n  \
         perennial plugin add {name} --path {built}\n",
        folder = folder.display(),
        built = built.display(),
    ))
}
