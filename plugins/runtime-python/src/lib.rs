//! Servers in Python: source and dependencies become a plan of files, steps and a command.
//!
//! Environments are made by uv when the host finds it, and else by the pip that comes with Python. Only wheels are
//! installed, so that no stranger's `setup.py` runs, unless the operator allows it (`sdists`).

mod config;
mod description;
mod environment;
mod lock;
mod modules;
mod plan;
mod range;
mod requirement;
mod script;
mod sdk_versions;
mod source;

use perennial_sdk::prelude::*;

pub use config::{Config, Installer};

/// The Python runtime.
#[derive(Debug)]
pub struct Python {
    config: Config,
}

impl Plugin for Python {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        Ok(Self { config })
    }
}

impl LanguageRuntime for Python {
    fn describe(&self) -> Description {
        description::describe(&self.config)
    }

    fn plan(&self, _: &Cx, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
        plan::plan(spec, toolchain, self.config.sdists)
    }
}

export_plugin!(python, Python: [runtime]);
