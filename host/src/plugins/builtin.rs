//! Names the plugin crates that are part of this program; no other file does.

use perennial_sdk::Registration;

// without a use the linker drops a crate and its registration with it, in silence
use perennial_runtime_node as _;
use perennial_runtime_python as _;
use perennial_runtime_rust as _;
use perennial_storage_json as _;
use perennial_storage_s3 as _;

/// The built-in plugins, sorted by name.
pub(super) fn registrations() -> Vec<&'static Registration> {
    perennial_sdk::registrations()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_built_in_is_linked() {
        let ids: Vec<_> = super::registrations().iter().map(|registration| registration.id).collect();
        assert_eq!(ids, ["json", "node", "python", "rust", "s3"]);
    }
}
