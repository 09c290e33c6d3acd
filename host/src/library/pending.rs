use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use perennial_sdk::{Cx, ServerId, Summary, Version};

use super::Library;
use crate::trust::Approvals;

/// How many records are read at the same time.
const READS: usize = 16;

impl Library {
    /// Of these servers, those whose newest version asks for more than it is given until somebody approves it.
    ///
    /// A record that cannot be read now is not among them: it cannot be loaded either.
    pub async fn pending(&self, cx: &Cx, summaries: &[Summary]) -> HashSet<String> {
        let asking = summaries.iter().filter(|one| one.damage.is_none() && !one.permissions.is_default());
        let asking: Vec<_> = asking.filter_map(|one| Some((one.server_id.parse().ok()?, one.version))).collect();
        if asking.is_empty() {
            return HashSet::new();
        }
        // without a file that can be read nothing is approved
        let approvals = self.trust.approvals().await.unwrap_or_default();
        let looks = asking.into_iter().map(|(id, version)| self.if_pending(cx, id, version, &approvals));
        stream::iter(looks).buffer_unordered(READS).filter_map(async |pending| pending).collect().await
    }

    async fn if_pending(&self, cx: &Cx, id: ServerId, version: Version, approvals: &Approvals) -> Option<String> {
        let pending = !approvals.know(&id) || !approvals.cover(&self.get(cx, &id, Some(version)).await.ok()?);
        pending.then(|| id.into())
    }
}
