use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio::{sync::watch, time::timeout};

use super::{Check, ensure};
use crate::{Cx, DynTools, Error, ErrorCode, Exported, Home, ToolDefinition};

/// How long one call may take that nobody cancels.
const LIMIT: Duration = Duration::from_secs(60);

/// How soon a cancelled call must end. A host waits no longer than it has to: it gives the call up at once.
const PROMPT: Duration = Duration::from_secs(5);

/// The types that JSON Schema knows.
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];

/// Opens the tool plugin `P` with `config` and panics with the list of all that it does not do as
/// [`ToolProvider`](crate::ToolProvider) says: names and schemas that clients and models can use, the same at every
/// listing; results that are MCP's; an unknown tool is `not_found`; odd arguments are answered, never by a panic; a call
/// that is cancelled ends.
///
/// Every tool is called, with arguments that do not fit its schema and with as few as fit: open the plugin with a
/// configuration in which that does no harm.
pub fn assert_tools<P: Exported>(config: Value) {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let executor = executor.expect("a runtime for the test");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home { data_dir: folder.path().join("data") };
    let opened = executor.block_on(P::open(config, home)).expect("the plugin opens");
    let tools = opened.tools.clone().expect("the plugin provides tools");
    let definitions = tools.tools();
    let mut failures: Vec<String> = [
        ("the list", listed(&definitions)),
        ("a second listing", ensure_same(&definitions, &tools.tools())),
        ("an unknown tool", executor.block_on(unknown(&*tools))),
    ]
    .into_iter()
    .filter_map(|(what, check)| Some(format!("{what}: {}", check.err()?)))
    .collect();
    for tool in &definitions {
        for check in
            [defined(tool), executor.block_on(answers(&*tools, tool)), executor.block_on(cancelled(&*tools, tool))]
        {
            failures.extend(check.err().map(|failure| format!("`{}`: {failure}", tool.name)));
        }
    }
    executor.block_on(opened.shutdown());
    executor.shutdown_timeout(Duration::from_millis(200));
    assert!(failures.is_empty(), "the tools of `{}` do not conform:\n- {}", P::ID, failures.join("\n- "));
}

fn listed(definitions: &[ToolDefinition]) -> Check {
    ensure!(!definitions.is_empty(), "there is no tool");
    let mut names = BTreeSet::new();
    for tool in definitions {
        ensure!(names.insert(&tool.name), "`{}` is there twice", tool.name);
    }
    Ok(())
}

fn ensure_same(first: &[ToolDefinition], second: &[ToolDefinition]) -> Check {
    ensure!(first == second, "it differs from the first, and the host asks only once");
    Ok(())
}

/// What clients and models need of a definition.
fn defined(tool: &ToolDefinition) -> Check {
    // <https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-names>
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    ensure!(
        !tool.name.is_empty() && tool.name.len() <= 128 && tool.name.bytes().all(fits),
        "a name is 1 to 128 letters, digits, `_`, `-` and `.`"
    );
    let described = tool.description.as_deref().is_some_and(|text| !text.trim().is_empty());
    ensure!(described, "it has no description: a model does not know when to use it");
    ensure!(tool.input_schema["type"] == "object", "its input schema has not the type `object`");
    schema("inputSchema", &tool.input_schema)?;
    if let Some(output) = tool.rest.get("outputSchema") {
        ensure!(output["type"] == "object", "its output schema has not the type `object`");
        schema("outputSchema", output)?;
    }
    let text = serde_json::to_string(tool).map_err(|error| error.to_string())?;
    let again = serde_json::from_str::<ToolDefinition>(&text).map_err(|error| error.to_string())?;
    ensure!(again == *tool, "its definition changes on its way through JSON");
    Ok(())
}

/// The form of a JSON Schema, as far as it goes without a validator.
fn schema(at: &str, value: &Value) -> Check {
    let Value::Object(keys) = value else {
        ensure!(value.is_boolean(), "`{at}` is neither an object nor a truth value");
        return Ok(());
    };
    for (key, value) in keys {
        let at = format!("{at}.{key}");
        let strings = |value: &Value| value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
        match key.as_str() {
            "type" => {
                let types = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
                ensure!(!types.is_empty() && types.iter().all(known), "`{at}` is {value}, which is no type");
            }
            "required" => ensure!(strings(value), "`{at}` is no list of names"),
            "enum" => ensure!(value.is_array(), "`{at}` is no list"),
            "description" | "title" | "pattern" | "format" | "$ref" => ensure!(value.is_string(), "`{at}` is no text"),
            "properties" | "$defs" | "definitions" | "patternProperties" => {
                let Value::Object(all) = value else { return Err(format!("`{at}` is no object")) };
                all.iter().try_for_each(|(name, value)| schema(&format!("{at}.{name}"), value))?;
            }
            "anyOf" | "allOf" | "oneOf" | "prefixItems" => {
                let Value::Array(all) = value else { return Err(format!("`{at}` is no list")) };
                all.iter().try_for_each(|value| schema(&at, value))?;
            }
            "items" | "additionalProperties" | "not" => schema(&at, value)?,
            _ => {}
        }
    }
    let required = keys.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let properties = keys.get("properties").and_then(Value::as_object);
    for name in required {
        let known = properties.is_some_and(|properties| properties.contains_key(name));
        ensure!(known || properties.is_none(), "`{at}` requires `{name}`, which is none of its properties");
    }
    Ok(())
}

async fn unknown(tools: &dyn DynTools) -> Check {
    for name in ["no-such-tool-as-this", "", "../x", "é\n"] {
        match call(tools, &Cx::detached(), name, Map::new()).await? {
            Err(error) if error.code == ErrorCode::NotFound => {}
            Err(error) => return Err(format!("{name:?} is {:?} ({error}) instead of NotFound", error.code)),
            Ok(result) => return Err(format!("{name:?} is answered: {result}")),
        }
    }
    Ok(())
}

/// A result or an error will do for any arguments; a panic or a result that is none of MCP's will not.
async fn answers(tools: &dyn DynTools, tool: &ToolDefinition) -> Check {
    let properties = tool.input_schema["properties"].as_object().cloned().unwrap_or_default();
    let filled = |value: &Value| properties.keys().map(|key| (key.clone(), value.clone())).collect::<Map<_, _>>();
    let long = "é".repeat(100_000);
    let odd = [
        json!(null),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\0\n{\""),
        json!([]),
        json!({}),
        json!(long),
    ];
    let unasked = Map::from_iter([("nobody asked for this".to_owned(), json!({"deep": [[[[1]]]]}))]);
    for arguments in odd.iter().map(filled).chain([Map::new(), unasked, fitting(&tool.input_schema)]) {
        let shown: String = json!(arguments).to_string().chars().take(100).collect();
        if let Ok(result) =
            call(tools, &Cx::detached(), &tool.name, arguments).await.map_err(|e| format!("{shown}: {e}"))?
        {
            is_result(&result).map_err(|why| format!("the answer to {shown} {why}"))?;
        }
    }
    Ok(())
}

/// A call that was given up before it began, or at its first chance, ends all the same.
async fn cancelled(tools: &dyn DynTools, tool: &ToolDefinition) -> Check {
    for gave_up in [true, false] {
        let (cancel, cancelled) = watch::channel(gave_up);
        let cx = Cx::detached().with_cancel(cancelled);
        let work = call(tools, &cx, &tool.name, fitting(&tool.input_schema));
        let later = async {
            tokio::task::yield_now().await;
            cancel.send_replace(true);
        };
        let ended = timeout(PROMPT, async { tokio::join!(work, later).0 }).await;
        ended.map_err(|_| format!("a cancelled call goes on for more than {} s", PROMPT.as_secs()))??.ok();
    }
    Ok(())
}

/// Arguments as a schema wants them, as few as it takes.
fn fitting(schema: &Value) -> Map<String, Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let value = |name: &str| {
        let schema = &schema["properties"][name];
        let first = schema["enum"].get(0).or(schema.get("default")).or(schema.get("const"));
        first.cloned().unwrap_or_else(|| match schema["type"].as_str() {
            Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
            Some("boolean") => json!(true),
            Some("array") => json!([]),
            Some("object") => json!(fitting(schema)),
            _ => json!("a"),
        })
    };
    required.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), value(name))).collect()
}

/// <https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result>
fn is_result(result: &Value) -> Check {
    let Value::Object(result) = result else { return Err(format!("is {result}, no object")) };
    match result.get("content") {
        None => ensure!(result.contains_key("structuredContent"), "has no `content`"),
        Some(Value::Array(parts)) => {
            for part in parts {
                ensure!(part["type"].is_string(), "has a part without a type: {part}");
                ensure!(part["type"] != "text" || part["text"].is_string(), "has a text without a text: {part}");
            }
        }
        Some(other) => return Err(format!("has the content {other}, no list")),
    }
    let fits = |key: &str, test: fn(&Value) -> bool| result.get(key).is_none_or(test);
    ensure!(fits("isError", Value::is_boolean), "has an `isError` that is no truth value");
    ensure!(fits("structuredContent", Value::is_object), "has a `structuredContent` that is no object");
    ensure!(fits("_meta", Value::is_object), "has a `_meta` that is no object");
    Ok(())
}

async fn call(
    tools: &dyn DynTools,
    cx: &Cx,
    name: &str,
    arguments: Map<String, Value>,
) -> Result<Result<Value, Error>, String> {
    let made = catch_unwind(AssertUnwindSafe(|| tools.call(cx, name, arguments)));
    let future = made.map_err(|_| "a call panics".to_owned())?;
    match timeout(LIMIT, AssertUnwindSafe(future).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("a call panics".into()),
        Err(_) => Err(format!("a call takes more than {} s", LIMIT.as_secs())),
    }
}
