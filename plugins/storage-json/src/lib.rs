//! The library on the local disk: numbered versions in a folder, and beside it the one file that users know.
//!
//! `saved_servers.d/s/<id>/<seq:010>.json` is the truth; `saved_servers.json` is written from it, and what people or
//! older programs write into that file is taken over. See [`Config`] for where they are.

mod durable;
mod folder;
mod upkeep;
mod view;

use std::{path::PathBuf, sync::Arc};

use perennial_sdk::prelude::*;

pub use self::folder::Folder;
use self::view::View;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use self::view::fuzzing;

/// What the newest versions are, for the next life of a host; it may be lost.
const INDEX: &str = "index.json";

/// The plugin's part of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "perennial_sdk::serde", deny_unknown_fields, default)]
pub struct Config {
    /// The file that users know, an absolute path; `saved_servers.json` in the data folder by default. The versions are kept beside it, in
    /// a folder of the same name that ends in `.d`.
    pub path: Option<PathBuf>,
}

/// The storage `json`. Any number of hosts may open the same file.
pub struct JsonStorage {
    library: Arc<ObjectLibrary<Folder>>,
    view: Arc<View>,
    path: PathBuf,
}

impl Plugin for JsonStorage {
    type Config = Config;

    async fn init(config: Config, home: Home) -> Result<Self> {
        let path = config.path.unwrap_or_else(|| home.data_dir.join("saved_servers.json"));
        // clients start hosts in arbitrary folders: each would have a library of its own
        if !path.is_absolute() {
            let error = Error::invalid(format!("`{}` is no absolute path", path.display()));
            return Err(at_path(error.hint(format!("`${{folder}}/{}` lies beside the configuration", path.display()))));
        }
        if path.file_stem().is_none() || path.extension().is_some_and(|extension| extension == "d") {
            let error = Error::invalid(format!("`{}` is no name for the file of saved servers", path.display()));
            return Err(at_path(error.hint("give a file, such as `saved_servers.json` in a folder of its own")));
        }
        let folder = Folder::new(path.with_extension("d"));
        let library = Arc::new(ObjectLibrary::new(folder).with_index(INDEX));
        Ok(Self { view: View::new(library.clone(), path.clone()), library, path })
    }

    async fn shutdown(&self) {
        self.view.flush().await;
    }
}

impl Storage for JsonStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities { shared: true, versions: true }
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }

    async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        if page.cursor.is_none() {
            self.view.take_over().await;
        }
        let listing = self.library.list(cx, page).await?;
        Ok(with(listing, page, self.view.carried()))
    }

    async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        self.view.take_over().await;
        self.library.get(cx, id, version).await
    }

    async fn put(&self, cx: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
        self.view.take_over().await;
        let version = self.library.put(cx, record, expected, put_id).await?;
        self.view.publish().await;
        Ok(version)
    }

    async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        self.view.take_over().await;
        self.library.versions(cx, id).await
    }

    async fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
        self.view.take_over().await;
        let version = self.library.delete(cx, id, expected).await?;
        self.view.publish().await;
        Ok(version)
    }

    async fn deleted(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        self.view.take_over().await;
        self.library.deleted(cx, page).await
    }

    async fn check(&self, cx: &Cx, repair: bool) -> Result<Checked> {
        self.view.take_over().await;
        let checked = upkeep::check(&self.library, &self.view, cx, repair).await?;
        if repair {
            self.view.publish().await;
        }
        Ok(checked)
    }

    async fn collect(&self, cx: &Cx, retention: &Retention) -> Result<Collected> {
        self.view.take_over().await;
        self.library.collect(cx, retention).await
    }
}

/// Says which key of the configuration is wrong.
fn at_path(error: Error) -> Error {
    Error { data: perennial_sdk::serde_json::json!({ "path": ["path"] }), ..error }
}

/// The page with those of `more` that belong on it.
fn with(mut listing: Listing, page: &Page, more: Vec<Summary>) -> Listing {
    let begin = page.cursor.clone().unwrap_or_default();
    let end = listing.next.clone();
    let here = |id: &String| (page.cursor.is_none() || *id > begin) && end.as_ref().is_none_or(|end| id <= end);
    listing.items.extend(more.into_iter().filter(|summary| here(&summary.server_id)));
    listing.items.sort_by(|a, b| a.server_id.cmp(&b.server_id));
    if listing.items.len() > page.limit.max(1) {
        listing.items.truncate(page.limit.max(1));
        listing.next = listing.items.last().map(|last| last.server_id.clone());
    }
    listing
}

export_plugin!(json, JsonStorage: [storage]);
