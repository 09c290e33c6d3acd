use perennial_sdk::{Error, Result};

/// Runs what waits for a disk where it keeps no call waiting.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("a task ended early").caused_by(&error))?
}
