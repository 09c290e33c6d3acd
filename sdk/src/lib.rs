//! Write plugins for [Perennial](https://github.com/perennial-mcp/perennial): MCP servers that come back.
//!
//! A plugin is one type that implements [`Plugin`] and at least one of the three kinds:
//!
//! - [`LanguageRuntime`]: turns a server's source and dependencies into a [`Plan`], plain data that the host carries out;
//! - [`Storage`]: keeps saved servers, their versions and nothing else (any object store can be one: see [`Objects`]);
//! - [`ToolProvider`]: adds tools to the host's own.
//!
//! [`export_plugin!`] makes it known to a host that links the crate, and exports it from a library or a program of its own
//! ([`serve`]). A whole plugin, a runtime for shell scripts:
//!
//! ```
//! use perennial_sdk::prelude::*;
//!
//! #[derive(Default, Deserialize)]
//! #[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
//! pub struct Config { shell: Option<String> }
//!
//! pub struct Shell { shell: String }
//!
//! impl Plugin for Shell {
//!     type Config = Config;
//!     async fn init(config: Config, _: Home) -> Result<Self> {
//!         Ok(Shell { shell: config.shell.unwrap_or_else(|| "sh".into()) })
//!     }
//! }
//!
//! impl LanguageRuntime for Shell {
//!     fn describe(&self) -> Description {
//!         Description::new([Language::new("shell", Template::new("exec cat"))])
//!             .program(Program::new("sh", [self.shell.clone()]))
//!     }
//!     fn plan(&self, _: &Cx, spec: &ServerSpec, _: &Toolchain) -> Result<Plan> {
//!         if !spec.dependencies.is_empty() {
//!             return Err(Error::unsupported("a shell server has no dependencies"));
//!         }
//!         Ok(Plan::run(CommandLine::new("{sh}").arg("{server}/main.sh"))
//!             .file("main.sh", &spec.code))
//!     }
//! }
//!
//! export_plugin!(shell, Shell: [runtime]);
//! # fn main() {}
//! ```
//!
//! A test of one line runs the suite that every plugin of its kind must pass:
//!
//! ```no_run
//! # use perennial_sdk::Exported;
//! # fn all<Shell: Exported, Notes: Exported, Clock: Exported>() {
//! perennial_sdk::testkit::assert_runtime::<Shell>(serde_json::json!({}));
//! perennial_sdk::testkit::assert_storage::<Notes>(serde_json::json!({}));
//! perennial_sdk::testkit::assert_tools::<Clock>(serde_json::json!({}));
//! # }
//! ```

#[doc(hidden)]
pub mod abi;
#[doc(hidden)]
pub mod body;
mod context;
mod dispatch;
mod error;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod glue;
mod library;
#[doc(hidden)]
pub mod manifest;
#[doc(hidden)]
pub mod method;
mod object_storage;
mod objects;
mod packages;
mod plan;
mod plugin;
#[doc(hidden)]
pub mod rpc;
mod runtime;
mod spec;
mod stdio;
mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tool;
mod upkeep;

pub use context::{Cx, Progress};
pub use error::{Error, ErrorCode, Result};
pub use library::{Newest, ObjectLibrary, Stored};
pub use manifest::Manifest;
pub use object_storage::ObjectStorage;
pub use objects::{Created, ObjectMeta, Objects};
pub use plan::{CommandLine, Environment, File, Plan, Resolve, Stage, Step};
#[doc(hidden)]
pub use plugin::open_plugin;
pub use plugin::{BoxFuture, Exported, Home, NoConfig, Opened, Plugin, Registration, registrations};
pub use runtime::{Description, Hint, Language, LanguageRuntime, Program, ProgramHome, Template, Tool, Toolchain};
pub use spec::{Dependencies, Limits, Network, Permissions, ServerId, ServerSpec};
pub use stdio::serve;
pub use storage::{
    Capabilities, ClientIdentity, DynStorage, Expected, HostIdentity, Listing, Page, PutId, SavedBy, SavedServer,
    Storage, Summary, Version, check_by_reading,
};
pub use tool::{DynTools, ToolDefinition, ToolProvider};
pub use upkeep::{Checked, Collected, CollectedServer, Finding, FindingKind, Retention};

#[doc(hidden)]
pub use {inventory, serde, serde_json};

/// The version of this crate, as plugins that are built with it tell it.
#[doc(hidden)]
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// What a plugin's source needs in scope.
pub mod prelude {
    pub use crate::{
        Capabilities, Checked, Collected, CommandLine, Created, Cx, Dependencies, Description, Environment, Error,
        ErrorCode, Expected, Home, Language, LanguageRuntime, Listing, Network, NoConfig, ObjectLibrary, ObjectMeta,
        ObjectStorage, Objects, Page, Plan, Plugin, Program, ProgramHome, PutId, Resolve, Result, Retention,
        SavedServer, ServerId, ServerSpec, Stage, Step, Storage, Summary, Template, ToolDefinition, ToolProvider,
        Toolchain, Version, export_plugin,
    };
    pub use serde::{self, Deserialize, Serialize};
    pub use serde_json::{Map, Value, json};
}
