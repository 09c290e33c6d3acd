//! A plugin that does everything a plugin must not do, when it is asked to.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use perennial_sdk::{prelude::*, serde_json::Map};

/// The settings.
#[derive(Default, Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
pub struct Config {
    /// Precedes what `echo` says.
    greetings: Vec<String>,
    /// Panics when it is opened.
    panic: bool,
}

/// The plugin. Its only state is how many calls this instance has had.
pub struct Faulty {
    greetings: Vec<String>,
    calls: AtomicU64,
}

impl Plugin for Faulty {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        assert!(!config.panic, "as it was configured");
        tracing::info!(greetings = config.greetings.len() as u64, "the faulty plugin is open");
        Ok(Self { greetings: config.greetings, calls: AtomicU64::new(0) })
    }
}

impl ToolProvider for Faulty {
    fn tools(&self) -> Vec<ToolDefinition> {
        let names = ["echo", "count", "panic", "block", "wait", "print", "progress", "fail", "save-server"];
        let definition = |name| ToolDefinition {
            name,
            description: None,
            input_schema: json!({ "type": "object" }),
            rest: Map::new(),
        };
        names.map(|name| definition(name.to_owned())).into()
    }

    async fn call(&self, cx: &Cx, name: &str, arguments: Map<String, Value>) -> Result<Value> {
        let count = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let said = |text: String| json!({ "content": [{ "type": "text", "text": text }] });
        match name {
            "echo" => {
                let greetings: String = self.greetings.iter().map(|greeting| format!("{greeting} ")).collect();
                let message = arguments.get("message").and_then(Value::as_str).unwrap_or_default();
                Ok(said(greetings + message))
            }
            "count" => Ok(said(count.to_string())),
            "panic" => panic!("asked to"),
            // blocks a thread of the plugin's runtime, for ever as far as a test can tell
            "block" => {
                std::thread::sleep(Duration::from_secs(3600));
                Ok(Value::Null)
            }
            "wait" => {
                cx.cancelled().await;
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(Value::Null)
            }
            "print" => {
                #[expect(clippy::print_stdout, reason = "this is what it must not do")]
                {
                    println!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{}}}}");
                }
                tracing::warn!("it was told to print");
                Ok(said("printed".into()))
            }
            "progress" => {
                for done in 1..=3 {
                    cx.progress(f64::from(done), Some(3.0), format!("step {done}"));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(said("done".into()))
            }
            "fail" => Err(Error::conflict("somebody was first", Some(7)).hint("read it again")),
            other => Err(Error::not_found(format!("no tool `{other}`"))),
        }
    }
}

export_plugin!(faulty, Faulty: [tools]);
