//! The host's own MCP server, for clients of both protocol eras.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use perennial_sdk::{ClientIdentity, Error, ToolDefinition};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, JsonObject, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::{NotificationContext, RequestContext, ServiceExt},
};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Reply, Wire, asking,
    http::{self, Exchange},
    outbox::Outbox,
    past::Past,
    session::tool_result,
    upstream::Upstream,
};
use crate::{
    host::Host,
    identity::Client,
    tools::{Call, Registry},
};

/// What a model is told of this server; clients cut it at 2 KB or earlier.
const INSTRUCTIONS: &str = include_str!("instructions.md");

pub(super) struct Server {
    host: Arc<Host>,
    registry: Arc<Registry>,
    past: Past,
}

/// Answers the client until it closes its end or `stop` fires. `ended` fires as soon as no further request will come,
/// while answers may still be on their way.
///
/// # Errors
/// When the wire cannot be opened.
pub async fn serve(
    host: Arc<Host>,
    registry: Arc<Registry>,
    wire: Wire,
    ended: CancellationToken,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (reader, writer) = wire.open().map_err(|error| Error::from(error).context("the wire cannot be opened"))?;
    let upstream = Upstream::new(reader, writer, host.settings.get().line_bytes, ended.clone());
    let outbox = upstream.outbox();
    let added = registry.changes();
    let past = Past::Wire { outbox: outbox.clone(), in_flight: upstream.in_flight() };
    let server = Server { host, registry, past };
    match server.serve_with_ct(upstream, stop).await {
        Ok(running) => {
            let initialised = running.peer().peer_info().is_some_and(|client| client.protocol_version.has_initialize());
            let telling = tokio::spawn(tell_of_tools(added, initialised.then(|| outbox.clone())));
            drop(running.waiting().await);
            telling.abort();
        }
        Err(error) => tracing::debug!(%error, "the client left before it began"),
    }
    outbox.flushed().await;
    ended.cancel();
    Ok(())
}

/// Says that there are more tools. A client that did not `initialize` asks for the list when it wants it.
async fn tell_of_tools([mut plugins, mut saved]: [watch::Receiver<()>; 2], outbox: Option<Outbox>) {
    let Some(outbox) = outbox else { return };
    loop {
        tokio::select! {
            Ok(()) = plugins.changed() => {}
            Ok(()) = saved.changed() => {}
            else => return,
        }
        let line = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        let _ = outbox.send(Bytes::from(format!("{line}\n"))).await;
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let us = Implementation::new("perennial", env!("CARGO_PKG_VERSION")).with_title("Perennial");
        let capabilities = ServerCapabilities::builder().enable_tools().enable_tool_list_changed();
        let config = ServerConfig::new(capabilities.build()).with_server_info(us);
        // they tell of tools that are not there when one server is all that is shown
        if self.registry.is_of_one() { config } else { config.with_instructions(INSTRUCTIONS) }
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.registry.definitions(&self.host.library).await.into_iter().filter_map(tool).collect();
        Ok(ListToolsResult::with_all_items(tools))
    }

    /// What the headers of an HTTP request are checked against.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        tool(self.registry.get(name)?.definition())
    }

    /// A wire hears of new tools by [`tell_of_tools`].
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if matches!(self.past, Past::Http) {
            tokio::spawn(http::tell_of_tools(self.registry.changes(), context.peer));
        }
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let registry = &self.registry;
        let Some(tool) = registry.get(&params.name) else {
            let known = registry.names().join(", ");
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`; there are: {known}", params.name), None));
        };
        let aside = self.past.aside(&context);
        let call = Call {
            host: self.host.clone(),
            cancelled: context.ct.clone(),
            progress: aside.progress(),
            meta: passed_on_meta(&context),
            ask: asking::ask(&context),
            client: client(&context),
        };
        let reply = tool.call(call, params.arguments.unwrap_or_default()).await;
        aside.flushed().await;
        Ok(CallToolResponse::Complete(self.result(reply, &context)))
    }
}

impl Server {
    /// Makes one for every session over HTTP, and for every request that belongs to none.
    pub(super) fn over_http(host: Arc<Host>, registry: Arc<Registry>) -> impl Fn() -> Self {
        move || Self { host: host.clone(), registry: registry.clone(), past: Past::Http }
    }

    fn result(&self, reply: Reply, context: &RequestContext<RoleServer>) -> CallToolResult {
        match reply {
            Reply::Said(said) => said.into(),
            Reply::Value(value) => match tool_result(value.to_string().into()) {
                Ok(passed) => self.result(Reply::Passed(passed), context),
                Err(_) => {
                    let why = format!("the plugin's answer is not a tool result: {value:.300}");
                    super::Said::failure("call the tool", &Error::internal(why)).into()
                }
            },
            Reply::Passed(passed) => {
                let modern = context.protocol_version().is_some_and(|version| !version.has_initialize());
                let passed = if modern { passed.with_result_type() } else { passed };
                self.past.park(context, passed);
                CallToolResult::default()
            }
        }
    }
}

/// Who asks.
fn client(context: &RequestContext<RoleServer>) -> Client {
    let program = context.client_info().map(|client| ClientIdentity::new(&client.name, &client.version));
    Client { program, token: Exchange::of(&context.extensions).and_then(|exchange| exchange.token.clone()) }
}

/// The caller's `_meta` without what is about the caller's own connection.
fn passed_on_meta(context: &RequestContext<RoleServer>) -> Map<String, Value> {
    let own = |key: &str| {
        key == "progressToken"
            || ["protocolVersion", "clientInfo", "clientCapabilities", "logLevel"]
                .iter()
                .any(|name| key.strip_prefix("io.modelcontextprotocol/") == Some(name))
    };
    context.meta.iter().filter(|(key, _)| !own(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn tool(definition: ToolDefinition) -> Option<Tool> {
    let ToolDefinition { name, description, input_schema: Value::Object(schema), rest } = definition else {
        return None;
    };
    let mut tool = Tool::new_with_raw(name, description.map(Cow::Owned), Arc::<JsonObject>::new(schema));
    tool.title = rest.get("title").and_then(Value::as_str).map(Into::into);
    tool.annotations = rest.get("annotations").and_then(|value| serde_json::from_value(value.clone()).ok());
    tool.output_schema = rest.get("outputSchema").and_then(Value::as_object).cloned().map(Arc::new);
    Some(tool)
}
