use std::{sync::Arc, time::Duration};

use perennial_sdk::{Error, ErrorCode, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{BuiltIn, Call, Effect, denials, patience, target};
use crate::{
    audit::{Entry, Event},
    catalog::Server,
    host::Host,
    identity::Client,
    launch::Instance,
    mcp::{CallEnd, ProgressSink, Reply, ToolCall},
    secrets::Redactor,
};

pub(super) struct ExecuteTool;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arguments {
    /// A running server, a saved one (it is started), or a name that only one server has.
    server_id: String,
    /// The tool's name, as `get-server-tools` lists it.
    tool_name: String,
    /// The tool's own arguments.
    #[serde(default)]
    args: Map<String, Value>,
}

/// The client must have the person open a URL first, and call again (MCP 2025-11-25, elicitation by URL).
const URL_ELICITATION_REQUIRED: i32 = -32042;

/// The client has not said that it can do what the tool needs (MCP 2026-07-28).
const MISSING_CLIENT_CAPABILITY: i32 = -32021;

impl BuiltIn for ExecuteTool {
    const NAME: &'static str = "execute-tool";
    const TITLE: &'static str = "Call a tool of a server";
    const DESCRIPTION: &'static str = "Calls a tool of one of your servers and answers exactly what the tool answers. \
        Example: {\"serverId\": \"server-abc123\", \"toolName\": \"echo\", \"args\": {\"message\": \"Hello\"}}";
    const EFFECT: Effect = Effect::Destroys;
    const DOING: &'static str = "call the tool";
    const AUDITED: Option<Event> = Some(Event::Execute);
    type Arguments = Arguments;

    /// Models put the tool's arguments into a string, beside `args`, or under MCP's own name for them.
    fn mend(mut arguments: Map<String, Value>) -> Map<String, Value> {
        let own = |key: &String| key == "serverId" || key == "toolName" || key == "args";
        if !arguments.contains_key("args") && !arguments.keys().all(own) {
            let (mut kept, mut beside) = (Map::new(), Map::new());
            for (key, value) in arguments {
                if own(&key) {
                    kept.insert(key, value)
                } else {
                    beside.insert(key, value)
                };
            }
            let args = match beside.get("arguments") {
                Some(inner @ (Value::Object(_) | Value::String(_))) if beside.len() == 1 => inner.clone(),
                _ => Value::Object(beside),
            };
            kept.insert("args".into(), args);
            arguments = kept;
        }
        match arguments.get_mut("args") {
            Some(args @ Value::String(_)) => {
                let text = args.as_str().unwrap_or_default();
                let parsed = if text.trim().is_empty() { Ok(Map::new()) } else { serde_json::from_str(text) };
                if let Ok(map) = parsed {
                    *args = Value::Object(map);
                }
            }
            Some(args @ Value::Null) => *args = Value::Object(Map::new()),
            _ => {}
        }
        arguments
    }

    async fn run(call: Call, arguments: Arguments) -> Result<Reply> {
        let Arguments { server_id, tool_name, args } = arguments;
        let server = target::running(&call, &server_id).await?;
        server.touch();
        let instance = patience::ready(&call, &server).await?;
        execute(call, &server, &instance, &tool_name, args, |error| corrected(error, &server_id, &tool_name)).await
    }
}

/// Calls a tool of a server that is up. `misfit` explains arguments that do not fit.
///
/// # Errors
/// Why there is no answer; what the tool itself says is an answer.
pub(super) async fn execute(
    call: Call,
    server: &Arc<Server>,
    instance: &Arc<Instance>,
    tool: &str,
    args: Map<String, Value>,
    misfit: impl FnOnce(Error) -> Error + Send,
) -> Result<Reply> {
    let args = Value::Object(args);
    instance.tools().check(tool, &args).map_err(misfit)?;
    let Value::Object(args) = args else { unreachable!("it was made an object above") };
    let (limit, seen) = (call_limit(&call, server), instance.rights.denials_so_far());
    let redactor = instance.rights.redactor.clone();
    let answered = instance
        .session
        .call(ToolCall {
            name: tool.to_owned(),
            arguments: args,
            meta: call.meta,
            progress: call.progress.map(|sink| redacting(sink, redactor.clone())),
            limit,
            cancelled: call.cancelled,
            caller: call.caller,
        })
        .await;
    server.touch();
    note_denials(&call.host, server, instance, seen, tool, &call.client);
    match answered {
        Ok(passed) => {
            let passed = denials::told(passed, instance, seen);
            Ok(Reply::Passed(match &redactor {
                Some(redactor) => passed.redacted(redactor),
                None => passed,
            }))
        }
        Err(CallEnd::Refused {
            code: code @ (URL_ELICITATION_REQUIRED | MISSING_CLIENT_CAPABILITY),
            message,
            data,
        }) => Ok(Reply::Refused { code, message, data }),
        Err(end) => Err(denials::with(failed(end, server, instance, tool).await, instance, seen)),
    }
}

/// Tells the audit log what a server was denied during a call.
pub(super) fn note_denials(host: &Host, server: &Server, instance: &Instance, seen: u64, tool: &str, client: &Client) {
    for denial in instance.rights.denied_since(seen) {
        host.audit.record(Entry::of_denial(&server.id, tool, &denial.to, denial.count, client));
    }
}

/// How long a call of this server may take: the operator may have changed the most since it was started.
pub(super) fn call_limit(call: &Call, server: &Server) -> Duration {
    let most = call.host.settings.get().call_timeout;
    let asked = server.status().spec.limits.call_timeout_s.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
    asked.unwrap_or(most).min(most)
}

/// What a tool tells of its progress, without the values that its server was given.
pub(super) fn redacting(sink: ProgressSink, redactor: Option<Redactor>) -> ProgressSink {
    match redactor {
        None => sink,
        Some(redactor) => Arc::new(move |mut params| {
            redactor.members(&mut params);
            sink(params);
        }),
    }
}

pub(super) async fn failed(end: CallEnd, server: &Arc<Server>, instance: &Arc<Instance>, tool: &str) -> Error {
    match end {
        CallEnd::SessionEnded => {
            let death = server.death_of(instance).await;
            server.gone(Some(death), "in the middle of the call")
        }
        CallEnd::TimedOut(limit) => {
            let message = format!("`{tool}` gave no answer within {} s; the call was cancelled", limit.as_secs_f64());
            let mut error = Error::new(ErrorCode::Timeout, message);
            error.data = json!({ "log": instance.stderr_tail(20) });
            error.hint(
                "`limits.call_timeout_s` of the server gives its calls more time, as far as the operator's `[limits]` has \
                 it; `get-server` shows what it printed",
            )
        }
        CallEnd::Cancelled => Error::new(ErrorCode::Cancelled, "cancelled"),
        CallEnd::Refused { code, message, data } => {
            let mut error = Error::new(
                ErrorCode::Other("child_error".into()),
                format!("the server answered with error {code}: {message}"),
            );
            error.data = json!({ "code": code, "message": message, "data": data, "log": instance.stderr_tail(20) });
            error
        }
        CallEnd::Unusable(why) => {
            let mut error = Error::internal(format!("the server's answer is of no use: {why}"));
            error.data = json!({ "log": instance.stderr_tail(20) });
            error.hint("the server must answer each request with one line of JSON; repair it with `update-server`")
        }
    }
}

fn corrected(error: Error, server_id: &str, tool: &str) -> Error {
    if error.code != ErrorCode::Invalid {
        return error;
    }
    let example = json!({ "serverId": server_id, "toolName": tool, "args": {} });
    let hint = error.hint.clone().unwrap_or_default();
    error.hint(format!("{hint}\nput the tool's arguments into `args`: {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(arguments: Value) -> Value {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        ExecuteTool::mend(arguments).get("args").cloned().unwrap_or_default()
    }

    #[test]
    fn takes_arguments_where_models_put_them() {
        let wanted = json!({ "message": "hi" });
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "args": { "message": "hi" } })), wanted);
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "args": "{\"message\": \"hi\"}" })), wanted);
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "message": "hi" })), wanted);
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "arguments": { "message": "hi" } })), wanted);
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t" })), Value::Null);
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "args": null })), json!({}));
        assert_eq!(mended(json!({ "serverId": "s", "toolName": "t", "args": "not json" })), json!("not json"));
    }
}
