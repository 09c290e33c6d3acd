//! Processes that save through the plugin and are killed at random, beside an old program that knows no lock and leaves
//! half a file now and then. See [`Torture`] for what must hold afterwards, and how to make it longer.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use perennial_sdk::{
    Cx, Expected, Exported, Home, Page, PutId, SavedServer,
    serde_json::{self, Value, json},
    testkit::{Dice, Torture},
};
use perennial_storage_json::JsonStorage;

/// How many servers the old program saves.
const OLD: u64 = 20;

#[test]
fn acknowledged_saves_outlive_their_writers() {
    if Torture::is_writer::<JsonStorage>() {
        return;
    }
    let mut torture = Torture::new("acknowledged_saves_outlive_their_writers");
    let folder = tempfile::tempdir().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let old_program = {
        let (path, over, dice) = (folder.path().join("data/saved_servers.json"), over.clone(), torture.dice());
        thread::spawn(move || old_program(&path, &over, dice))
    };
    let tortured = torture.run(folder.path());
    over.store(true, SeqCst);
    let old_saves = old_program.join().unwrap();
    let (tally, found) = tortured.judge::<JsonStorage>((0..OLD).map(|number| old(number).parse().unwrap()));
    the_file_shows_what_is_there(folder.path());
    let lost = old_saves.iter().filter(|code| !found.holds(code)).count();
    let (kills, old_saves) = (tortured.kills, old_saves.len());
    eprintln!("{kills} kills, {tally}; of {old_saves} saves by the old program {lost} are not there");
}

/// Reads the whole file, adds a record, writes the whole file in place; sometimes only half of it.
fn old_program(path: &Path, over: &AtomicBool, mut dice: Dice) -> BTreeSet<String> {
    let mut saved = BTreeSet::new();
    for number in 0.. {
        if over.load(SeqCst) {
            break;
        }
        thread::sleep(Duration::from_millis(dice.below(200)));
        let parsed = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(Value::Object(mut servers)) = parsed else { continue };
        thread::sleep(Duration::from_millis(dice.below(10)));
        let (id, code) = (old(dice.below(OLD)), format!("old {number}"));
        let record = json!({ "name": id, "code": code, "language": "python", "savedAt": "", "serverId": id });
        servers.insert(id, record);
        let text = serde_json::to_string_pretty(&servers).unwrap();
        let whole = dice.below(8) > 0;
        let length = if whole { text.len() } else { dice.below(text.len() as u64) as usize };
        if fs::write(path, &text.as_bytes()[..length]).is_ok() && whole {
            saved.insert(code);
        }
    }
    saved
}

fn old(number: u64) -> String {
    format!("old-{number}")
}

#[tokio::main(flavor = "current_thread")]
async fn the_file_shows_what_is_there(folder: &Path) {
    let data_dir = folder.join("data");
    let opened = JsonStorage::open(Value::Null, Home { data_dir: data_dir.clone() }).await.unwrap();
    let (storage, cx) = (opened.storage.clone().unwrap(), Cx::detached());
    let last = SavedServer { server_id: "server-last".into(), ..SavedServer::default() };
    storage.put(&cx, &last, Expected::Any, &PutId::random()).await.unwrap();
    let listing = storage.list(&cx, &Page { cursor: None, limit: 1_000_000 }).await.unwrap();
    opened.shutdown().await;
    let view: Value = serde_json::from_slice(&fs::read(data_dir.join("saved_servers.json")).unwrap()).unwrap();
    let shown: BTreeSet<_> = view.as_object().unwrap().keys().cloned().collect();
    let listed: BTreeSet<_> = listing.items.into_iter().map(|summary| summary.server_id).collect();
    assert_eq!(shown, listed, "the file does not show what is there");
}
