use std::{fs, path::PathBuf, sync::Arc};

use perennial_sdk::{
    Cx, DynStorage, Expected, Exported, Home, Opened, Page, PutId, SavedServer, ServerId, Summary, Version,
    serde_json::{Value, from_str, json},
};
use perennial_storage_json::JsonStorage;

pub(crate) struct Library {
    pub(crate) data: PathBuf,
    pub(crate) _folder: tempfile::TempDir,
}

pub(crate) struct Host {
    pub(crate) opened: Opened,
    pub(crate) storage: Arc<dyn DynStorage>,
    pub(crate) cx: Cx,
}

impl Library {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { data: folder.path().to_owned(), _folder: folder }
    }

    /// As only the old program wrote it.
    pub(crate) fn of(text: impl AsRef<[u8]>) -> Self {
        let library = Self::new();
        library.write(text);
        library
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.data.join("saved_servers.json")
    }

    pub(crate) fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path(), text).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        from_str(&self.text()).unwrap()
    }

    pub(crate) fn aside(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(&self.data).unwrap().map(|entry| entry.unwrap().path());
        let aside = files.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(".corrupt-"));
        aside.map(|path| fs::read(path).unwrap()).collect()
    }

    pub(crate) async fn open(&self) -> Host {
        let opened = JsonStorage::open(Value::Null, Home { data_dir: self.data.clone() }).await.unwrap();
        Host { storage: opened.storage.clone().unwrap(), opened, cx: Cx::detached() }
    }
}

impl Host {
    pub(crate) async fn save(&self, id: &str, code: &str) -> Version {
        self.put(&server(id, code)).await.unwrap()
    }

    pub(crate) async fn put(&self, record: &SavedServer) -> perennial_sdk::Result<Version> {
        self.storage.put(&self.cx, record, Expected::Any, &PutId::random()).await
    }

    pub(crate) async fn code(&self, id: &str) -> Option<String> {
        self.storage.get(&self.cx, &id.parse().unwrap(), None).await.ok().map(|found| found.code)
    }

    pub(crate) async fn version(&self, id: &str, version: u64) -> SavedServer {
        self.storage.get(&self.cx, &id.parse().unwrap(), Some(Version(version))).await.unwrap()
    }

    pub(crate) async fn count(&self, id: &str) -> usize {
        self.storage.versions(&self.cx, &id.parse::<ServerId>().unwrap()).await.map_or(0, |versions| versions.len())
    }

    pub(crate) async fn list(&self) -> Vec<Summary> {
        self.storage.list(&self.cx, &Page::default()).await.unwrap().items
    }

    pub(crate) async fn ids(&self) -> Vec<String> {
        self.list().await.into_iter().map(|summary| summary.server_id).collect()
    }
}

pub(crate) fn server(id: &str, code: &str) -> SavedServer {
    SavedServer {
        name: format!("name of {id}"),
        code: code.into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: id.into(),
        ..SavedServer::default()
    }
}

/// As the old program writes a record.
pub(crate) fn old(id: &str, code: &str) -> Value {
    json!({ "name": id, "code": code, "language": "python", "savedAt": "2024-01-15T10:30:00.000Z", "serverId": id })
}

/// As the old program writes the file: `JSON.stringify(…, null, 2)`.
pub(crate) fn pretty(value: &Value) -> String {
    perennial_sdk::serde_json::to_string_pretty(value).unwrap()
}
