//! A whole storage plugin, which keeps its library in memory for as long as the process lives.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{LazyLock, Mutex},
};

use perennial_sdk::{prelude::*, testkit::MemoryObjects};

static SHELVES: LazyLock<Mutex<HashMap<PathBuf, MemoryObjects>>> = LazyLock::new(Mutex::default);

#[derive(Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields)]
struct Config {}

struct Memory(ObjectLibrary<MemoryObjects>);

impl Plugin for Memory {
    type Config = Config;

    async fn init(_: Config, home: Home) -> Result<Self> {
        let shelf = SHELVES.lock().expect("no check panics here").entry(home.data_dir).or_default().clone();
        Ok(Self(ObjectLibrary::new(shelf).with_blobs(64 * 1024)))
    }
}

impl Storage for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: true, versions: true }
    }

    fn location(&self) -> String {
        "memory".into()
    }

    async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        self.0.list(cx, page).await
    }

    async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        self.0.get(cx, id, version).await
    }

    async fn put(&self, cx: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
        self.0.put(cx, record, expected, put_id).await
    }

    async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        self.0.versions(cx, id).await
    }

    async fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
        self.0.delete(cx, id, expected).await
    }

    async fn deleted(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        self.0.deleted(cx, page).await
    }

    async fn check(&self, cx: &Cx, repair: bool) -> Result<Checked> {
        self.0.check(cx, repair, &[]).await
    }

    async fn collect(&self, cx: &Cx, retention: &Retention) -> Result<Collected> {
        self.0.collect(cx, retention).await
    }
}

export_plugin!(memory, Memory: [storage]);

#[test]
fn conforms() {
    perennial_sdk::testkit::StorageSuite::new(json!({})).records(2_000).run::<Memory>();
}
