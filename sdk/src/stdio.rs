//! A plugin out of process: JSON-RPC 2.0 on standard input and output, a message a line.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
    panic::AssertUnwindSafe,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::watch;

use crate::{
    Cx, Error, ErrorCode, Exported, Result,
    dispatch::{Bodies, Dispatcher, panic_message},
    method,
    rpc::RpcError,
};

/// Runs a plugin as a program of its own, until standard input ends: what a `main` of one line calls.
///
/// ```no_run
/// # use perennial_sdk::prelude::*;
/// # struct Clock;
/// # impl Plugin for Clock {
/// #     type Config = Value;
/// #     async fn init(_: Value, _: Home) -> Result<Self> { Ok(Clock) }
/// # }
/// # impl ToolProvider for Clock {
/// #     fn tools(&self) -> Vec<ToolDefinition> { Vec::new() }
/// #     async fn call(&self, _: &Cx, _: &str, _: serde_json::Map<String, Value>) -> Result<Value> { Ok(json!({})) }
/// # }
/// # use perennial_sdk::serde_json;
/// # export_plugin!(clock, Clock: [tools]);
/// fn main() -> std::process::ExitCode {
///     perennial_sdk::serve::<Clock>()
/// }
/// ```
pub fn serve<P: Exported>() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let server = Arc::new(Server { dispatcher: Dispatcher::of::<P>(Bodies::Inline), calls: Mutex::default() });
    for line in io::stdin().lock().split(b'\n') {
        match line {
            Ok(line) if line.trim_ascii().is_empty() => {}
            Ok(line) => server.accept(&line, &runtime),
            Err(_) => break,
        }
    }
    let _ = runtime.block_on(server.dispatcher.shutdown());
    runtime.shutdown_timeout(Duration::from_millis(200));
    ExitCode::SUCCESS
}

struct Server {
    dispatcher: Dispatcher,
    calls: Mutex<HashMap<u64, watch::Sender<bool>>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Value,
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

impl Server {
    fn accept(self: &Arc<Self>, line: &[u8], runtime: &tokio::runtime::Runtime) {
        let Ok(Message { id, method: Some(method), params, timeout_ms }) = serde_json::from_slice(line) else { return };
        let params = params.map_or("null", RawValue::get);
        match (method.as_str(), id.as_u64()) {
            (method::CANCEL, _) => {
                let wanted = serde_json::from_str::<Value>(params).ok().and_then(|params| params["id"].as_u64());
                if let Some(call) = wanted.and_then(|id| self.calls().remove(&id)) {
                    call.send_replace(true);
                }
            }
            (_, Some(id)) => {
                let (gave_up, cancelled) = watch::channel(false);
                self.calls().insert(id, gave_up);
                let mut cx = Cx::detached().with_cancel(cancelled).with_progress(move |progress| {
                    let mut params = serde_json::to_value(progress).unwrap_or_default();
                    params["id"] = id.into();
                    send(&json!({ "jsonrpc": "2.0", "method": method::PROGRESS, "params": params }));
                });
                if let Some(timeout_ms) = timeout_ms {
                    cx = cx.with_timeout(Duration::from_millis(timeout_ms));
                }
                let (server, params) = (self.clone(), params.to_owned());
                runtime.spawn(async move {
                    let outcome = server.outcome(&cx, &method, params.as_bytes()).await;
                    server.calls().remove(&id);
                    answer(id, outcome);
                });
            }
            _ => {}
        }
    }

    async fn outcome(&self, cx: &Cx, method: &str, params: &[u8]) -> Result<String, RpcError> {
        let work = AssertUnwindSafe(self.dispatcher.call(cx, method, params, &[])).catch_unwind();
        let outcome = tokio::select! {
            biased;
            () = cx.cancelled() => return Err(Error::new(ErrorCode::Cancelled, "cancelled").into()),
            outcome = work => outcome,
        };
        match outcome {
            Ok(Some(Ok(answer))) => String::from_utf8(answer.json).map_err(|error| Error::from(error).into()),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => {
                Err(RpcError { code: RpcError::NO_METHOD, message: format!("no method `{method}`"), data: Value::Null })
            }
            Err(payload) => Err(Error::internal(panic_message(&*payload)).into()),
        }
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<u64, watch::Sender<bool>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(id: u64, outcome: Result<String, RpcError>) {
    match outcome {
        Ok(result) => write(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n")),
        Err(error) => send(&json!({ "jsonrpc": "2.0", "id": id, "error": error })),
    }
}

fn send(message: &Value) {
    write(&format!("{message}\n"));
}

fn write(line: &str) {
    let mut stdout = io::stdout().lock();
    // a host that is gone closes standard input, too
    let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
}
