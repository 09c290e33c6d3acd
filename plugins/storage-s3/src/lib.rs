//! The library in a bucket of any S3-compatible store, for any number of hosts: numbered, immutable version objects,
//! created only where there is none.
//!
//! See [`Config`] for what can be set. Nothing is asked of the store before the library is used, and before the first
//! write the store is tried out: one that overwrites what must not exist yet is refused.

mod bucket;
mod config;
mod connect;
mod credentials;
mod explain;
mod probe;
mod secret;
mod single;
mod trace;
mod transport;

use perennial_sdk::prelude::*;

pub use self::{
    bucket::Bucket,
    config::{Addressing, ConditionalWrites, Config, Settings},
    secret::Secret,
};

/// From how many bytes on a text is an object of its own, which versions share.
const LARGE: usize = 256 * 1024;

/// The storage `s3`.
pub struct S3Storage {
    /// None where nothing is configured.
    library: Option<ObjectLibrary<Bucket>>,
}

impl Plugin for S3Storage {
    type Config = Config;

    async fn init(config: Config, home: Home) -> Result<Self> {
        let library = config.settings()?.map(|settings| {
            let bucket = Bucket::new(settings, home.data_dir.join("s3"));
            ObjectLibrary::new(bucket).with_index(index_key()).with_blobs(LARGE)
        });
        Ok(Self { library })
    }
}

impl Storage for S3Storage {
    fn capabilities(&self) -> Capabilities {
        let shared = self.library.as_ref().is_some_and(|library| library.objects().is_shared());
        Capabilities { shared, versions: true }
    }

    fn location(&self) -> String {
        self.library.as_ref().map_or_else(|| "s3 (no bucket is set)".into(), |library| library.objects().location())
    }

    async fn list(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        wanted(cx, self.library()?.list(cx, page)).await
    }

    async fn get(&self, cx: &Cx, id: &ServerId, version: Option<Version>) -> Result<SavedServer> {
        wanted(cx, self.library()?.get(cx, id, version)).await
    }

    async fn put(&self, cx: &Cx, record: &SavedServer, expected: Expected, put_id: &PutId) -> Result<Version> {
        wanted(cx, self.library()?.put(cx, record, expected, put_id)).await
    }

    async fn versions(&self, cx: &Cx, id: &ServerId) -> Result<Vec<Version>> {
        wanted(cx, self.library()?.versions(cx, id)).await
    }

    async fn delete(&self, cx: &Cx, id: &ServerId, expected: Expected) -> Result<Version> {
        wanted(cx, self.library()?.delete(cx, id, expected)).await
    }

    async fn deleted(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        wanted(cx, self.library()?.deleted(cx, page)).await
    }

    async fn check(&self, cx: &Cx, repair: bool) -> Result<Checked> {
        wanted(cx, self.library()?.check(cx, repair, &[bucket::INDEX, probe::PLACE])).await
    }

    async fn collect(&self, cx: &Cx, retention: &Retention) -> Result<Collected> {
        wanted(cx, self.library()?.collect(cx, retention)).await
    }
}

impl S3Storage {
    fn library(&self) -> Result<&ObjectLibrary<Bucket>> {
        self.library.as_ref().ok_or_else(|| {
            Error::invalid("the storage `s3` has no bucket")
                .hint("set `bucket` in the `config` of `[plugins.s3]`, and what else the store needs")
        })
    }
}

/// Gives a call up when its caller does, or when its time is over.
async fn wanted<T>(cx: &Cx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let over = async {
        match cx.remaining() {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => done,
        () = cx.cancelled() => Err(Error::new(ErrorCode::Cancelled, "the call was cancelled")),
        () = over => Err(Error::new(ErrorCode::Timeout, "the time for the call ran out")),
    }
}

/// Each machine keeps an index of its own: nobody waits for another's.
fn index_key() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(64).collect();
    let name = name.trim_matches('.');
    format!("{}{}", bucket::INDEX, if name.is_empty() { "host" } else { name })
}

export_plugin!(s3, S3Storage: [storage]);
