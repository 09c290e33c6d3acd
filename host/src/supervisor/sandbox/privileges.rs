use rustix::{
    fs::Mode,
    process::umask,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    },
};

/// Gives up every capability and every way to gain one; false when some could be gained again by starting a program.
///
/// The bounding set matters to root alone, which exec gives all of it back, also without new privileges.
pub(super) fn drop_all() -> bool {
    umask(Mode::RWXG | Mode::RWXO);
    let _ = clear_ambient_capability_set();
    for number in 0..64 {
        // Unknown ones are refused; the kernel's highest is not to be had without `/proc`.
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1u64 << number));
    }
    let none = CapabilitySet::empty();
    let emptied =
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).is_ok();
    let bare = capabilities(None).is_ok_and(|sets| sets.permitted.is_empty() && sets.effective.is_empty());
    let sealed = set_no_new_privs(true).is_ok();
    emptied && bare && sealed && bounding_set_is_empty()
}

fn bounding_set_is_empty() -> bool {
    let root = rustix::process::geteuid().is_root() || rustix::process::getuid().is_root();
    let held = |number: u32| {
        let capability = CapabilitySet::from_bits_retain(1u64 << number);
        rustix::thread::capability_is_in_bounding_set(capability).unwrap_or(false)
    };
    !root || !(0..64).any(held)
}
