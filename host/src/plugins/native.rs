//! The host's side of the C interface: all unsafe code of loading plugins and calling them.
#![allow(unsafe_code, reason = "the boundary is made of raw pointers")]

use std::{
    collections::HashMap,
    ffi::c_void,
    path::Path,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use perennial_sdk::{
    Cx, Error, Manifest, Progress, Result,
    abi::{self, Bytes},
};
use tokio::sync::oneshot;

use super::{
    log::log,
    status::outcome,
    transport::{Mortal, Request, Response},
};

/// A loaded plugin. It stays loaded for as long as the process lives: threads of it may run at any time.
pub(super) struct Library {
    name: String,
    /// What its descriptor says of it.
    pub(super) manifest: Manifest,
    functions: Functions,
    host: &'static abi::Host,
    number: usize,
    /// Makes the calls of a plugin that may block in them.
    caller: Option<mpsc::Sender<Job>>,
}

/// An instance of a plugin. The plugin is told of its end once every call has come back.
pub(super) struct Instance {
    library: Arc<Library>,
    this: This,
    /// Calls that have not come back.
    in_flight: AtomicUsize,
    death: OnceLock<Error>,
}

/// Calls that came back in a way that they must not: a second time, or without having been made.
pub(super) fn stray() -> u64 {
    STRAY.load(Ordering::Relaxed)
}

/// The calls to a plugin that have not come back.
pub(super) fn in_flight(plugin: &str) -> usize {
    let of = |shard: &Mutex<HashMap<u64, Pending>>| {
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.values().filter(|call| call.instance.library.name == plugin).count()
    };
    PENDING.iter().map(of).sum()
}

/// Calls that a plugin may leave unanswered before it gets no more.
const MOST_IN_FLIGHT: usize = 10_000;

static STRAY: AtomicU64 = AtomicU64::new(0);
static NEXT_CALL: AtomicU64 = AtomicU64::new(1);
static PENDING: LazyLock<[Mutex<HashMap<u64, Pending>>; 16]> = LazyLock::new(Default::default);

/// The names of loaded plugins by their number, which is what stands for a host in the hands of a plugin.
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[derive(Clone, Copy)]
struct Functions {
    create: unsafe extern "C" fn(*const abi::Host) -> *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, *const abi::Call),
    cancel: unsafe extern "C" fn(*mut c_void, u64),
    destroy: unsafe extern "C" fn(*mut c_void),
}

#[derive(Clone, Copy)]
struct This(*mut c_void);

// SAFETY: `perennial.h` lets the host use an instance on any thread, one after the other unless the plugin is prompt.
unsafe impl Send for This {}
// SAFETY: as above; `Instance::start` and `Instance::cancel` keep to it.
unsafe impl Sync for This {}

/// A call that has not come back. What the plugin may still read stays here until it does.
struct Pending {
    answer: oneshot::Sender<(i32, Response)>,
    cx: Cx,
    request: Request,
    instance: Arc<Instance>,
}

/// What the caller thread of a plugin does next.
enum Job {
    Call(Arc<Instance>, Outgoing),
    Cancel(Arc<Instance>, u64),
}

struct Outgoing(abi::Call);

// SAFETY: its bytes lie in `PENDING` until the call comes back.
unsafe impl Send for Outgoing {}

impl Library {
    /// Loads a copy that was made of a library that was looked at, and runs its constructors.
    ///
    /// # Errors
    /// The loader refuses it, or its descriptor is not what it must be.
    #[cfg(not(all(target_env = "musl", target_feature = "crt-static")))]
    pub(super) fn load(name: &str, copy: &Path, manifest: &Manifest) -> Result<Arc<Self>> {
        use libloading::os::unix::{Library as Loaded, RTLD_LOCAL, RTLD_NOW};
        let refused = |error: libloading::Error| {
            Error::invalid("the system's loader refuses it").caused_by(&error).hint("`ldd` tells what it lacks")
        };
        // SAFETY: the operator has vouched for these very bytes by their hash, or by `trust = "unpinned"`. Constructors
        // run here; nothing is ever unloaded.
        let loaded =
            unsafe { Loaded::open(Some(copy), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) }.map_err(refused)?;
        type Entry = unsafe extern "C" fn() -> *const abi::Plugin;
        // SAFETY: `perennial.h` gives a symbol of this name this type.
        let entry = unsafe { loaded.get::<Entry>(manifest.symbol().as_bytes()) }.map_err(refused)?;
        // SAFETY: as above.
        let plugin = unsafe { entry() };
        std::mem::forget(loaded);
        // SAFETY: it is null or points to a descriptor in the library.
        let library = unsafe { Self::of(name, plugin) }?;
        if library.manifest != *manifest {
            return Err(Error::invalid(
                "its descriptor says something else of the plugin than the manifest in its section",
            ));
        }
        Ok(library)
    }

    /// A host that is linked statically has no loader.
    #[cfg(all(target_env = "musl", target_feature = "crt-static"))]
    pub(super) fn load(_: &str, _: &Path, _: &Manifest) -> Result<Arc<Self>> {
        Err(Error::unsupported("this build of Perennial is linked statically and cannot load libraries")
            .hint("run the plugin out of process: `command = […]`"))
    }

    /// A plugin that is linked in, reached as if it were loaded.
    ///
    /// # Errors
    /// As [`Library::load`].
    pub(super) fn linked(name: &str, plugin: &'static abi::Plugin) -> Result<Arc<Self>> {
        perennial_sdk::glue::this_is_the_host();
        // SAFETY: it is a reference.
        unsafe { Self::of(name, plugin) }
    }

    /// # Safety
    /// `plugin` is null or points to what its first five fields say that it is, for ever.
    unsafe fn of(name: &str, plugin: *const abi::Plugin) -> Result<Arc<Self>> {
        if plugin.is_null() {
            return Err(Error::invalid("its entry point gives nothing"));
        }
        // SAFETY: the head of a descriptor is there in every version; the rest is not looked at before its size is known.
        let (magic, major, size) = unsafe { ((*plugin).magic, (*plugin).abi_major, (*plugin).size) };
        if magic != abi::MAGIC {
            return Err(Error::invalid(format!("its descriptor begins with {magic:#x}, not with {:#x}", abi::MAGIC)));
        }
        if major != abi::MAJOR {
            return Err(Error::invalid(format!(
                "its descriptor is of version {major} of the plugin interface, and this program speaks {}",
                abi::MAJOR
            )));
        }
        if (size as usize) < size_of::<abi::Plugin>() {
            let whole = size_of::<abi::Plugin>();
            return Err(Error::invalid(format!("its descriptor has {size} bytes of at least {whole}")));
        }
        // SAFETY: it is whole.
        let plugin = unsafe { &*plugin };
        // SAFETY: it lies in the library, which is never unloaded.
        let manifest = unsafe { slice(plugin.manifest) }.unwrap_or_default();
        let manifest = Manifest::parse(&String::from_utf8_lossy(manifest))
            .map_err(|error| error.context("the manifest of its descriptor cannot be used"))?;
        let missing = |function: &str| Error::invalid(format!("its descriptor lacks `{function}`"));
        let functions = Functions {
            create: plugin.create.ok_or_else(|| missing("create"))?,
            call: plugin.call.ok_or_else(|| missing("call"))?,
            cancel: plugin.cancel.ok_or_else(|| missing("cancel"))?,
            destroy: plugin.destroy.ok_or_else(|| missing("destroy"))?,
        };
        let number = {
            let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
            names.push(name.into());
            names.len()
        };
        // never freed: a plugin may keep it
        let host = Box::leak(Box::new(abi::Host {
            size: size_of::<abi::Host>() as u32,
            abi_minor: abi::MINOR,
            ctx: std::ptr::without_provenance_mut(number),
            complete,
            emit,
        }));
        let prompt = plugin.flags & abi::FLAG_PROMPT != 0;
        let caller = if prompt { None } else { Some(caller(name, functions)?) };
        Ok(Arc::new(Self { name: name.into(), manifest, functions, host, number, caller }))
    }

    /// A new instance; it is the plugin's code that runs, and it may block.
    ///
    /// # Errors
    /// The plugin gives none.
    pub(super) fn instance(self: &Arc<Self>) -> Result<Instance> {
        // SAFETY: the host's description is never freed.
        let this = unsafe { (self.functions.create)(self.host) };
        if this.is_null() {
            return Err(Error::internal(format!("the plugin `{}` makes no instance of itself", self.name)));
        }
        Ok(Instance { library: self.clone(), this: This(this), in_flight: AtomicUsize::new(0), death: OnceLock::new() })
    }
}

impl Instance {
    /// Calls a method. Dropping the future gives the call up; what the plugin may still read stays until it comes back.
    ///
    /// # Errors
    /// Those of the plugin.
    pub(super) async fn call(self: &Arc<Self>, cx: &Cx, request: Request) -> Result<Response> {
        let method = request.method;
        let mut waiting = self.start(cx, request)?;
        let (status, response) = (&mut waiting.answer)
            .await
            .map_err(|_| Error::internal(format!("the plugin `{}` lost a call", self.library.name)))?;
        waiting.came_back = true;
        let panicked = status == abi::PANIC;
        outcome(status, response, &self.library.name, method).inspect_err(|error| {
            if panicked {
                let _ = self.death.set(error.clone());
            }
        })
    }

    fn start(self: &Arc<Self>, cx: &Cx, request: Request) -> Result<Waiting> {
        if self.in_flight.load(Ordering::Relaxed) >= MOST_IN_FLIGHT {
            let name = &self.library.name;
            return Err(Error::unavailable(format!("the plugin `{name}` has left {MOST_IN_FLIGHT} calls unanswered")));
        }
        let id = NEXT_CALL.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let timeout = cx.remaining().map_or(0, |left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1));
        // moving a request does not move its bytes
        let call = Outgoing(abi::Call {
            size: size_of::<abi::Call>() as u32,
            reserved: 0,
            id,
            timeout_ms: timeout,
            method: Bytes::of(request.method.as_bytes()),
            json: Bytes::of(&request.json),
            body: Bytes::of(&request.body),
        });
        let pending = Pending { answer, cx: cx.clone(), request, instance: self.clone() };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        shard(id).insert(id, pending);
        match &self.library.caller {
            // SAFETY: the instance lives, and the call's bytes lie in `PENDING` until it comes back.
            None => unsafe { (self.library.functions.call)(self.this.0, &raw const call.0) },
            Some(caller) => drop(caller.send(Job::Call(self.clone(), call))),
        }
        Ok(Waiting { id, answer: answered, instance: self.clone(), came_back: false })
    }

    fn cancel(self: &Arc<Self>, id: u64) {
        match &self.library.caller {
            // SAFETY: the instance lives; an id that the plugin does not know is none of its calls any more.
            None => unsafe { (self.library.functions.cancel)(self.this.0, id) },
            Some(caller) => drop(caller.send(Job::Cancel(self.clone(), id))),
        }
    }
}

impl Mortal for Instance {
    fn death(&self) -> Option<Error> {
        self.death.get().cloned()
    }
}

/// The last reference may go on the plugin's own stack, inside `complete`: its end is told it elsewhere.
impl Drop for Instance {
    fn drop(&mut self) {
        struct Dead(Functions, This, Arc<Library>);
        static REAPER: LazyLock<Mutex<mpsc::Sender<Dead>>> = LazyLock::new(|| {
            let (sender, dead) = mpsc::channel::<Dead>();
            let reap = move || {
                for Dead(functions, this, _library) in dead {
                    // SAFETY: it came from `create`, no call of it is pending, and nobody else has it any more.
                    unsafe { (functions.destroy)(this.0) };
                }
            };
            if let Err(error) = thread::Builder::new().name("plugin-reaper".into()).spawn(reap) {
                tracing::warn!(%error, "instances of plugins stay for ever");
            }
            Mutex::new(sender)
        });
        let dead = Dead(self.library.functions, self.this, self.library.clone());
        let _ = REAPER.lock().unwrap_or_else(PoisonError::into_inner).send(dead);
    }
}

/// Somebody waits for a call; dropped early, the plugin is told.
struct Waiting {
    id: u64,
    answer: oneshot::Receiver<(i32, Response)>,
    instance: Arc<Instance>,
    came_back: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.came_back {
            self.instance.cancel(self.id);
        }
    }
}

/// The thread that makes the calls of a plugin that is not prompt, one after the other: its own, so that one which
/// blocks keeps nobody else waiting.
fn caller(name: &str, functions: Functions) -> Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    let work = move || {
        for job in jobs {
            match job {
                // SAFETY: as in `Instance::start`.
                Job::Call(instance, call) => unsafe { (functions.call)(instance.this.0, &raw const call.0) },
                // SAFETY: as in `Instance::cancel`.
                Job::Cancel(instance, id) => unsafe { (functions.cancel)(instance.this.0, id) },
            }
        }
    };
    thread::Builder::new().name(format!("plugin {name}")).spawn(work)?;
    Ok(sender)
}

unsafe extern "C" fn complete(ctx: *mut c_void, id: u64, status: i32, json: Bytes, body: Bytes) {
    let pending = {
        let mut shard = shard(id);
        match shard.get(&id) {
            Some(pending) if pending.instance.library.number == ctx.addr() => shard.remove(&id),
            _ => None,
        }
    };
    let Some(Pending { answer, request, instance, .. }) = pending else {
        STRAY.fetch_add(1, Ordering::Relaxed);
        return;
    };
    // SAFETY: the plugin lends them until this returns.
    let (json, body) = unsafe { (slice(json), slice(body)) };
    let response = Response { json: json.unwrap_or_default().to_vec(), body: body.unwrap_or_default().to_vec() };
    instance.in_flight.fetch_sub(1, Ordering::Relaxed);
    let _ = answer.send((status, response));
    drop(request);
}

unsafe extern "C" fn emit(ctx: *mut c_void, id: u64, kind: u32, json: Bytes) {
    // SAFETY: the plugin lends it until this returns.
    let json = unsafe { slice(json) }.unwrap_or_default();
    match kind {
        abi::EMIT_PROGRESS => {
            let cx = shard(id).get(&id).filter(|call| call.instance.library.number == ctx.addr()).map(|c| c.cx.clone());
            if let (Some(cx), Ok(Progress { done, total, message })) = (cx, serde_json::from_slice(json)) {
                cx.progress(done, total, message);
            }
        }
        abi::EMIT_LOG => {
            // whose it is says the host that it was given, never the call that it names: that may be another plugin's
            let names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
            let name = names.get(ctx.addr().wrapping_sub(1)).cloned().unwrap_or_default();
            drop(names);
            log(&name, json);
        }
        _ => {}
    }
}

fn shard(id: u64) -> MutexGuard<'static, HashMap<u64, Pending>> {
    PENDING[(id % 16) as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// The bytes must stay valid for `'a`.
unsafe fn slice<'a>(bytes: Bytes) -> Option<&'a [u8]> {
    if bytes.ptr.is_null() || isize::try_from(bytes.len).is_err() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(bytes.ptr, bytes.len) })
}
