//! The boundary to plugins that are not linked in: first-party plugins beyond it pass what they pass without it, and
//! nothing that a plugin does is lost or counted twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the tests compile plugins")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use perennial::{
    plugins::{Pin, Plugin as Open, Source, Surroundings, Traffic, loopback},
    supervisor::Supervisor,
};
use perennial_faulty_plugin::Faulty;
use perennial_sdk::{
    Cx, DynTools, Error, ErrorCode, Expected, Exported, Home, Opened, Page, Plugin, PutId, Result, Retention,
    SavedServer, ServerId,
    testkit::{assert_runtime, assert_storage},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// Where plugins are opened: the suites have runtimes of their own, which come and go.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

static SUPERVISOR: LazyLock<Arc<Supervisor>> =
    LazyLock::new(|| Supervisor::with_sidecar(scratch().join("state"), env!("CARGO_BIN_EXE_perennial").into()));

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("boundary")
}

fn around(home: Home) -> Surroundings {
    let _within = RUNTIME.enter();
    Surroundings {
        home,
        copies: scratch().join("plugins"),
        supervisor: SUPERVISOR.clone(),
        start: Duration::from_secs(30),
        limit: Duration::from_secs(60),
    }
}

fn nowhere() -> Surroundings {
    around(Home { data_dir: scratch().join("data") })
}

/// A library that cargo built beside this program.
fn built(name: &str) -> PathBuf {
    let file = format!("{}perennial_{name}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::env::current_exe().unwrap().with_file_name(file)
}

fn library(name: &str) -> Source {
    Source::Native { path: built(name), pin: Pin::Unpinned }
}

fn program(command: &[&str]) -> Source {
    Source::Process {
        command: command.iter().map(ToString::to_string).collect(),
        env: BTreeMap::from([(OUT_OF_PROCESS.to_owned(), "1".to_owned())]),
        cwd: Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/notes-py"),
        line_bytes: 64 << 20,
    }
}

/// A type for the suites that is opened by this way.
macro_rules! beyond {
    ($type:ident, $id:literal, |$config:ident, $around:ident| $open:expr) => {
        struct $type;

        impl Plugin for $type {
            type Config = Value;

            async fn init(_: Value, _: Home) -> Result<Self> {
                Err(Error::unsupported("it is opened otherwise"))
            }
        }

        impl Exported for $type {
            const ID: &'static str = $id;

            async fn open($config: Value, home: Home) -> Result<Opened> {
                let $around = around(home);
                let opened: Result<Open> = RUNTIME.spawn(async move { $open.await }).await?;
                Ok(opened?.opened)
            }
        }
    };
}

beyond!(LoadedJson, "json", |config, around| library("storage_json").open("json", config, &around));
beyond!(LoadedNode, "node", |config, around| library("runtime_node").open("node", config, &around));
beyond!(LoadedPython, "python", |config, around| library("runtime_python").open("python", config, &around));
beyond!(LoadedRust, "rust", |config, around| library("runtime_rust").open("rust", config, &around));
beyond!(LoadedS3, "s3", |config, around| library("storage_s3").open("s3", config, &around));
beyond!(LoopedJson, "json", |config, around| loopback::<perennial_storage_json::JsonStorage>(config, &around));
beyond!(LoopedNode, "node", |config, around| loopback::<perennial_runtime_node::Node>(config, &around));
beyond!(LoopedPython, "python", |config, around| loopback::<perennial_runtime_python::Python>(config, &around));
beyond!(LoopedRust, "rust", |config, around| loopback::<perennial_runtime_rust::Rust>(config, &around));
beyond!(LoopedS3, "s3", |config, around| loopback::<perennial_storage_s3::S3Storage>(config, &around));
beyond!(PythonStorage, "storage-py", |config, around| program(&["python3", "notes.py"]).open("py", config, &around));

#[test]
fn loaded_first_party_plugins_conform() {
    assert_runtime::<LoadedNode>(json!({}));
    assert_runtime::<LoadedPython>(json!({}));
    assert_runtime::<LoadedRust>(json!({}));
}

#[test]
fn the_loaded_default_storage_conforms() {
    assert_storage::<LoadedJson>(json!({}));
}

#[test]
fn linked_first_party_plugins_conform_beyond_the_boundary() {
    assert_runtime::<LoopedNode>(json!({}));
    assert_runtime::<LoopedPython>(json!({}));
    assert_runtime::<LoopedRust>(json!({}));
}

#[test]
fn the_linked_default_storage_conforms_beyond_the_boundary() {
    assert_storage::<LoopedJson>(json!({}));
}

/// Its suite needs a store, and passes on one in the tests of its crate; here is what the boundary adds to it.
#[test]
fn the_bucket_storage_opens_and_points_at_mistakes_beyond_the_boundary() {
    RUNTIME.block_on(async {
        opens_and_points_at_mistakes::<LoadedS3>().await;
        opens_and_points_at_mistakes::<LoopedS3>().await;
    });
}

async fn opens_and_points_at_mistakes<P: Exported>() {
    let open = |config| P::open(config, Home { data_dir: scratch().join("s3") });
    let wrong = open(json!({ "bucket": 5 })).await.err().unwrap();
    assert_eq!((&wrong.code, &wrong.data["path"]), (&ErrorCode::Invalid, &json!(["bucket"])), "{wrong:?}");
    // nobody listens there: the way to the store goes through the plugin's own runtime, and its errors come back whole
    let opened = open(json!({
        "bucket": "servers", "endpoint": "http://127.0.0.1:1", "region": "here",
        "access_key_id": "key", "secret_access_key": "secret",
    }));
    let opened = opened.await.unwrap();
    let storage = opened.storage.clone().unwrap();
    assert!(storage.location().contains("servers") && !storage.location().contains("secret"), "{}", storage.location());
    let cx = Cx::detached().with_timeout(Duration::from_secs(5));
    let error = storage.list(&cx, &Page::default()).await.unwrap_err();
    assert!(matches!(error.code, ErrorCode::Unavailable | ErrorCode::Timeout), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    opened.shutdown().await;
}

#[test]
fn a_storage_in_python_conforms() {
    assert_storage::<PythonStorage>(json!({}));
}

/// The storage in Python knows neither of them, as one that was written before they were.
#[test]
fn what_a_storage_does_not_know_is_done_without_it_or_refused() {
    RUNTIME.block_on(async {
        let plugin = program(&["python3", "notes.py"]).open("py", json!({}), &nowhere()).await.unwrap();
        let storage = plugin.opened.storage.clone().unwrap();
        let (cx, id) = (Cx::detached(), "upkeep".parse::<ServerId>().unwrap());
        let record = SavedServer { server_id: id.to_string(), ..SavedServer::default() };
        storage.put(&cx, &record, Expected::Any, &PutId::random()).await.unwrap();
        let checked = storage.check(&cx, false).await.unwrap();
        assert!(checked.servers >= 1 && checked.versions >= 1 && checked.is_well(), "{checked:?}");
        let deleted = storage.deleted(&cx, &Page::default()).await.unwrap_err();
        let collected = storage.collect(&cx, &Retention::default()).await.unwrap_err();
        assert_eq!((deleted.code, collected.code), (ErrorCode::Unsupported, ErrorCode::Unsupported));
        assert!(deleted.message.starts_with("this storage cannot list what was deleted"), "{}", deleted.message);
        assert!(collected.message.contains("removes nothing by itself"), "{}", collected.message);
        plugin.opened.shutdown().await;
    });
}

/// Not a test of its own: another one runs this program for it, as a plugin.
#[test]
fn plays_a_plugin() {
    if std::env::var_os(OUT_OF_PROCESS).is_some() {
        perennial_sdk::serve::<Faulty>();
    }
}

const OUT_OF_PROCESS: &str = "PERENNIAL_TEST_OUT_OF_PROCESS";

fn ourselves() -> Source {
    let this = std::env::current_exe().unwrap();
    program(&[this.to_str().unwrap(), "--exact", "plays_a_plugin", "--nocapture"])
}

/// What a plugin of the kind does, and the same with every way to it.
fn everywhere(check: impl AsyncFn(&str, &Open)) {
    RUNTIME.block_on(async {
        let around = nowhere();
        let config = || json!({ "greetings": ["hello"] });
        for (way, opened) in [
            ("linked", loopback::<Faulty>(config(), &around).await),
            ("loaded", library("faulty_plugin").open("faulty", config(), &around).await),
            ("process", ourselves().open("faulty", config(), &around).await),
        ] {
            let plugin = opened.unwrap_or_else(|error| panic!("{way}: {error}"));
            check(way, &plugin).await;
            plugin.opened.shutdown().await;
        }
    });
}

fn tools(plugin: &Open) -> Arc<dyn DynTools> {
    plugin.opened.tools.clone().unwrap()
}

async fn said(tools: &dyn DynTools, name: &str, arguments: Value) -> Result<String> {
    let Value::Object(arguments) = arguments else { panic!("an object") };
    let result = tools.call(&Cx::detached(), name, arguments).await?;
    Ok(result["content"][0]["text"].as_str().unwrap().to_owned())
}

#[test]
fn results_errors_and_progress_are_the_same_by_every_way() {
    everywhere(async |way, plugin| {
        let tools = tools(plugin);
        assert_eq!(tools.tools().len(), 9, "{way}");
        let long = "é\"\\\n".repeat(50_000);
        for message in ["", "short", &long] {
            let answer = said(&*tools, "echo", json!({ "message": message })).await.unwrap();
            assert!(answer == format!("hello {message}"), "{way}: {answer:.100}");
        }
        let error = said(&*tools, "fail", json!({})).await.unwrap_err();
        let wanted = Error::conflict("somebody was first", Some(7)).hint("read it again");
        assert_eq!(error, wanted, "{way}");

        let steps = Arc::new(Mutex::new(Vec::new()));
        let kept = steps.clone();
        let cx = Cx::detached().with_progress(move |step| kept.lock().unwrap().push((step.done, step.message)));
        tools.call(&cx, "progress", Map::new()).await.unwrap();
        let steps = steps.lock().unwrap().clone();
        assert_eq!(steps.last(), Some(&(3.0, "step 3".to_owned())), "{way}: {steps:?}");
        assert_eq!(said(&*tools, "print", json!({})).await.unwrap(), "printed", "{way}");
        assert_eq!(said(&*tools, "echo", json!({ "message": "after" })).await.unwrap(), "hello after", "{way}");
    });
}

#[test]
fn a_mistake_in_the_settings_carries_its_path_by_every_way() {
    RUNTIME.block_on(async {
        let around = nowhere();
        let config = || json!({ "greetings": ["a", 1] });
        for opened in [
            loopback::<Faulty>(config(), &around).await,
            library("faulty_plugin").open("faulty", config(), &around).await,
            ourselves().open("faulty", config(), &around).await,
        ] {
            let error = opened.err().unwrap();
            assert_eq!(
                (&error.code, &error.data["path"]),
                (&ErrorCode::Invalid, &json!(["greetings", 1])),
                "{error:?}"
            );
        }
    });
}

#[test]
fn who_waits_no_longer_is_not_kept_waiting() {
    everywhere(async |way, plugin| {
        let tools = tools(plugin);
        let cx = Cx::detached().with_timeout(Duration::from_millis(50));
        let late = tools.call(&cx, "wait", Map::new()).await.unwrap_err();
        assert_eq!(late.code, ErrorCode::Timeout, "{way}: {late}");
        let (give_up, cancelled) = tokio::sync::watch::channel(false);
        let cx = Cx::detached().with_cancel(cancelled);
        let call = tools.call(&cx, "wait", Map::new());
        let (ended, ()) = tokio::join!(call, async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            give_up.send(true).unwrap();
        });
        assert_eq!(ended.unwrap_err().code, ErrorCode::Cancelled, "{way}");
        assert_eq!(said(&*tools, "echo", json!({})).await.unwrap(), "hello ", "{way}");
    });
}

#[test]
fn a_plugin_that_blocks_keeps_only_its_own_callers_waiting() {
    RUNTIME.block_on(async {
        let around = Surroundings { limit: Duration::from_millis(200), ..nowhere() };
        let plugin = library("faulty_plugin").open("faulty", json!({}), &around).await.unwrap();
        for _ in 0..3 {
            let late = said(&*tools(&plugin), "block", json!({})).await.unwrap_err();
            assert_eq!(late.code, ErrorCode::Timeout);
            tokio::time::sleep(Duration::from_millis(150)).await;
            assert_eq!(said(&*tools(&plugin), "echo", json!({ "message": "a" })).await.unwrap(), "a");
        }
    });
}

#[test]
fn a_panic_gives_the_next_call_a_fresh_instance_until_there_were_too_many() {
    RUNTIME.block_on(async {
        let plugin = library("faulty_plugin").open("faulty", json!({}), &nowhere()).await.unwrap();
        let tools = tools(&plugin);
        assert_eq!(said(&*tools, "count", json!({})).await.unwrap(), "1");
        for _ in 0..5 {
            let panicked = said(&*tools, "panic", json!({})).await.unwrap_err();
            assert_eq!(panicked.message, "the plugin panicked: asked to");
            if let Ok(count) = said(&*tools, "count", json!({})).await {
                assert_eq!(count, "1", "the instance is fresh");
            }
        }
        let disabled = said(&*tools, "count", json!({})).await.unwrap_err();
        let wanted = "the plugin `faulty` is disabled: it failed 5 times within 5 minutes, the last time because the \
                      plugin panicked: asked to";
        assert_eq!(disabled.message, wanted);

        let error = library("faulty_plugin").open("faulty", json!({ "panic": true }), &nowhere()).await.err().unwrap();
        assert_eq!(error.message, "the plugin panicked: as it was configured");
    });
}

#[test]
fn an_answer_above_the_line_limit_fails_its_call_alone() {
    RUNTIME.block_on(async {
        let Source::Process { command, env, cwd, .. } = ourselves() else { unreachable!("it is a process") };
        let narrow = Source::Process { command, env, cwd, line_bytes: 10_000 };
        let plugin = narrow.open("narrow", json!({}), &nowhere()).await.unwrap();
        let tools = tools(&plugin);
        let error = said(&*tools, "echo", json!({ "message": "x".repeat(20_000) })).await.unwrap_err();
        assert!(error.message.contains("longer than the limit of 10000 bytes"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("`line_mb` in `[plugins.narrow]` gives it more"));
        assert_eq!(said(&*tools, "echo", json!({ "message": "short" })).await.unwrap(), "short");
        plugin.opened.shutdown().await;
    });
}

/// Calls of every kind at once, some given up and some in panic: `PERENNIAL_STRESS` says how many, 3,000 without it.
#[test]
fn no_call_is_lost_or_counted_twice() {
    let calls: u64 = std::env::var("PERENNIAL_STRESS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(3000);
    let seed: u64 = std::env::var("PERENNIAL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into());
    eprintln!("PERENNIAL_SEED={seed} PERENNIAL_STRESS={calls}");
    RUNTIME.block_on(async {
        let around = nowhere();
        let mut random = Random(seed);
        let (mut made, mut lives) = (0, 0);
        while made < calls {
            // a few panics use a plugin up, so that there are many of them
            let plugin = library("faulty_plugin").open("stressed", json!({}), &around).await.unwrap();
            lives += 1;
            let tools = tools(&plugin);
            let batch = (calls - made).min(2000);
            made += batch;
            let each = (0..batch).map(|_| {
                let (tools, kind, pause) = (tools.clone(), random.below(1000), random.below(400));
                tokio::spawn(async move { one_of_many(&*tools, kind, pause).await })
            });
            for call in each.collect::<Vec<_>>() {
                call.await.unwrap();
            }
        }
        let settled = async {
            while Traffic::of("stressed").in_flight > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), settled).await;
        eprintln!("{made} calls of {lives} plugins: {:?}", Traffic::of("stressed"));
        assert!(waited.is_ok() && Traffic::of("stressed").stray == 0, "{:?}", Traffic::of("stressed"));
    });
}

async fn one_of_many(tools: &dyn DynTools, kind: u64, pause: u64) {
    let give_up = Duration::from_micros(pause);
    let message = "x".repeat(if kind.is_multiple_of(7) { 20_000 } else { 20 });
    match kind {
        0 => drop(said(tools, "panic", json!({})).await),
        1..=199 => drop(tokio::time::timeout(give_up, said(tools, "wait", json!({}))).await),
        200..=399 => drop(tokio::time::timeout(give_up, said(tools, "echo", json!({ "message": message }))).await),
        400..=499 => assert!(said(tools, "fail", json!({})).await.is_err()),
        _ => {
            if let Ok(answer) = said(tools, "echo", json!({ "message": message })).await {
                assert_eq!(answer, message);
            }
        }
    }
}

/// Enough for choosing; the seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
