//! What `fuzz/` throws bytes at, and what it expects of them.
#![allow(clippy::unwrap_used, reason = "a target fails by panicking")]

use std::{cell::OnceCell, path::PathBuf};

use serde_json::{Map, Value};

pub use crate::library::fuzzing::record;
use crate::{
    Capabilities, CommandLine, Cx, Description, Home, Language, LanguageRuntime, Listing, Manifest, ObjectLibrary,
    Page, Plan, Plugin, PutId, Result, SavedServer, ServerId, ServerSpec, Storage, Template, ToolDefinition,
    ToolProvider, Toolchain, Version, body,
    dispatch::{Bodies, Dispatcher},
    method,
    testkit::MemoryObjects,
};

/// A plugin of every kind.
struct Everything(ObjectLibrary<MemoryObjects>);

impl Plugin for Everything {
    type Config = Value;

    async fn init(_: Value, _: Home) -> Result<Self> {
        Ok(Self(ObjectLibrary::new(MemoryObjects::default())))
    }
}

impl Storage for Everything {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: false, versions: true }
    }

    fn location(&self) -> String {
        "memory".into()
    }

    async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        self.0.list(cx, page).await
    }

    async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        self.0.get(cx, id, version).await
    }

    async fn put(&self, cx: &Cx, record: &SavedServer, expected: crate::Expected, put_id: &PutId) -> Result<Version> {
        self.0.put(cx, record, expected, put_id).await
    }

    async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        self.0.versions(cx, id).await
    }

    async fn delete(&self, cx: &Cx, id: &ServerId, expected: crate::Expected) -> Result<Version> {
        self.0.delete(cx, id, expected).await
    }
}

impl LanguageRuntime for Everything {
    fn describe(&self) -> Description {
        Description::new([Language::new("none", Template::new("x"))])
    }

    fn plan(&self, _: &Cx, spec: &ServerSpec, _: &Toolchain) -> Result<Plan> {
        Ok(Plan::run(CommandLine::new("{sh}")).file("main", &spec.code))
    }
}

impl ToolProvider for Everything {
    fn tools(&self) -> Vec<ToolDefinition> {
        Vec::new()
    }

    async fn call(&self, _: &Cx, _: &str, arguments: Map<String, Value>) -> Result<Value> {
        Ok(arguments.into())
    }
}

impl crate::Exported for Everything {
    const ID: &'static str = "everything";

    async fn open(config: Value, home: Home) -> Result<crate::Opened> {
        let plugin = std::sync::Arc::new(crate::open_plugin::<Self>(config, home).await?);
        let mut opened = crate::Opened::new(plugin.clone());
        opened.storage = Some(plugin.clone());
        opened.runtime = Some(plugin.clone());
        opened.tools = Some(plugin);
        Ok(opened)
    }
}

/// Methods, and the JSON and body of their parameters, as they come over the boundary: lines of a number that chooses
/// the method and then its parameters, with a body after a zero byte.
///
/// # Panics
/// When a plugin would.
pub fn boundary(input: &[u8]) {
    const METHODS: [&str; 12] = [
        method::STORAGE_PUT,
        method::STORAGE_GET,
        method::STORAGE_LIST,
        method::STORAGE_VERSIONS,
        method::STORAGE_DELETE,
        method::STORAGE_DELETED,
        method::STORAGE_CHECK,
        method::STORAGE_COLLECT,
        method::RUNTIME_PLAN,
        method::TOOLS_CALL,
        method::RUNTIME_DESCRIBE,
        method::INIT,
    ];
    thread_local!(static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() });
    RUNTIME.with(|runtime| {
        let runtime = runtime.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap()
        });
        runtime.block_on(async {
            let (cx, dispatcher) = (Cx::detached(), Dispatcher::of::<Everything>(Bodies::Apart));
            let home = Home { data_dir: PathBuf::from("/nonexistent") };
            let init = serde_json::to_vec(&method::Init { config: Value::Null, home }).unwrap();
            dispatcher.call(&cx, method::INIT, &init, b"").await.unwrap().unwrap();
            for line in input.split(|byte| *byte == b'\n').take(16) {
                let Some((choice, rest)) = line.split_first() else { continue };
                let method = METHODS[usize::from(*choice) % METHODS.len()];
                let end = rest.iter().position(|byte| *byte == 0);
                let (json, body) = end.map_or((rest, &b""[..]), |end| (&rest[..end], &rest[end + 1..]));
                if let Some(Ok(answer)) = dispatcher.call(&cx, method, json, body).await {
                    body::unpack::<Value>(&answer.json, answer.body).expect("an answer can be read");
                }
                if let Ok(value) = body::unpack::<Value>(json, body) {
                    let (json, body) = body::pack(&value, usize::MAX).unwrap();
                    assert_eq!(body::unpack::<Value>(&json, body).unwrap(), value, "what is packed comes back");
                }
            }
        });
    });
}

/// The section of a library that says which plugins are in it.
///
/// # Panics
/// When the host would.
pub fn manifest(section: &[u8]) {
    for manifest in Manifest::parse_section(section).into_iter().flatten() {
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(Manifest::parse(&json).unwrap(), manifest);
        assert!(manifest.symbol().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::replay;

    #[test]
    fn seeds_and_what_once_crashed() {
        let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        replay(seeds.join("boundary"), boundary);
        replay(seeds.join("manifest"), manifest);
        replay(seeds.join("record"), record);
    }
}
