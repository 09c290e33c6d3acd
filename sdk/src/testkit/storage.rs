use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Check, ensure};
use crate::{
    BoxFuture, Cx, DynStorage, Error, ErrorCode, Expected, Exported, Home, Opened, Page, PutId, SavedServer, ServerId,
    Summary, Version,
};

mod cases;
mod race;
mod upkeep;

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The suite that every storage must pass, as large as is wanted: see [`assert_storage`](super::assert_storage).
#[derive(Debug, Clone)]
pub struct StorageSuite {
    config: Value,
    records: usize,
    largest: usize,
}

/// What a check has at hand: the plugin, opened as often as it likes on the same library.
struct Bench<P: Exported> {
    suite: StorageSuite,
    home: Home,
    _folder: tempfile::TempDir,
    plugin: std::marker::PhantomData<P>,
}

/// An opened storage; two of them on one bench are two hosts.
struct Host {
    opened: Opened,
    storage: Arc<dyn DynStorage>,
    cx: Cx,
}

type Case<P> = (&'static str, for<'a> fn(&'a Bench<P>) -> BoxFuture<'a, Check>);

macro_rules! cases {
    ($($module:ident::$name:ident),+ $(,)?) => {
        [$((stringify!($name), |bench| Box::pin($module::$name(bench)))),+]
    };
}

impl StorageSuite {
    /// With this configuration for every storage that is opened.
    pub fn new(config: Value) -> Self {
        Self { config, records: 200, largest: 20 * 1024 * 1024 }
    }

    /// How many servers the largest library of the suite has; `PERENNIAL_TESTKIT_RECORDS` in the environment is stronger.
    #[must_use]
    pub fn records(self, records: usize) -> Self {
        Self { records, ..self }
    }

    /// Bytes of the largest record.
    #[must_use]
    pub fn largest(self, largest: usize) -> Self {
        Self { largest, ..self }
    }

    /// Runs all of it and panics with the list of what is not as it should be.
    pub fn run<P: Exported>(mut self) {
        let records = std::env::var("PERENNIAL_TESTKIT_RECORDS").ok().and_then(|records| records.parse().ok());
        self.records = records.unwrap_or(self.records);
        assert::<P>(&self);
    }
}

fn assert<P: Exported>(suite: &StorageSuite) {
    let cases: &[Case<P>] = &cases![
        cases::a_record_comes_back_whole,
        cases::versions_count_from_one,
        cases::the_stored_version_and_hash_are_the_storages_own,
        cases::new_means_that_there_is_none,
        cases::an_expected_version_must_be_the_newest,
        cases::the_same_put_happens_once,
        cases::a_delete_hides_and_keeps,
        cases::the_deleted_are_listed_as_they_were,
        cases::what_is_not_there_is_not_found,
        cases::the_list_shows_the_newest_by_id,
        cases::pages_show_everything_once,
        cases::an_alias_finds_its_server,
        cases::odd_ids_stay_apart,
        cases::odd_names_survive,
        cases::what_is_no_id_is_refused,
        cases::records_of_any_size_survive,
        cases::many_servers_are_listed,
        cases::order_is_by_number_and_not_by_clock,
        cases::a_rollback_is_a_new_version,
        cases::another_life_finds_everything,
        race::writers_of_one_server_lose_nothing,
        race::one_of_many_creators_wins,
        race::one_of_many_updaters_wins,
        race::racing_repeats_of_one_put_happen_once,
        race::an_abandoned_put_can_be_repeated,
        race::two_hosts_see_each_other,
        race::many_hosts_list_while_others_save,
        upkeep::a_check_finds_nothing_wrong,
        upkeep::a_collection_keeps_what_is_in_use,
        upkeep::saves_and_collections_do_not_meet,
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|(name, check)| {
            let failure = runtime.block_on(run(suite, *check)).err()?;
            Some(format!("{}: {failure}", name.replace('_', " ")))
        })
        .collect();
    let (count, id) = (failures.len(), P::ID);
    assert!(failures.is_empty(), "`{id}` fails {count} of {} checks:\n- {}", cases.len(), failures.join("\n- "));
}

async fn run<P: Exported>(suite: &StorageSuite, check: for<'a> fn(&'a Bench<P>) -> BoxFuture<'a, Check>) -> Check {
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let home = Home { data_dir: folder.path().join("data") };
    let bench = Bench { suite: suite.clone(), home, _folder: folder, plugin: std::marker::PhantomData };
    match tokio::time::timeout(LIMIT, AssertUnwindSafe(check(&bench)).catch_unwind()).await {
        Ok(Ok(checked)) => checked,
        Ok(Err(_)) => Err("it panicked".into()),
        Err(_) => Err(format!("it did not end within {} s", LIMIT.as_secs())),
    }
}

impl<P: Exported> Bench<P> {
    async fn open(&self) -> Result<Host, String> {
        let opened = P::open(self.suite.config.clone(), self.home.clone())
            .await
            .map_err(|e| format!("it does not open: {e}"))?;
        let storage = opened.storage.clone().ok_or("it exports no storage")?;
        Ok(Host { opened, storage, cx: Cx::detached() })
    }
}

impl Host {
    async fn put(&self, record: &SavedServer, expected: Expected) -> Result<Version, String> {
        self.storage
            .put(&self.cx, record, expected, &PutId::random())
            .await
            .map_err(|e| format!("a put of `{}` failed: {e}", record.server_id))
    }

    async fn get(&self, id: &ServerId, version: Option<Version>) -> Result<SavedServer, String> {
        self.storage.get(&self.cx, id, version).await.map_err(|e| format!("a get of `{id}` failed: {e}"))
    }

    async fn versions(&self, id: &ServerId) -> Result<Vec<u64>, String> {
        let versions = self.storage.versions(&self.cx, id).await.map_err(|e| format!("the versions failed: {e}"))?;
        Ok(versions.into_iter().map(|version| version.0).collect())
    }

    /// Everything, page by page.
    async fn list(&self, limit: usize) -> Result<Vec<Summary>, String> {
        let mut page = Page { cursor: None, limit };
        let mut all = Vec::new();
        loop {
            let listing = self.storage.list(&self.cx, &page).await.map_err(|e| format!("the list failed: {e}"))?;
            ensure!(listing.items.len() <= limit, "a page of {limit} has {} items", listing.items.len());
            all.extend(listing.items);
            match listing.next {
                Some(next) if page.cursor.as_ref() == Some(&next) => return Err("the cursor stands still".into()),
                Some(next) => page.cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// What the list shows of these ids.
    async fn listed(&self, ids: &BTreeSet<String>, limit: usize) -> Result<Vec<Summary>, String> {
        Ok(self.list(limit).await?.into_iter().filter(|summary| ids.contains(&summary.server_id)).collect())
    }
}

/// A record with every field set, under an id of its own.
fn record() -> SavedServer {
    full(ServerId::random().as_str())
}

fn full(id: &str) -> SavedServer {
    serde_json::from_value(json!({
        "name": "Mon serveur de calcul v1.0",
        "code": "#!/usr/bin/env python3\nprint('é', \"\\\\\", '\t')\n",
        "language": "python",
        "savedAt": "2024-01-15T10:30:00.000Z",
        "serverId": id,
        "dependencies": { "requests": ">=2.31", "10": "*", "anyio": "" },
        "lock": "requests==2.32.0\n",
        "files": { "data/a.txt": "a\r\n", "b.py": "" },
        "permissions": { "network": ["example.org:443"], "env": ["TOKEN"] },
        "limits": { "memory_mb": 256, "call_timeout_s": 1.5 },
        "description": "adds",
        "tools": [{ "name": "add", "inputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true } }],
        "savedBy": { "host": { "id": "h1", "name": "lovelace" }, "client": { "name": "chat", "version": "1" } },
        "fromTheFuture": { "z": [1, 2.5, null, true], "a": "é" },
    }))
    .expect("a record")
}

/// The record as it is when only what people gave counts.
fn given(record: &SavedServer) -> SavedServer {
    SavedServer { version: Version::default(), sha256: None, ..record.clone() }
}

fn id(record: &SavedServer) -> ServerId {
    record.server_id.parse().expect("the suite's ids are ids")
}

/// That `result` is an error of this kind; a conflict must say where things stand.
fn fails<T: std::fmt::Debug>(what: &str, result: Result<T, Error>, code: &ErrorCode, current: Value) -> Check {
    match result {
        Ok(answer) => Err(format!("{what} gives {answer:?} instead of {code:?}")),
        Err(error) if error.code != *code => Err(format!("{what} is {:?} ({error}) instead of {code:?}", error.code)),
        Err(error) if *code == ErrorCode::Conflict && error.data["current"] != current => {
            Err(format!("{what} says that the current version is {}, which is {current}", error.data["current"]))
        }
        Err(_) => Ok(()),
    }
}
