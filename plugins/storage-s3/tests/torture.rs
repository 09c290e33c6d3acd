//! Processes that save through the plugin on a bad way to a real store, and are killed at random. See [`Torture`] for what
//! must hold afterwards, and how to make it longer.

#![cfg(unix)]
#![allow(unreachable_pub, reason = "nothing is reachable from outside a test program")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which starts the store")]

#[path = "../../../tests/support/s3/mod.rs"]
mod s3;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use perennial_sdk::testkit::Torture;
use perennial_storage_s3::S3Storage;
use s3::{Fault, Proxy, Store};
use serde_json::json;

/// One request of so many goes wrong.
const ODDS: u64 = 12;

#[test]
fn acknowledged_saves_outlive_their_writers_and_their_requests() {
    if Torture::is_writer::<S3Storage>() {
        return;
    }
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let mut config = store.config();
    config["endpoint"] = proxy.endpoint().into();
    config["timeout_s"] = json!(3);
    let mut torture = Torture::new("acknowledged_saves_outlive_their_writers_and_their_requests")
        .config(config)
        .saves(60)
        .largest(400_000);
    let (mut dice, faults) = (torture.dice(), Arc::new(AtomicUsize::new(0)));
    let count = faults.clone();
    proxy.weather(move |method| {
        if dice.below(ODDS) > 0 {
            return None;
        }
        count.fetch_add(1, Relaxed);
        Some(match dice.below(9) {
            0 => Fault::Status(503),
            1 => Fault::Status(429),
            2 if method == "PUT" => Fault::Status(409),
            3 => Fault::AppliedThenStatus(500),
            4 => Fault::AppliedThenCut,
            5 => Fault::Cut,
            6 => Fault::TornUpload,
            7 => Fault::TornAnswer,
            8 if dice.below(4) == 0 => Fault::BlackHole,
            _ => Fault::Delay(dice.below(200)),
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let tortured = torture.run(folder.path());
    proxy.clear();
    let (tally, _) = tortured.judge::<S3Storage>([]);
    eprintln!("{} kills, {} faults, {tally}", tortured.kills, faults.load(Relaxed));
}
