use std::sync::Arc;

use perennial_sdk::{
    Cx, DynStorage, Error, Expected, Exported, Home, Opened, Page, PutId, Result, SavedServer, ServerId, Version,
};
use perennial_storage_s3::S3Storage;
use serde_json::Value;
use tempfile::TempDir;

/// A host on some configuration, with a home of its own.
pub struct Host {
    pub storage: Arc<dyn DynStorage>,
    pub home: TempDir,
    _opened: Opened,
}

impl Host {
    pub async fn open(config: &Value) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), config).await
    }

    /// A host in the home of another.
    pub async fn open_in(home: TempDir, config: &Value) -> Self {
        let opened = S3Storage::open(config.clone(), Home { data_dir: home.path().into() }).await.unwrap();
        Self { storage: opened.storage.clone().unwrap(), home, _opened: opened }
    }

    pub async fn put(&self, id: &str, code: &str, expected: Expected) -> Result<Version> {
        self.storage.put(&Cx::detached(), &server(id, code), expected, &PutId::random()).await
    }

    pub async fn code(&self, id: &str) -> Result<String> {
        Ok(self.storage.get(&Cx::detached(), &id.parse::<ServerId>()?, None).await?.code)
    }

    pub async fn versions(&self, id: &str) -> Vec<u64> {
        let versions = self.storage.versions(&Cx::detached(), &id.parse().unwrap()).await.unwrap();
        versions.into_iter().map(|version| version.0).collect()
    }

    pub async fn list(&self) -> Result<Vec<String>> {
        let page = Page { cursor: None, limit: 100_000 };
        let listing = self.storage.list(&Cx::detached(), &page).await?;
        assert!(listing.items.iter().all(|item| item.damage.is_none()), "{:?}", listing.items);
        Ok(listing.items.into_iter().map(|item| item.server_id).collect())
    }
}

pub fn server(id: &str, code: &str) -> SavedServer {
    SavedServer {
        name: id.into(),
        code: code.into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: id.into(),
        ..SavedServer::default()
    }
}

/// The error as people see it, with `address` in the place of where the store happens to be.
pub fn shown(error: &Error, address: &str) -> String {
    let hint = error.hint.as_deref().unwrap_or("(no hint)");
    format!("{:?}: {error}\nhint: {hint}", error.code).replace(address, "http://store")
}
