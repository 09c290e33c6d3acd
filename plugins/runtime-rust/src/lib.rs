//! Servers in Rust: source and dependencies become a plan of files, steps and a command.
//!
//! Dependencies are compiled once for each set of them, by cargo, and sealed. The crate of a server is compiled by `rustc`
//! alone against what is there, which takes a fraction of a second, and kept by its content. Scripts of dependencies
//! (`build.rs`, procedural macros) cannot be switched off in cargo: they run with a scrubbed environment and an own home,
//! without the network's settings and credentials, but so far with the rights of the user.

mod config;
mod dependency;
mod description;
mod environment;
mod imports;
mod kit;
mod layout;
mod lock;
mod manifest;
mod plan;
mod requirement;

use perennial_sdk::prelude::*;

pub use config::Config;

/// The Rust runtime.
#[derive(Debug)]
pub struct Rust {
    config: Config,
}

impl Plugin for Rust {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        Ok(Self { config })
    }
}

impl LanguageRuntime for Rust {
    fn describe(&self) -> Description {
        description::describe(&self.config)
    }

    fn plan(&self, _: &Cx, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
        plan::plan(&self.config, spec, toolchain)
    }
}

export_plugin!(rust, Rust: [runtime]);
