//! The plugin's side of the C interface: all unsafe code of the SDK.
#![allow(unsafe_code, reason = "the boundary is made of raw pointers")]

use std::{
    collections::HashMap,
    ffi::c_void,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    ptr::null_mut,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use serde_json::json;
use tokio::{runtime::Runtime, sync::watch};

use crate::{
    Cx, Error, ErrorCode, Exported, Progress, Result,
    abi::{self, Bytes},
    dispatch::{Answer, Bodies, Dispatcher, panic_message},
    forward::{self, Source},
};

/// The entry point of a plugin, and its manifest in a section of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($id:ident, $plugin:ty, $manifest:expr) => {
        const LINE: &[&str] = $manifest;

        #[used]
        #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__perennial"))]
        #[cfg_attr(windows, unsafe(link_section = ".prnnl"))]
        #[cfg_attr(not(any(target_vendor = "apple", windows)), unsafe(link_section = ".perennial"))]
        static MANIFEST: [u8; $crate::manifest::length(LINE)] = $crate::manifest::joined(LINE);

        static ENTRY: $crate::abi::Plugin = $crate::glue::plugin::<$plugin>(&MANIFEST);

        // the id is part of the name, so that any number of plugins can be linked into one program
        #[unsafe(export_name = concat!("perennial_plugin_v1__", stringify!($id)))]
        extern "C" fn entry() -> *const $crate::abi::Plugin {
            &ENTRY
        }
    };
}

/// Says that this copy of the SDK is the host's own: a plugin that is reached through the C interface all the same, in a
/// test, must not take the host's panic hook and logging.
pub fn this_is_the_host() {
    HOST.store(true, Ordering::Relaxed);
}

/// The descriptor of a plugin whose manifest stands in a section as `line`.
pub const fn plugin<P: Exported>(line: &'static [u8]) -> abi::Plugin {
    let (_, rest) = line.split_at(crate::Manifest::HEAD.len());
    let (json, _newline) = rest.split_at(rest.len() - 1);
    abi::Plugin {
        magic: abi::MAGIC,
        abi_major: abi::MAJOR,
        abi_minor: abi::MINOR,
        size: size_of::<abi::Plugin>() as u32,
        flags: abi::FLAG_PROMPT,
        manifest: Bytes::of(json),
        create: Some(create::<P>),
        call: Some(call),
        cancel: Some(cancel),
        destroy: Some(destroy),
    }
}

// SAFETY: a descriptor is never written to, and what it points to lives as long as the library.
unsafe impl Sync for abi::Plugin {}

// SAFETY: `perennial.h` lets a plugin call the host on any thread for as long as the process lives.
unsafe impl Sync for abi::Host {}

static HOST: AtomicBool = AtomicBool::new(false);

/// A plugin as the host holds it.
struct Instance {
    dispatcher: Dispatcher,
    host: &'static abi::Host,
    /// The calls that go on.
    calls: Mutex<HashMap<u64, Running>>,
    /// How many of them were given up.
    given_up: AtomicUsize,
}

/// A call that goes on.
struct Running {
    /// Tells it that nobody waits for it any more.
    gave_up: watch::Sender<bool>,
    /// When that was.
    since: Option<Instant>,
}

/// A call on its way through the plugin. Its bytes stay valid until it is completed.
struct Incoming {
    id: u64,
    timeout_ms: u64,
    method: &'static [u8],
    json: &'static [u8],
    body: &'static [u8],
}

/// Completes a call once, even when its future is dropped or panics.
struct Completer {
    host: &'static abi::Host,
    id: u64,
}

unsafe extern "C" fn create<P: Exported>(host: *const abi::Host) -> *mut c_void {
    let create = || {
        // SAFETY: the host passes its description or null; the size is there in every version.
        if host.is_null() || (unsafe { (*host).size } as usize) < size_of::<abi::Host>() {
            return None;
        }
        // SAFETY: it is whole, and the host keeps it for as long as the process lives.
        let host: &'static abi::Host = unsafe { &*host };
        runtime()?;
        if !HOST.load(Ordering::Relaxed) {
            forward::install(host, log);
        }
        let instance = Instance {
            dispatcher: Dispatcher::of::<P>(Bodies::Apart),
            host,
            calls: Mutex::default(),
            given_up: AtomicUsize::new(0),
        };
        Some(Arc::into_raw(Arc::new(instance)).cast_mut().cast())
    };
    catch_unwind(create).ok().flatten().unwrap_or(null_mut())
}

unsafe extern "C" fn destroy(this: *mut c_void) {
    let _ = catch_unwind(|| {
        // what a plugin holds may need a runtime to be dropped in
        let _within = runtime().map(Runtime::enter);
        // SAFETY: `this` came from `create`, and the host gives it back once.
        drop(unsafe { Arc::from_raw(this.cast::<Instance>()) });
    });
}

unsafe extern "C" fn cancel(this: *mut c_void, id: u64) {
    let _ = catch_unwind(|| {
        // SAFETY: `this` came from `create` and was not given back.
        let instance = unsafe { &*this.cast::<Instance>() };
        if let Some(call) = instance.calls().get_mut(&id)
            && call.since.replace(Instant::now()).is_none()
        {
            instance.given_up.fetch_add(1, Ordering::Relaxed);
            call.gave_up.send_replace(true);
        }
    });
}

unsafe extern "C" fn call(this: *mut c_void, call: *const abi::Call) {
    // SAFETY: `this` came from `create` and was not given back: it still counts one reference, to which one is added.
    let instance = unsafe {
        Arc::increment_strong_count(this.cast::<Instance>());
        Arc::from_raw(this.cast::<Instance>())
    };
    // SAFETY: the host passes a valid call; its bytes stay valid until it is completed, which the completer does last.
    let incoming = unsafe {
        let call = &*call;
        Incoming {
            id: call.id,
            timeout_ms: call.timeout_ms,
            method: call.method.bytes(),
            json: call.json.bytes(),
            body: call.body.bytes(),
        }
    };
    let completer = Completer { host: instance.host, id: incoming.id };
    let _ = catch_unwind(AssertUnwindSafe(move || {
        let (gave_up, cancelled) = watch::channel(false);
        instance.calls().insert(incoming.id, Running { gave_up, since: None });
        let runtime = if instance.is_stuck() { fresh_runtime() } else { runtime() };
        if let Some(runtime) = runtime {
            runtime.spawn(run(instance, incoming, cancelled, completer));
        }
    }));
}

async fn run(instance: Arc<Instance>, incoming: Incoming, cancelled: watch::Receiver<bool>, completer: Completer) {
    let Incoming { id, timeout_ms, method, json, body } = incoming;
    let source = Source { host: instance.host, call: id };
    let mut cx = Cx::detached().with_cancel(cancelled).with_progress(move |progress| progress_of(source, &progress));
    if timeout_ms > 0 {
        cx = cx.with_timeout(Duration::from_millis(timeout_ms));
    }
    let outcome = {
        let method = std::str::from_utf8(method).unwrap_or_default();
        let mut work = pin!(AssertUnwindSafe(instance.dispatcher.call(&cx, method, json, body)).catch_unwind());
        let work = poll_fn(|context| forward::within(source, || work.as_mut().poll(context)));
        tokio::select! {
            biased;
            () = cx.cancelled() => Outcome::Cancelled,
            outcome = work => match outcome {
                Ok(Some(answer)) => Outcome::Answered(answer),
                Ok(None) => Outcome::UnknownMethod,
                Err(payload) => Outcome::Panicked(panic_message(&*payload)),
            },
        }
    };
    instance.ended(id);
    match outcome {
        Outcome::Answered(Ok(Answer { json, body })) => completer.complete(abi::OK, &json, &body),
        Outcome::Answered(Err(error)) => completer.fail(abi::ERROR, &error),
        Outcome::UnknownMethod => completer.complete(abi::UNKNOWN_METHOD, &[], &[]),
        Outcome::Cancelled => completer.fail(abi::CANCELLED, &Error::new(ErrorCode::Cancelled, "cancelled")),
        Outcome::Panicked(message) => completer.fail(abi::PANIC, &Error::internal(message)),
    }
}

enum Outcome {
    Answered(Result<Answer>),
    UnknownMethod,
    Cancelled,
    Panicked(String),
}

impl Instance {
    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, id: u64) {
        if self.calls().remove(&id).is_some_and(|call| call.since.is_some()) {
            self.given_up.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a call goes on that was given up long ago, which only one that blocks its thread does; each counts once.
    fn is_stuck(&self) -> bool {
        if self.given_up.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut stuck = false;
        for call in self.calls().values_mut() {
            if call.since.is_some_and(|since| since.elapsed() > STUCK_AFTER) {
                call.since = None;
                self.given_up.fetch_sub(1, Ordering::Relaxed);
                stuck = true;
            }
        }
        stuck
    }
}

impl Completer {
    fn fail(self, status: i32, error: &Error) {
        self.complete(status, &serde_json::to_vec(error).unwrap_or_default(), &[]);
    }

    fn complete(self, status: i32, json: &[u8], body: &[u8]) {
        self.tell(status, json, body);
        std::mem::forget(self);
    }

    fn tell(&self, status: i32, json: &[u8], body: &[u8]) {
        // SAFETY: the host's functions may be called on any thread; it reads the bytes before it returns.
        unsafe { (self.host.complete)(self.host.ctx, self.id, status, Bytes::of(json), Bytes::of(body)) }
    }
}

impl Drop for Completer {
    fn drop(&mut self) {
        let message = json!({ "code": "internal", "message": "the plugin gave the call up" });
        self.tell(abi::PANIC, message.to_string().as_bytes(), &[]);
    }
}

impl Bytes {
    /// # Safety
    /// They must stay valid for `'a`.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// The runtime of this library: a host's runtime belongs to another copy of tokio. It has one thread, since to wake one is
/// cheaper than to wake one of two.
fn runtime() -> Option<&'static Runtime> {
    let current = *CURRENT.read().unwrap_or_else(PoisonError::into_inner);
    current.or_else(fresh_runtime)
}

/// A runtime in the place of one whose thread is blocked, or of none; the blocked one when there were too many.
fn fresh_runtime() -> Option<&'static Runtime> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut current = CURRENT.write().unwrap_or_else(PoisonError::into_inner);
    if MADE.load(Ordering::Relaxed) < MOST_RUNTIMES {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Ok(runtime) = builder.worker_threads(1).thread_name("perennial-plugin").enable_all().build() {
            MADE.fetch_add(1, Ordering::Relaxed);
            *current = Some(Box::leak(Box::new(runtime)));
        }
    }
    *current
}

static CURRENT: RwLock<Option<&'static Runtime>> = RwLock::new(None);

/// A call that still goes on so long after it was given up blocks its thread.
const STUCK_AFTER: Duration = Duration::from_millis(100);

/// Threads that a plugin may block before its calls wait for them.
const MOST_RUNTIMES: usize = 16;

fn progress_of(source: Source, progress: &Progress) {
    if let Ok(json) = serde_json::to_vec(progress) {
        emit(source, abi::EMIT_PROGRESS, &json);
    }
}

fn log(source: Source, record: &[u8]) {
    emit(source, abi::EMIT_LOG, record);
}

fn emit(source: Source, kind: u32, json: &[u8]) {
    // SAFETY: as for `complete`.
    unsafe { (source.host.emit)(source.host.ctx, source.call, kind, Bytes::of(json)) }
}
