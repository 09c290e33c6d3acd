//! The tools of the host: every one is an entry in one registry, whoever brings it.

mod create;
mod delete_saved_server;
mod delete_server;
mod denials;
mod execute_tool;
mod expose_server;
mod exposed;
mod find_tools;
mod get_server;
mod get_server_tools;
mod input;
mod list_saved_servers;
mod list_servers;
mod load_saved_server;
mod offered;
mod patience;
mod registry;
mod save_server;
mod standing;
mod target;
mod update_server;

use std::{future::Future, marker::PhantomData, sync::Arc};

use perennial_sdk::{BoxFuture, Cx, DynTools, Error, Result, ToolDefinition};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

pub use offered::{Failure, ask_saved, watch_saved};
pub use registry::Registry;
pub use target::start_saved;

use crate::{
    audit::{Asked, Event},
    host::Host,
    identity::Client,
    mcp::{Ask, Caller, ProgressSink, Reply, Said},
};

/// A tool of the registry.
pub trait Tool: Send + Sync {
    /// As `tools/list` shows it.
    fn definition(&self) -> ToolDefinition;
    /// Calls it. A failure is an answer too.
    fn call<'a>(&'a self, call: Call, arguments: Map<String, Value>) -> BoxFuture<'a, Reply>;
}

/// Who calls, and how it hears of what happens.
#[derive(Clone)]
pub struct Call {
    /// What it works on.
    pub host: Arc<Host>,
    /// The caller gave up.
    pub cancelled: CancellationToken,
    /// Takes progress, when the caller asked for it.
    pub progress: Option<ProgressSink>,
    /// `_meta` for the child.
    pub meta: Map<String, Value>,
    /// Asks the person, where the client can.
    pub ask: Option<Ask>,
    /// The client, as far as a called server has to do with it.
    pub caller: Caller,
    /// Who asks.
    pub client: Client,
}

/// What a call of a tool may change.
pub(crate) enum Effect {
    Reads,
    Adds,
    Destroys,
}

/// A built-in tool: one type, one file.
pub(crate) trait BuiltIn: Send + Sync + 'static {
    const NAME: &'static str;
    const TITLE: &'static str;
    const DESCRIPTION: &'static str;
    const EFFECT: Effect;
    /// Fits after "failed to ".
    const DOING: &'static str;
    /// What the audit log calls it; what is not there leaves nothing to tell of.
    const AUDITED: Option<Event> = None;
    type Arguments: DeserializeOwned + JsonSchema + Send;

    fn run(call: Call, arguments: Self::Arguments) -> impl Future<Output = Result<Reply>> + Send;

    /// Moves arguments to where they belong before they are read.
    fn mend(arguments: Map<String, Value>) -> Map<String, Value> {
        arguments
    }
}

/// Every tool that this host has without plugins.
fn built_in() -> Vec<Arc<dyn Tool>> {
    fn entry<B: BuiltIn>() -> Arc<dyn Tool> {
        Arc::new(Entry::<B>(PhantomData))
    }
    vec![
        entry::<create::CreateServer>(),
        entry::<update_server::UpdateServer>(),
        entry::<execute_tool::ExecuteTool>(),
        entry::<get_server_tools::GetServerTools>(),
        entry::<get_server::GetServer>(),
        entry::<list_servers::ListServers>(),
        entry::<delete_server::DeleteServer>(),
        entry::<save_server::SaveServer>(),
        entry::<list_saved_servers::ListSavedServers>(),
        entry::<load_saved_server::LoadSavedServer>(),
        entry::<delete_saved_server::DeleteSavedServer>(),
        entry::<expose_server::ExposeServer>(),
        entry::<find_tools::FindTools>(),
    ]
}

/// Whether a built-in tool has this name, which nobody else then gets.
pub fn is_built_in(name: &str) -> bool {
    built_in().iter().any(|tool| tool.definition().name == name)
}

struct Entry<B>(PhantomData<fn() -> B>);

/// A tool that a plugin contributes.
struct Contributed {
    definition: ToolDefinition,
    provider: Arc<dyn DynTools>,
}

impl Call {
    /// The call as plugins see it: it ends when the caller gives up.
    pub fn cx(&self) -> Cx {
        let (sender, cancelled) = tokio::sync::watch::channel(false);
        let token = self.cancelled.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = token.cancelled() => drop(sender.send(true)),
                () = sender.closed() => {}
            }
        });
        let cx = Cx::detached().with_cancel(cancelled);
        match self.progress.clone() {
            None => cx,
            Some(sink) => {
                let reports = patience::Reports::to(sink);
                cx.with_progress(move |step| reports.send(&step))
            }
        }
    }
}

impl<B: BuiltIn> Tool for Entry<B> {
    fn definition(&self) -> ToolDefinition {
        let annotations = match B::EFFECT {
            Effect::Reads => json!({ "title": B::TITLE, "readOnlyHint": true, "openWorldHint": false }),
            Effect::Adds => {
                json!({ "title": B::TITLE, "readOnlyHint": false, "destructiveHint": false, "openWorldHint": false })
            }
            Effect::Destroys => {
                json!({ "title": B::TITLE, "readOnlyHint": false, "destructiveHint": true, "openWorldHint": false })
            }
        };
        let mut rest = Map::new();
        rest.insert("title".into(), B::TITLE.into());
        rest.insert("annotations".into(), annotations);
        ToolDefinition {
            name: B::NAME.into(),
            description: Some(B::DESCRIPTION.into()),
            input_schema: input_schema::<B::Arguments>(),
            rest,
        }
    }

    fn call<'a>(&'a self, call: Call, arguments: Map<String, Value>) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let (host, cancelled) = (call.host.clone(), call.cancelled.clone());
            let arguments = B::mend(arguments);
            let asked = B::AUDITED.map(|event| Asked::new(event, &arguments, &call.client));
            let reply = run::<B>(call, arguments).await;
            if let Some(asked) = asked {
                host.audit.record_all(asked.answered(&reply, cancelled.is_cancelled()));
            }
            reply.redacted()
        })
    }
}

impl Tool for Contributed {
    fn definition(&self) -> ToolDefinition {
        self.definition.clone()
    }

    fn call<'a>(&'a self, call: Call, arguments: Map<String, Value>) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            let name = &self.definition.name;
            let asked = Asked::of_plugin(name, &arguments, &call.client);
            let reply: Reply = match self.provider.call(&call.cx(), name, arguments).await {
                Ok(value) => Reply::Value(value),
                Err(error) => Said::failure(&format!("call `{name}`"), &error).into(),
            };
            call.host.audit.record_all(asked.answered(&reply, call.cancelled.is_cancelled()));
            reply.redacted()
        })
    }
}

async fn run<B: BuiltIn>(call: Call, arguments: Map<String, Value>) -> Reply {
    let cancelled = call.cancelled.clone();
    let arguments = match serde_json::from_value(Value::Object(arguments)) {
        Ok(arguments) => arguments,
        Err(error) => return Said::failure(B::DOING, &misfit::<B>(&error)).into(),
    };
    match cancelled.run_until_cancelled(B::run(call, arguments)).await {
        Some(Ok(reply)) => reply,
        Some(Err(error)) => Said::failure(B::DOING, &error).into(),
        // rmcp drops whatever is answered to a cancelled request
        None => Said::failure(B::DOING, &Error::new(perennial_sdk::ErrorCode::Cancelled, "cancelled")).into(),
    }
}

fn misfit<B: BuiltIn>(error: &serde_json::Error) -> Error {
    let schema = input_schema::<B::Arguments>();
    Error::invalid(format!("the arguments do not fit: {error}"))
        .hint(format!("the schema of `{}` is {schema}", B::NAME))
}

fn input_schema<A: JsonSchema>() -> Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<A>();
    schema.remove("$schema");
    schema.remove("title");
    schema.remove("description");
    schema.insert("type".into(), "object".into());
    schema.to_value()
}
