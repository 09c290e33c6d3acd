//! A tool that counts words.

use perennial_sdk::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
pub struct Config {
    shortest: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { shortest: 1 }
    }
}

pub struct Words(Config);

impl Plugin for Words {
    type Config = Config;

    async fn init(config: Config, _: Home) -> Result<Self> {
        if config.shortest == 0 {
            return Err(Error::invalid("`shortest` must be at least 1"));
        }
        Ok(Words(config))
    }
}

impl ToolProvider for Words {
    fn tools(&self) -> Vec<ToolDefinition> {
        let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
        vec![ToolDefinition::new("count-words", "Counts the words of a text.", schema)]
    }

    async fn call(&self, _: &Cx, name: &str, arguments: Map<String, Value>) -> Result<Value> {
        if name != "count-words" {
            return Err(Error::not_found(format!("there is no tool `{name}`")));
        }
        let Some(text) = arguments.get("text").and_then(Value::as_str) else {
            return Err(Error::invalid("`text` is not a text").hint("give the text as a string"));
        };
        let count = text.split_whitespace().filter(|word| word.chars().count() >= self.0.shortest).count();
        Ok(json!({"content": [{"type": "text", "text": count.to_string()}], "structuredContent": {"count": count}}))
    }
}

export_plugin!(words, Words: [tools]);
