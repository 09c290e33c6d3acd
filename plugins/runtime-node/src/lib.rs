//! Servers in TypeScript and JavaScript: source and dependencies become a plan of files, steps and a command.
//!
//! Types are stripped here, without the TypeScript compiler: they are not checked. Packages are installed by npm or pnpm,
//! without their scripts.

mod config;
mod description;
mod environment;
mod excerpt;
mod lock;
mod packages;
mod paths;
mod plan;
mod project;
mod requirement;
mod scan;
mod source;
mod strip;

use perennial_sdk::prelude::*;

pub use config::{Config, Installer};

/// The runtime for Node.
#[derive(Debug)]
pub struct Node {
    config: Config,
}

impl Plugin for Node {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        Ok(Self { config })
    }
}

impl LanguageRuntime for Node {
    fn describe(&self) -> Description {
        description::describe(&self.config)
    }

    fn plan(&self, _: &Cx, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
        plan::plan(&self.config, spec, toolchain)
    }
}

export_plugin!(node, Node: [runtime]);
