//! Processes that save through the plugin and are killed at random, beside an old program that knows no lock and leaves
//! half a file now and then. Afterwards every acknowledged save is there, whole, and none is there twice.
//!
//! `PERENNIAL_TORTURE_SAVES` says for how many acknowledged saves it goes on, `PERENNIAL_TORTURE_SEED` repeats the
//! choices of a run, though not the moments that the system chose.

#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that must kill processes")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::Write,
    os::unix::process::parent_id,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use perennial_sdk::{
    Cx, DynStorage, ErrorCode, Expected, Exported, Home, Opened, Page, PutId, SavedServer, Version,
    serde_json::{self, Value, json},
};
use perennial_storage_json::JsonStorage;
use tokio::runtime::{Builder, Runtime};

const WRITERS: u64 = 3;
/// How many saves there are to one server, roughly.
const VERSIONS: u64 = 40;

/// What a run needs to do before it is killed often enough, by default.
const SAVES: usize = 200;

#[test]
fn acknowledged_saves_outlive_their_writers() {
    if let Ok(folder) = env::var("PERENNIAL_TORTURE_FOLDER") {
        let number = |name: &str| env::var(name).unwrap().parse().unwrap();
        return runtime().block_on(write(&PathBuf::from(folder), number("WRITER"), number("SERVERS"), number("SEED")));
    }
    let setting = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let saves = setting("PERENNIAL_TORTURE_SAVES").map_or(SAVES, |saves| saves as usize);
    let servers = saves as u64 / VERSIONS + 1;
    let seed = setting("PERENNIAL_TORTURE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ now());
    eprintln!("PERENNIAL_TORTURE_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(seed | 1);
    let over = Arc::new(AtomicBool::new(false));
    let old_program = {
        let (path, over, dice) = (folder.path().join("data/saved_servers.json"), over.clone(), Dice(dice.roll() | 1));
        thread::spawn(move || old_program(&path, &over, dice))
    };
    let mut writers: Vec<_> = (0..WRITERS).map(|writer| spawn(folder.path(), writer, servers, dice.roll())).collect();
    let (began, mut kills) = (Instant::now(), 0);
    while acknowledged(folder.path()).len() < saves {
        thread::sleep(Duration::from_millis(20 + dice.below(200)));
        let victim = dice.below(WRITERS);
        let child = &mut writers[victim as usize];
        if let Some(status) = child.try_wait().unwrap() {
            panic!("writer {victim} gave up by itself: {status}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        *child = spawn(folder.path(), victim, servers, dice.roll());
        assert!(began.elapsed() < Duration::from_secs(3600), "it does not get on");
    }
    for mut writer in writers {
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    over.store(true, SeqCst);
    let old_saves = old_program.join().unwrap();
    runtime().block_on(judge(folder.path(), servers, kills, old_saves));
}

/// Saves until it is killed; first of all what its predecessor did not see acknowledged.
async fn write(folder: &Path, writer: u64, servers: u64, seed: u64) {
    let (storage, _opened) = open(folder).await;
    let (cx, mut dice) = (Cx::detached(), Dice(seed | 1));
    let log = folder.join(format!("log-{writer}"));
    if let Some(line) = unacknowledged(&log) {
        save(&*storage, &log, &line, Expected::Any).await;
    }
    for number in 0.. {
        if parent_id().to_string() != env::var("PARENT").unwrap() {
            return;
        }
        let id = format!("server-{}", dice.below(servers));
        match dice.below(10) {
            0 => {
                storage.list(&cx, &Page::default()).await.unwrap();
            }
            1 => match storage.delete(&cx, &id.parse().unwrap(), Expected::Any).await {
                Ok(version) => note(&log, &json!({ "deleted": id, "version": version })),
                Err(error) => assert_eq!(error.code, ErrorCode::NotFound, "{error}"),
            },
            _ => {
                let token = format!("{writer}.{seed}.{number}.{}", dice.below(20_000));
                let line = json!({ "try": id, "token": token, "put": PutId::random() });
                note(&log, &line);
                let newest = storage.versions(&cx, &id.parse().unwrap()).await.ok().and_then(|all| all.last().copied());
                let expected = newest.filter(|_| dice.below(3) == 0).map_or(Expected::Any, Expected::At);
                save(&*storage, &log, &line, expected).await;
            }
        }
    }
}

async fn save(storage: &dyn DynStorage, log: &Path, line: &Value, expected: Expected) {
    let token = line["token"].as_str().unwrap();
    let record = SavedServer {
        name: "torture".into(),
        code: code(token),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: line["try"].as_str().unwrap().into(),
        ..SavedServer::default()
    };
    let put_id = serde_json::from_value(line["put"].clone()).unwrap();
    match storage.put(&Cx::detached(), &record, expected, &put_id).await {
        Ok(version) => note(log, &json!({ "saved": line["try"], "token": token, "version": version })),
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Conflict, "{error}");
            note(log, &json!({ "refused": line["try"], "token": token }));
        }
    }
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
        let id = format!("old-{}", dice.below(20));
        let code = format!("old {number}");
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

async fn judge(folder: &Path, servers: u64, kills: usize, old_saves: BTreeSet<String>) {
    let (storage, opened) = open(folder).await;
    let cx = Cx::detached();
    let listed = storage.list(&cx, &Page { cursor: None, limit: 1_000_000 }).await.unwrap().items;
    let damaged: Vec<_> = listed.iter().filter(|summary| summary.damage.is_some()).collect();
    assert!(damaged.is_empty(), "{damaged:?}");
    let mut codes = BTreeMap::<String, Vec<(String, Version)>>::new();
    let mut graves = BTreeSet::new();
    let ids =
        (0..servers).map(|number| format!("server-{number}")).chain((0..20).map(|number| format!("old-{number}")));
    for id in ids {
        let versions = storage.versions(&cx, &id.parse().unwrap()).await.unwrap_or_default();
        let numbers: Vec<_> = (1..=versions.len() as u64).map(Version).collect();
        assert_eq!(versions, numbers, "`{id}` has gaps");
        for version in versions {
            match storage.get(&cx, &id.parse().unwrap(), Some(version)).await {
                Ok(found) => codes.entry(found.code).or_default().push((id.clone(), version)),
                Err(error) => {
                    assert_eq!(error.code, ErrorCode::NotFound, "{error}");
                    graves.insert((id.clone(), version));
                }
            }
        }
    }
    for (code, places) in &codes {
        assert_eq!(places.len(), 1, "{} was stored more than once: {places:?}", &code[..code.len().min(60)]);
    }
    let lines: Vec<_> = (0..WRITERS).flat_map(|writer| lines(&folder.join(format!("log-{writer}")))).collect();
    let (mut saves, mut deletes, mut refused) = (0, 0, 0);
    for line in &lines {
        let version = || serde_json::from_value::<Version>(line["version"].clone()).unwrap();
        let token = code(line["token"].as_str().unwrap_or_default());
        if let Some(id) = line["saved"].as_str() {
            saves += 1;
            assert_eq!(codes.get(&token), Some(&vec![(id.to_owned(), version())]), "an acknowledged save is not there");
        } else if let Some(id) = line["deleted"].as_str() {
            deletes += 1;
            assert!(graves.contains(&(id.to_owned(), version())), "an acknowledged delete is not there");
        } else if line["refused"].is_string() {
            refused += 1;
            assert!(!codes.contains_key(&token), "a refused save is there");
        }
    }
    storage.put(&cx, &last(), Expected::Any, &PutId::random()).await.unwrap();
    opened.shutdown().await;
    let view: Value = serde_json::from_slice(&fs::read(folder.join("data/saved_servers.json")).unwrap()).unwrap();
    let shown: BTreeSet<_> = view.as_object().unwrap().keys().cloned().collect();
    let listed: BTreeSet<_> = listed.into_iter().map(|s| s.server_id).chain([last().server_id]).collect();
    assert_eq!(shown, listed, "the file does not show what is there");
    let old_lost = old_saves.iter().filter(|code| !codes.contains_key(*code)).count();
    eprintln!(
        "{kills} kills, {saves} saves and {deletes} deletes acknowledged, {refused} refused: none lost, none torn, none \
         twice; of {} saves by the old program {old_lost} are not there",
        old_saves.len()
    );
}

/// A token with as many bytes behind it as it ends in.
fn code(token: &str) -> String {
    let length = token.rsplit('.').next().and_then(|length| length.parse().ok()).unwrap_or_default();
    format!("{token} {}", "x".repeat(length))
}

fn last() -> SavedServer {
    SavedServer { server_id: "server-last".into(), ..SavedServer::default() }
}

async fn open(folder: &Path) -> (Arc<dyn DynStorage>, Opened) {
    let opened = JsonStorage::open(Value::Null, Home { data_dir: folder.join("data") }).await.unwrap();
    (opened.storage.clone().unwrap(), opened)
}

fn spawn(folder: &Path, writer: u64, servers: u64, seed: u64) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "acknowledged_saves_outlive_their_writers"])
        .env("PERENNIAL_TORTURE_FOLDER", folder)
        .env("WRITER", writer.to_string())
        .env("SERVERS", servers.to_string())
        .env("PARENT", std::process::id().to_string())
        .env("SEED", seed.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A kill can cut a line short: each starts anew, and what was cut was not acknowledged.
fn note(log: &Path, line: &Value) {
    let mut file = fs::File::options().append(true).create(true).open(log).unwrap();
    file.write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

fn lines(log: &Path) -> Vec<Value> {
    let text = fs::read(log).unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn unacknowledged(log: &Path) -> Option<Value> {
    lines(log).into_iter().rfind(|line| line["token"].is_string()).filter(|line| line["try"].is_string())
}

fn acknowledged(folder: &Path) -> Vec<Value> {
    let all = (0..WRITERS).flat_map(|writer| lines(&folder.join(format!("log-{writer}"))));
    all.filter(|line| line["saved"].is_string()).collect()
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
}

/// A small generator of numbers, so that a seed gives the same choices everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }
}
