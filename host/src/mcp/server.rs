//! The host's own MCP server, for clients of both protocol eras.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use perennial_sdk::{BoxFuture, ClientIdentity, Error, ToolDefinition};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult, ContentBlock,
        ErrorCode, GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation, JsonObject,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig,
        SetLevelRequestMethod, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    },
    service::{NotificationContext, RequestContext, ServiceExt, SubscriptionContext},
};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Reply, Wire,
    caller::Inputs,
    changes::{Changes, Told, tell_session},
    conversation::{Round, Subject, converse, is_stateless},
    http::Exchange,
    logging::{Level, Log},
    offering::Subscriptions,
    past::{Aside, Past},
    session::{LOG_LEVEL, tool_result},
    suspended::Suspended,
    upstream::Upstream,
};
use crate::{host::Host, identity::Client, tools::Registry};

/// What a model is told of this server; clients cut it at 2 KB or earlier.
const INSTRUCTIONS: &str = include_str!("instructions.md");

pub(super) struct Server {
    pub(super) host: Arc<Host>,
    pub(super) registry: Arc<Registry>,
    pub(super) past: Past,
    pub(super) suspended: Suspended,
    pub(super) subscriptions: Subscriptions,
    /// Whether the client has heard of all changes.
    told: Told,
    /// The least that the client wants to hear of what is logged.
    level: Mutex<Option<Level>>,
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
    // a wire has no token
    let (changes, told) = Changes::new(host.clone(), &registry, Client::default()).await;
    let subscriptions = Subscriptions::default();
    let server = Server {
        host,
        registry,
        past: Past::Wire { outbox: outbox.clone(), in_flight: upstream.in_flight() },
        suspended: Suspended::default(),
        subscriptions: subscriptions.clone(),
        told,
        level: Mutex::default(),
    };
    match server.serve_with_ct(upstream, stop).await {
        Ok(running) => {
            let initialised = running.peer().peer_info().is_some_and(|client| client.protocol_version.has_initialize());
            // a client that did not `initialize` subscribes to what it wants to hear
            let telling = initialised.then(|| {
                tokio::spawn(tell_session(changes, running.peer().clone(), move |place| subscriptions.called(place)))
            });
            drop(running.waiting().await);
            if let Some(telling) = telling {
                telling.abort();
            }
        }
        Err(error) => tracing::debug!(%error, "the client left before it began"),
    }
    outbox.flushed().await;
    ended.cancel();
    Ok(())
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let us = Implementation::new("perennial", env!("CARGO_PKG_VERSION")).with_title("Perennial");
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_completions();
        let mut capabilities = capabilities.build();
        capabilities.logging = Some(JsonObject::new());
        let config = ServerConfig::new(capabilities).with_server_info(us);
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

    #[expect(deprecated, reason = "clients of the older era set it all the same")]
    async fn set_level(
        &self,
        params: rmcp::model::SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_stateless(&context) {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Level::of(&json!(params.level));
        Ok(())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let (own, listed) = (self.own_prompts(), self.listed().await);
        self.list("prompts", own.iter().chain(listed.prompts()), &context);
        Ok(ListPromptsResult::default())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let (own, listed) = (self.own_resources(&context).await, self.listed().await);
        self.list("resources", own.iter().chain(listed.resources()), &context);
        Ok(ListResourcesResult::default())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let (own, listed) = (self.own_templates(), self.listed().await);
        self.list("resourceTemplates", own.iter().chain(listed.templates()), &context);
        Ok(ListResourceTemplatesResult::default())
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        self.prompt(params, &context).await.map(|()| GetPromptResult::default().into())
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.resource(params, &context).await.map(|()| ReadResourceResult::new(Vec::new()).into())
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        self.completion(params, &context).await.map(|()| CompleteResult::default())
    }

    async fn subscribe(
        &self,
        params: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscribe_to(params.uri, &context).await
    }

    async fn unsubscribe(
        &self,
        params: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscriptions.remove(&params.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        self.subscribed(&subscription).await;
        Ok(())
    }

    /// What the headers of an HTTP request are checked against.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        tool(self.registry.get(name)?.definition())
    }

    /// A wire is told by [`serve`].
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if matches!(self.past, Past::Http) {
            let token = Exchange::of(&context.extensions).and_then(|exchange| exchange.token.clone());
            let client = Client { program: None, token };
            let (changes, _) = Changes::new(self.host.clone(), &self.registry, client).await;
            let subscriptions = self.subscriptions.clone();
            tokio::spawn(tell_session(changes, context.peer, move |place| subscriptions.called(place)));
        }
    }

    async fn call_tool(
        &self,
        mut params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let registry = &self.registry;
        let Some(tool) = registry.find(&params.name, &self.host.library).await else {
            let known = registry.names().join(", ");
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`; there are: {known}", params.name), None));
        };
        let inputs = Inputs {
            responses: params.input_responses.take().map(|responses| responses.into_iter().collect()),
            state: params.request_state.take(),
        };
        let subject = Subject::of(&context, &("tools/call", &params.name, &params.arguments));
        let begin = |round: Round| -> BoxFuture<'static, _> {
            let call = self.call(round, &context);
            let arguments = params.arguments.unwrap_or_default();
            Box::pin(async move { Ok(tool.call(call, arguments).await) })
        };
        let aside = self.past.aside(&context);
        let log = self.log(&aside, &context);
        let reply = converse(&self.suspended, &context, aside.progress(), log, subject, inputs, begin).await;
        aside.flushed().await;
        let reply = reply?;
        // What a server answers changes nothing of the host's.
        if !matches!(reply, Reply::Passed(_)) {
            self.told.all().await;
        }
        match reply {
            Reply::Refused { code, message, data } => Err(ErrorData::new(ErrorCode(code), message, data)),
            reply => Ok(CallToolResponse::Complete(self.result(reply, &context))),
        }
    }
}

impl Server {
    /// Makes one for every session over HTTP, and for every request that belongs to none.
    pub(super) fn over_http(host: Arc<Host>, registry: Arc<Registry>) -> impl Fn() -> Self {
        let suspended = Suspended::default();
        move || Self {
            host: host.clone(),
            registry: registry.clone(),
            past: Past::Http,
            suspended: suspended.clone(),
            subscriptions: Subscriptions::default(),
            told: Told::default(),
            level: Mutex::default(),
        }
    }

    fn result(&self, reply: Reply, context: &RequestContext<RoleServer>) -> CallToolResult {
        match reply {
            Reply::Said(said) => said.into(),
            Reply::Refused { message, .. } => CallToolResult::error(vec![ContentBlock::text(message)]),
            Reply::Value(value) => match tool_result(value.to_string().into()) {
                Ok(passed) => self.result(Reply::Passed(passed), context),
                Err(_) => {
                    let why = format!("the plugin's answer is not a tool result: {value:.300}");
                    super::Said::failure("call the tool", &Error::internal(why)).into()
                }
            },
            Reply::Passed(passed) => {
                let passed = if is_stateless(context) { passed.with_result_type() } else { passed };
                self.past.park(context, passed);
                CallToolResult::default()
            }
        }
    }

    /// What children log is told beside the call. A client of 2026-07-28 hears of nothing that it did not ask for.
    pub(super) fn log(&self, aside: &Aside, context: &RequestContext<RoleServer>) -> Option<Log> {
        let (session, least) = if is_stateless(context) {
            (None, Some(context.meta.get(LOG_LEVEL).and_then(Level::of)?))
        } else {
            (Some(self.subscriptions.session()), *self.level.lock().unwrap_or_else(PoisonError::into_inner))
        };
        Some(Log { session, least, sink: aside.sink("notifications/message") })
    }
}

/// Who asks.
pub(super) fn client(context: &RequestContext<RoleServer>) -> Client {
    let program = context.client_info().map(|client| ClientIdentity::new(&client.name, &client.version));
    Client { program, token: Exchange::of(&context.extensions).and_then(|exchange| exchange.token.clone()) }
}

/// The caller's `_meta` without what is about the caller's own connection.
pub(super) fn passed_on_meta(context: &RequestContext<RoleServer>) -> Map<String, Value> {
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
    tool.meta = rest.get("_meta").and_then(|value| serde_json::from_value(value.clone()).ok());
    tool.icons = rest.get("icons").and_then(|value| serde_json::from_value(value.clone()).ok());
    tool.output_schema = rest.get("outputSchema").and_then(Value::as_object).cloned().map(Arc::new);
    Some(tool)
}
