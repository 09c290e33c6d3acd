use futures_util::{StreamExt, TryStreamExt, stream};

use super::ObjectLibrary;
use crate::{Cx, ErrorCode, Listing, Objects, Page, Result, ServerId, Summary};

/// How many servers are read at the same time.
const READS: usize = 16;

impl<O: Objects> ObjectLibrary<O> {
    /// See [`Storage::deleted`](crate::Storage::deleted).
    pub async fn deleted(&self, cx: &Cx, page: &Page) -> Result<Listing> {
        let after = page.cursor.as_deref().unwrap_or_default();
        let mut gone = self.newest(cx).await?;
        gone.retain(|one| one.deleted && one.id.as_str() > after);
        let more = gone.len() > page.limit.max(1);
        gone.truncate(page.limit.max(1));
        let next = gone.last().filter(|_| more).map(|last| last.id.to_string());
        let read = stream::iter(gone).map(async |one| self.before_its_end(cx, &one.id).await).buffered(READS);
        let items: Vec<Option<Summary>> = read.try_collect().await?;
        Ok(Listing { items: items.into_iter().flatten().collect(), next })
    }

    async fn before_its_end(&self, cx: &Cx, id: &ServerId) -> Result<Option<Summary>> {
        for (version, _) in self.numbers(id).await?.into_iter().rev() {
            match self.get(cx, id, Some(version)).await {
                Ok(server) => return Ok(Some(server.summary())),
                Err(error) if error.code == ErrorCode::NotFound => {}
                Err(error) if matches!(error.code, ErrorCode::Other(_)) => {
                    let (server_id, damage) = (id.to_string(), Some(error.message));
                    return Ok(Some(Summary { server_id, version, damage, ..Summary::default() }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
