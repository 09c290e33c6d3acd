//! The frozen C interface of native plugins, as `include/perennial.h` has it and explains it.
//!
//! The structs here stay what they are in version 1.0, so that what their sizes are compared with is what every plugin and
//! every host of version 1 has. What a later minor appends is read by a struct of its own that begins with one of these,
//! once `size` has said that it is there; never through a reference to more than that.

use std::ffi::c_void;

/// The first field of every descriptor.
pub const MAGIC: u64 = 0x5045_5245_4e4e_0001;
/// What a host and its plugins must agree on.
pub const MAJOR: u32 = 1;
/// What was appended since.
pub const MINOR: u32 = 0;
/// A plugin's symbol is this and its id, with `_` for `-`.
pub const SYMBOL_PREFIX: &str = "perennial_plugin_v1__";

/// The JSON is the result.
pub const OK: i32 = 0;
/// The JSON is an [`Error`](crate::Error).
pub const ERROR: i32 = 1;
/// The plugin panicked; the JSON is an error.
pub const PANIC: i32 = 2;
/// The call was given up because the host asked for that.
pub const CANCELLED: i32 = 3;
/// The plugin has no such method.
pub const UNKNOWN_METHOD: i32 = 4;

/// A log record.
pub const EMIT_LOG: u32 = 1;
/// A [`Progress`](crate::Progress).
pub const EMIT_PROGRESS: u32 = 2;

/// `call` and `cancel` return at once and may run on several threads at a time.
pub const FLAG_PROMPT: u32 = 1;

/// Borrowed bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Bytes {
    /// Null when there are none.
    pub ptr: *const u8,
    /// How many.
    pub len: usize,
}

/// What a plugin may ask of the host.
#[derive(Debug)]
#[repr(C)]
pub struct Host {
    /// Of this struct, in bytes.
    pub size: u32,
    /// [`MINOR`] of the host.
    pub abi_minor: u32,
    /// Goes into every call.
    pub ctx: *mut c_void,
    /// Ends a call.
    pub complete: Complete,
    /// Tells of a call that goes on, or of none when the id is 0.
    pub emit: Emit,
}

/// See [`Host::complete`].
pub type Complete = unsafe extern "C" fn(ctx: *mut c_void, call: u64, status: i32, json: Bytes, body: Bytes);
/// See [`Host::emit`].
pub type Emit = unsafe extern "C" fn(ctx: *mut c_void, call: u64, kind: u32, json: Bytes);

/// A call of a method.
#[derive(Debug)]
#[repr(C)]
pub struct Call {
    /// Of this struct, in bytes.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Never given twice.
    pub id: u64,
    /// From now; 0 is none.
    pub timeout_ms: u64,
    /// Its name.
    pub method: Bytes,
    /// Its parameters.
    pub json: Bytes,
    /// Long texts of the parameters.
    pub body: Bytes,
}

/// What a plugin's symbol gives. The functions are options only because C may leave one null.
#[derive(Debug)]
#[repr(C)]
pub struct Plugin {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`MAJOR`].
    pub abi_major: u32,
    /// [`MINOR`] of the plugin.
    pub abi_minor: u32,
    /// Of this struct, in bytes.
    pub size: u32,
    /// [`FLAG_PROMPT`].
    pub flags: u32,
    /// A [`Manifest`](crate::Manifest) as JSON.
    pub manifest: Bytes,
    /// Makes an instance.
    pub create: Option<unsafe extern "C" fn(host: *const Host) -> *mut c_void>,
    /// Calls a method of it.
    pub call: Option<unsafe extern "C" fn(this: *mut c_void, call: *const Call)>,
    /// Gives a call up.
    pub cancel: Option<unsafe extern "C" fn(this: *mut c_void, call: u64)>,
    /// Ends the instance.
    pub destroy: Option<unsafe extern "C" fn(this: *mut c_void)>,
}

impl Bytes {
    /// None at all.
    pub const EMPTY: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Borrows `bytes`, which must stay where they are while somebody reads them.
    pub const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }
}

// whoever changes a layout breaks every plugin there is
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Bytes>() == 16 && offset_of!(Bytes, len) == 8);
    assert!(size_of::<Host>() == 32 && offset_of!(Host, ctx) == 8);
    assert!(offset_of!(Host, complete) == 16 && offset_of!(Host, emit) == 24);
    assert!(size_of::<Call>() == 72 && offset_of!(Call, id) == 8 && offset_of!(Call, timeout_ms) == 16);
    assert!(offset_of!(Call, method) == 24 && offset_of!(Call, json) == 40 && offset_of!(Call, body) == 56);
    assert!(size_of::<Plugin>() == 72 && offset_of!(Plugin, abi_major) == 8 && offset_of!(Plugin, abi_minor) == 12);
    assert!(offset_of!(Plugin, size) == 16 && offset_of!(Plugin, flags) == 20 && offset_of!(Plugin, manifest) == 24);
    assert!(offset_of!(Plugin, create) == 40 && offset_of!(Plugin, call) == 48);
    assert!(offset_of!(Plugin, cancel) == 56 && offset_of!(Plugin, destroy) == 64);
};
