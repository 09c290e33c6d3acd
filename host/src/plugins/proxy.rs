use std::{borrow::Cow, sync::Arc, time::Duration};

use perennial_sdk::{
    BoxFuture, Capabilities, Checked, Collected, Cx, Description, DynStorage, DynTools, Error, ErrorCode, Expected,
    LanguageRuntime, Listing, Page, Plan, PutId, Result, Retention, SavedServer, ServerId, ServerSpec, ToolDefinition,
    Toolchain, Version, body, check_by_reading,
    method::{self, Bulk},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::{runtime::Handle, time::sleep};

use super::transport::{Request, Transport};

/// A plugin that is not linked in, as the rest of the host sees it: the same traits, whatever the way to it.
pub(super) struct Proxy {
    name: String,
    transport: Arc<dyn Transport>,
    /// How long a call may take whose caller gives it no less.
    limit: Duration,
    handle: Handle,
    description: Description,
    storage: Option<method::StorageDescription>,
    tools: Vec<ToolDefinition>,
}

/// How long a storage may take to go through all that is saved, when its caller gives it no less.
const UPKEEP: Duration = Duration::from_secs(3600);

/// How long a plugin may take to write what is still to be written when the host ends.
const LAST_WISHES: Duration = Duration::from_millis(500);

impl Proxy {
    /// Asks an open plugin for all that it says of itself; `provides` are the kinds that it is.
    ///
    /// # Errors
    /// Those of the plugin.
    pub(super) async fn open(
        name: &str,
        transport: Arc<dyn Transport>,
        provides: &[String],
        limit: Duration,
    ) -> Result<Self> {
        let mut proxy = Self {
            name: name.into(),
            transport,
            limit,
            handle: Handle::current(),
            description: Description::default(),
            storage: None,
            tools: Vec::new(),
        };
        let (cx, is) = (Cx::detached(), |kind: &str| provides.iter().any(|provided| provided == kind));
        if is("runtime") {
            proxy.description = proxy.ask(&cx, method::RUNTIME_DESCRIBE, &(), 0).await?;
        }
        if is("storage") {
            proxy.storage = match proxy.ask(&cx, method::STORAGE_DESCRIBE, &(), 0).await {
                Ok(description) => Some(description),
                Err(error) if error.code == ErrorCode::Unsupported => None,
                Err(error) => return Err(error),
            };
        }
        if is("tools") {
            proxy.tools = proxy.ask::<method::Tools>(&cx, method::TOOLS_LIST, &(), 0).await?.tools;
        }
        Ok(proxy)
    }

    /// Ends the plugin: what must still be written is written, within half a second.
    pub(super) async fn shutdown(self: Arc<Self>) {
        // where it was opened: whoever ends it may have no timers
        let _ = self.handle.clone().spawn(async move { self.end().await }).await;
    }

    async fn end(&self) {
        let cx = Cx::detached().with_timeout(LAST_WISHES);
        if let Err(error) = self.ask::<Value>(&cx, method::SHUTDOWN, &(), 0).await {
            tracing::debug!(plugin = self.name, %error, "the plugin did not end by itself");
        }
        self.transport.close().await;
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        cx: &Cx,
        method: &'static str,
        params: &impl Serialize,
        longest: usize,
    ) -> Result<T> {
        let packed = body::pack(params, if self.transport.takes_bodies() { longest } else { 0 })?;
        self.send(cx, method, packed, self.limit).await
    }

    async fn upkeep<T: DeserializeOwned>(&self, cx: &Cx, method: &'static str, params: &impl Serialize) -> Result<T> {
        self.send(cx, method, body::pack(params, 0)?, UPKEEP.max(self.limit)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        cx: &Cx,
        method: &'static str,
        (json, body): (Vec<u8>, Vec<u8>),
        limit: Duration,
    ) -> Result<T> {
        let limit = cx.remaining().map_or(limit, |left| left.min(limit));
        let limited = cx.clone().with_timeout(limit);
        let response = tokio::select! {
            biased;
            response = self.transport.call(&limited, Request { method, json, body }) => response?,
            () = cx.cancelled() => return Err(Error::new(ErrorCode::Cancelled, "cancelled")),
            () = sleep(limit) => return Err(self.late(method, limit)),
        };
        body::unpack(&response.json, response.body).map_err(|error| {
            Error::internal(format!("the answer of the plugin `{}` to `{method}` does not fit: {error}", self.name))
        })
    }

    fn late(&self, method: &str, limit: Duration) -> Error {
        let seconds = limit.as_secs_f64();
        Error::new(
            ErrorCode::Timeout,
            format!("the plugin `{}` did not answer `{method}` within {seconds} s", self.name),
        )
    }
}

impl LanguageRuntime for Proxy {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    /// To be called where blocking is allowed, as plans are made anyway.
    fn plan(&self, cx: &Cx, spec: &ServerSpec, toolchain: &Toolchain) -> Result<Plan> {
        let params = method::PlanFor { spec: Cow::Borrowed(spec), toolchain: Cow::Borrowed(toolchain) };
        self.handle.block_on(self.ask(cx, method::RUNTIME_PLAN, &params, spec.bulk()))
    }
}

impl DynStorage for Proxy {
    fn capabilities(&self) -> Capabilities {
        self.storage.as_ref().map_or(Capabilities { shared: false, versions: true }, |storage| storage.capabilities)
    }

    fn location(&self) -> String {
        self.storage.as_ref().map_or_else(|| format!("the plugin `{}`", self.name), |storage| storage.location.clone())
    }

    fn list<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(self.ask(cx, method::STORAGE_LIST, page, 0))
    }

    fn get<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, version: Option<Version>) -> BoxFuture<'a, Result<SavedServer>> {
        Box::pin(async move {
            let params = method::Get { id: Cow::Borrowed(id), version };
            self.ask(cx, method::STORAGE_GET, &params, 0).await
        })
    }

    fn put<'a>(
        &'a self,
        cx: &'a Cx,
        record: &'a SavedServer,
        expected: Expected,
        put_id: &'a PutId,
    ) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            let params = method::Put { record: Cow::Borrowed(record), expected, put_id: Cow::Borrowed(put_id) };
            self.ask(cx, method::STORAGE_PUT, &params, record.bulk()).await
        })
    }

    fn versions<'a>(&'a self, cx: &'a Cx, id: &'a ServerId) -> BoxFuture<'a, Result<Vec<Version>>> {
        Box::pin(async move { self.ask(cx, method::STORAGE_VERSIONS, &method::Id { id: Cow::Borrowed(id) }, 0).await })
    }

    fn delete<'a>(&'a self, cx: &'a Cx, id: &'a ServerId, expected: Expected) -> BoxFuture<'a, Result<Version>> {
        Box::pin(async move {
            let params = method::Delete { id: Cow::Borrowed(id), expected };
            self.ask(cx, method::STORAGE_DELETE, &params, 0).await
        })
    }

    fn deleted<'a>(&'a self, cx: &'a Cx, page: &'a Page) -> BoxFuture<'a, Result<Listing>> {
        Box::pin(async move {
            let listing = self.ask(cx, method::STORAGE_DELETED, page, 0).await;
            listing.map_err(|error| unless_able(error, || "this storage cannot list what was deleted".into()))
        })
    }

    fn check<'a>(&'a self, cx: &'a Cx, repair: bool) -> BoxFuture<'a, Result<Checked>> {
        Box::pin(async move {
            match self.upkeep(cx, method::STORAGE_CHECK, &method::Check { repair }).await {
                Err(error) if error.code == ErrorCode::Unsupported => check_by_reading(self, cx).await,
                checked => checked,
            }
        })
    }

    fn collect<'a>(&'a self, cx: &'a Cx, retention: &'a Retention) -> BoxFuture<'a, Result<Collected>> {
        Box::pin(async move {
            let collected = self.upkeep(cx, method::STORAGE_COLLECT, retention).await;
            let nothing = || format!("the storage at `{}` removes nothing by itself", self.location());
            collected.map_err(|error| unless_able(error, nothing))
        })
    }
}

/// Says first what a storage cannot do that lacks a method: the words of a program that lacks one rarely do.
fn unless_able(error: Error, lack: impl FnOnce() -> String) -> Error {
    if error.code == ErrorCode::Unsupported { error.context(lack()) } else { error }
}

impl DynTools for Proxy {
    fn tools(&self) -> Vec<ToolDefinition> {
        self.tools.clone()
    }

    fn call<'a>(&'a self, cx: &'a Cx, name: &'a str, arguments: Map<String, Value>) -> BoxFuture<'a, Result<Value>> {
        Box::pin(async move {
            let longest = arguments.values().map(body::longest).max().unwrap_or(0);
            if self.transport.takes_bodies() && longest >= body::LONG {
                let named = [("name", Value::from(name)), ("arguments", Value::from(arguments))];
                let params = named.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>();
                return self.send(cx, method::TOOLS_CALL, body::pack_value(params)?, self.limit).await;
            }
            let params = method::ToolCall { name: Cow::Borrowed(name), arguments };
            self.ask(cx, method::TOOLS_CALL, &params, 0).await
        })
    }
}
