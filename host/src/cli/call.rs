use std::io::{Read, Write};

use clap::Args;
use perennial_sdk::Error;
use serde_json::{Map, Value};

use super::{Common, output};
use crate::exit::{Exit, Failure};

/// Start a saved server, call one of its tools, print the result
#[derive(Args)]
#[command(
    after_help = "Example: perennial call \"My server\" echo '{\"message\": \"Hello\"}'\n\nExit code 1 when the tool answers with an error."
)]
pub(super) struct Call {
    /// Name, when only one server has it, or id
    #[arg(value_name = "NAME|ID")]
    server: String,
    /// The tool
    tool: String,
    /// A JSON object; - reads it from standard input
    #[arg(value_name = "ARGS-JSON", default_value = "{}")]
    arguments: String,
    /// MCP's own result as JSON
    #[arg(long)]
    json: bool,
}

impl Call {
    pub(super) fn run(self, common: &Common) -> Result<Exit, Failure> {
        let arguments = parse(&self.arguments)?;
        let (config, directories) = common.open()?;
        let result = crate::app::call(config, directories, &self.server, &self.tool, arguments)
            .map_err(|failure| failure.context(format!("failed to call `{}` of `{}`", self.tool, self.server)))?;
        let failed = result.get("isError").and_then(Value::as_bool) == Some(true);
        if self.json {
            output::print(&output::json(&result)?)?;
        } else if failed {
            let _ = std::io::stderr().lock().write_all(render(&result).as_bytes());
        } else {
            output::print(&render(&result))?;
        }
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }
}

fn parse(arguments: &str) -> Result<Map<String, Value>, Failure> {
    let mut text = arguments.to_owned();
    if arguments == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(Error::from)?;
    }
    let wrong = |why: String| Failure::Usage(Error::invalid(why).hint("one that fits: '{\"message\": \"Hello\"}'"));
    match serde_json::from_str(&text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(wrong("the arguments are JSON, but no object".into())),
        Err(error) => Err(wrong(format!("the arguments are no JSON: {error}"))),
    }
}

/// A result for people: its text, and whatever is no text as JSON.
pub(super) fn render(result: &Value) -> String {
    let content = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if content.is_empty() {
        let value = result.get("structuredContent").unwrap_or(result);
        return format!("{}\n", output::plain(&value.to_string()));
    }
    let mut text = String::new();
    for part in content {
        match part.get("text").and_then(Value::as_str).filter(|_| part.get("type") == Some(&Value::from("text"))) {
            Some(part) => text += &output::plain(part),
            None => text += &output::plain(&part.to_string()),
        }
        text.push('\n');
    }
    text
}
