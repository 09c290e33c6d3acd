//! The suite for tool plugins: it passes a good one, and says what is wrong with others.

use std::{panic::catch_unwind, time::Duration};

use perennial_sdk::{prelude::*, testkit::assert_tools};

#[derive(Default, Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
struct Config {
    fault: String,
}

struct Echo(String);

impl Plugin for Echo {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        Ok(Self(config.fault))
    }
}

impl ToolProvider for Echo {
    fn tools(&self) -> Vec<ToolDefinition> {
        let mut schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
        let mut name = "echo";
        match self.0.as_str() {
            "name" => name = "echo it",
            "schema" => schema["properties"]["text"]["type"] = json!("text"),
            "required" => schema["required"] = json!(["txt"]),
            "none" => return Vec::new(),
            _ => {}
        }
        vec![ToolDefinition::new(name, "Says it again.", schema)]
    }

    async fn call(&self, cx: &Cx, name: &str, arguments: Map<String, Value>) -> Result<Value> {
        match self.0.as_str() {
            "unknown" => {}
            _ if name != self.tools()[0].name => return Err(Error::not_found(format!("there is no tool `{name}`"))),
            "panic" => panic!("{}", arguments["text"].as_str().expect("it was told to panic")),
            "result" => return Ok(json!("text")),
            "deaf" if cx.is_cancelled() => tokio::time::sleep(Duration::from_secs(60)).await,
            _ => {}
        }
        let text = arguments.get("text").and_then(Value::as_str).unwrap_or_default();
        Ok(json!({"content": [{"type": "text", "text": text}]}))
    }
}

export_plugin!(echo, Echo: [tools]);

#[test]
fn a_good_plugin_passes() {
    assert_tools::<Echo>(json!({}));
}

#[test]
fn what_is_wrong_is_told() {
    for (fault, told) in [
        ("none", "there is no tool"),
        ("name", "`echo it`: a name is 1 to 128 letters"),
        ("schema", "`inputSchema.properties.text.type` is \"text\", which is no type"),
        ("required", "requires `txt`, which is none of its properties"),
        ("unknown", "an unknown tool: \"no-such-tool-as-this\" is answered"),
        ("panic", "a call panics"),
        ("result", "is \"text\", no object"),
        ("deaf", "a cancelled call goes on"),
    ] {
        let failed = catch_unwind(|| assert_tools::<Echo>(json!({ "fault": fault }))).expect_err(fault);
        let failed = failed.downcast_ref::<String>().expect("a list of failures");
        assert!(failed.contains(told), "{fault}: {failed}");
    }
}
