//! A plugin as somebody beyond a boundary calls it: by the names of methods, with JSON.

use std::{any::Any, panic::resume_unwind, sync::OnceLock};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    BoxFuture, Cx, DynStorage, Error, Exported, Home, Opened, Page, Result, Retention, body,
    method::{self, Bulk},
};

/// A plugin that is opened by its first method and answers the others from then on.
pub(crate) struct Dispatcher {
    initialised: method::Initialised,
    open: fn(Value, Home) -> BoxFuture<'static, Result<Opened>>,
    opened: OnceLock<Opened>,
    bodies: Bodies,
}

/// A result, in the form that its way out takes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) json: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// Whether long texts of results may stand beside the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    Apart,
    Inline,
}

impl Dispatcher {
    pub(crate) fn of<P: Exported>(bodies: Bodies) -> Self {
        let initialised = method::Initialised {
            id: P::ID.into(),
            version: P::VERSION.into(),
            provides: P::PROVIDES.iter().map(|&kind| kind.to_owned()).collect(),
        };
        Self { initialised, open: |config, home| Box::pin(P::open(config, home)), opened: OnceLock::new(), bodies }
    }

    /// Calls a method; none when there is none of this name.
    ///
    /// # Errors
    /// The plugin's own, and `invalid` for parameters that do not fit.
    pub(crate) async fn call(&self, cx: &Cx, method: &str, json: &[u8], body: &[u8]) -> Option<Result<Answer>> {
        Some(match method {
            method::INIT => self.init(json, body).await,
            method::SHUTDOWN => self.shutdown().await,
            method if method.starts_with("storage/") => match self.storage() {
                Ok(storage) => self.storage_method(storage, cx, method, json, body).await?,
                Err(error) => Err(error),
            },
            method::RUNTIME_DESCRIBE => self.describe(),
            method::RUNTIME_PLAN => self.plan(cx, json, body).await,
            method::TOOLS_LIST => self.tools(),
            method::TOOLS_CALL => self.call_tool(cx, json, body).await,
            _ => return None,
        })
    }

    /// Ends the plugin, if it was opened.
    pub(crate) async fn shutdown(&self) -> Result<Answer> {
        if let Some(opened) = self.opened.get() {
            opened.shutdown().await;
        }
        answer(&())
    }

    async fn init(&self, json: &[u8], body: &[u8]) -> Result<Answer> {
        let method::Init { config, home } = params(method::INIT, json, body)?;
        let opened = (self.open)(config, home).await?;
        self.opened.set(opened).map_err(|_| Error::invalid("the plugin was opened before"))?;
        answer(&self.initialised)
    }

    fn storage(&self) -> Result<&dyn DynStorage> {
        self.opened()?.storage.as_deref().ok_or_else(|| self.lacks("storage"))
    }

    fn describe(&self) -> Result<Answer> {
        let runtime = self.opened()?.runtime.as_ref().ok_or_else(|| self.lacks("runtime"))?;
        answer(&runtime.describe())
    }

    /// Planning computes, so that it has no place among what waits.
    async fn plan(&self, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
        let runtime = self.opened()?.runtime.clone().ok_or_else(|| self.lacks("runtime"))?;
        let method::PlanFor { spec, toolchain } = params::<method::PlanFor<'static>>(method::RUNTIME_PLAN, json, body)?;
        let cx = cx.clone();
        let plan = match tokio::task::spawn_blocking(move || runtime.plan(&cx, &spec, &toolchain)).await {
            Ok(plan) => plan?,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => return Err(error.into()),
        };
        self.answer(&plan, plan.bulk())
    }

    fn tools(&self) -> Result<Answer> {
        let tools = self.opened()?.tools.as_ref().ok_or_else(|| self.lacks("tools"))?;
        answer(&method::Tools { tools: tools.tools() })
    }

    async fn call_tool(&self, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
        let tools = self.opened()?.tools.as_ref().ok_or_else(|| self.lacks("tools"))?;
        let method::ToolCall { name, arguments } = params(method::TOOLS_CALL, json, body)?;
        let result = tools.call(cx, &name, arguments).await?;
        if self.bodies == Bodies::Inline || body::longest(&result) < body::LONG {
            return answer(&result);
        }
        let (json, body) = body::pack_value(result)?;
        Ok(Answer { json, body })
    }

    async fn storage_method(
        &self,
        storage: &dyn DynStorage,
        cx: &Cx,
        method: &str,
        json: &[u8],
        body: &[u8],
    ) -> Option<Result<Answer>> {
        Some(match method {
            method::STORAGE_DESCRIBE => answer(&method::StorageDescription {
                capabilities: storage.capabilities(),
                location: storage.location(),
            }),
            method::STORAGE_LIST => list(storage, cx, json, body).await,
            method::STORAGE_GET => self.get(storage, cx, json, body).await,
            method::STORAGE_PUT => put(storage, cx, json, body).await,
            method::STORAGE_VERSIONS => versions(storage, cx, json, body).await,
            method::STORAGE_DELETE => delete(storage, cx, json, body).await,
            method::STORAGE_DELETED => deleted(storage, cx, json, body).await,
            method::STORAGE_CHECK => check(storage, cx, json, body).await,
            method::STORAGE_COLLECT => collect(storage, cx, json, body).await,
            _ => return None,
        })
    }

    async fn get(&self, storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
        let method::Get { id, version } = params(method::STORAGE_GET, json, body)?;
        let record = storage.get(cx, &id, version).await?;
        self.answer(&record, record.bulk())
    }

    fn answer(&self, value: &impl Serialize, longest: usize) -> Result<Answer> {
        let (json, body) = body::pack(value, if self.bodies == Bodies::Apart { longest } else { 0 })?;
        Ok(Answer { json, body })
    }

    fn opened(&self) -> Result<&Opened> {
        self.opened.get().ok_or_else(|| Error::invalid(format!("`{}` comes first", method::INIT)))
    }

    fn lacks(&self, kind: &str) -> Error {
        Error::unsupported(format!("the plugin `{}` provides no {kind}", self.initialised.id))
    }
}

async fn list(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let page: Page = params(method::STORAGE_LIST, json, body)?;
    answer(&storage.list(cx, &page).await?)
}

async fn put(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let method::Put { record, expected, put_id } = params(method::STORAGE_PUT, json, body)?;
    answer(&storage.put(cx, &record, expected, &put_id).await?)
}

async fn versions(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let method::Id { id } = params(method::STORAGE_VERSIONS, json, body)?;
    answer(&storage.versions(cx, &id).await?)
}

async fn delete(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let method::Delete { id, expected } = params(method::STORAGE_DELETE, json, body)?;
    answer(&storage.delete(cx, &id, expected).await?)
}

async fn deleted(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let page: Page = params(method::STORAGE_DELETED, json, body)?;
    answer(&storage.deleted(cx, &page).await?)
}

async fn check(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let method::Check { repair } = params(method::STORAGE_CHECK, json, body)?;
    answer(&storage.check(cx, repair).await?)
}

async fn collect(storage: &dyn DynStorage, cx: &Cx, json: &[u8], body: &[u8]) -> Result<Answer> {
    let retention: Retention = params(method::STORAGE_COLLECT, json, body)?;
    answer(&storage.collect(cx, &retention).await?)
}

/// The message that a panic carried.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("the plugin panicked: {}", text.unwrap_or("no message"))
}

fn params<T: DeserializeOwned>(method: &str, json: &[u8], body: &[u8]) -> Result<T> {
    body::unpack(json, body).map_err(|error| error.context(format_args!("the parameters of `{method}` do not fit")))
}

fn answer(value: &impl Serialize) -> Result<Answer> {
    Ok(Answer { json: serde_json::to_vec(value)?, body: Vec::new() })
}
