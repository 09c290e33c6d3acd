use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{ObjectLibrary, envelope, index::HeadState, key, read::READS, wanted};
use crate::{
    Collected, CollectedServer, Cx, Error, ErrorCode, ObjectMeta, Objects, Result, Retention, ServerId, Version,
};

/// What is younger by the medium's clock is never collected: whoever wrote it, or repeats a put, may still be at it. Marks
/// stay for so long too.
const YOUNG: Duration = Duration::from_secs(24 * 3600);

/// A collector that took longer than this since it set its marks removes no more: they may be swept soon.
const HASTE: Duration = Duration::from_secs(3600);

/// A server's versions, oldest first.
type Versions = Vec<(Version, ObjectMeta)>;

impl<O: Objects> ObjectLibrary<O> {
    /// See [`Storage::collect`](crate::Storage::collect). Ages are taken by the medium's clock; what is younger than a day
    /// is never removed.
    ///
    /// It may be cut off at any point and run in several processes at once. The newest version of a server always stays,
    /// be it a tombstone, and so does the newest one that is whole unless the server was deleted.
    pub async fn collect(&self, cx: &Cx, retention: &Retention) -> Result<Collected> {
        wanted(cx)?;
        let run = uuid::Uuid::new_v4().simple().to_string();
        let now = if retention.dry_run { SystemTime::now() } else { self.now(&run).await? };
        let mut collected = Collected::default();
        self.collect_versions(cx, retention, now, &mut collected).await?;
        self.collect_blobs(cx, retention, now, &run, &mut collected).await?;
        Ok(collected)
    }

    async fn collect_versions(
        &self,
        cx: &Cx,
        retention: &Retention,
        now: SystemTime,
        collected: &mut Collected,
    ) -> Result<()> {
        self.refresh().await?;
        let mut servers = BTreeMap::<ServerId, Versions>::new();
        self.walk(key::ROOT, |id, version, meta| servers.entry(id).or_default().push((version, meta))).await?;
        for (id, versions) in servers {
            let (deleted, old) = self.old(&id, &versions, retention, now).await?;
            if old == 0 {
                continue;
            }
            wanted(cx)?;
            // The oldest go first: whenever this ends, what is left has no gaps.
            for (version, meta) in &versions[..old] {
                if !retention.dry_run {
                    self.objects.remove(&key::object(&id, *version)).await?;
                }
                collected.bytes += meta.size;
            }
            let versions = versions[..old].iter().map(|(version, _)| *version).collect();
            collected.servers.push(CollectedServer { server_id: id, deleted, versions });
        }
        Ok(())
    }

    /// How many of the oldest versions may go, and whether because the server is deleted.
    async fn old(
        &self,
        id: &ServerId,
        versions: &Versions,
        retention: &Retention,
        now: SystemTime,
    ) -> Result<(bool, usize)> {
        let older = |meta: &ObjectMeta, than: Duration| age(meta, now).is_some_and(|age| age > than.max(YOUNG));
        let Some(((newest, meta), before)) = versions.split_last() else { return Ok((false, 0)) };
        if before.is_empty() {
            return Ok((false, 0));
        }
        if matches!(self.state(id, *newest).await?, HeadState::Deleted) {
            return Ok((true, if older(meta, retention.deleted) { before.len() } else { 0 }));
        }
        if retention.versions.is_none() && retention.replaced.is_none() {
            return Ok((false, 0));
        }
        let whole = self.newest_whole(id, versions).await?;
        let keep = retention.versions.map_or(1, |count| usize::try_from(count).unwrap_or(usize::MAX).max(1));
        let beyond = (whole + 1).saturating_sub(keep);
        let replaced = retention.replaced.unwrap_or_default();
        let old = versions.windows(2).take(beyond).take_while(|pair| older(&pair[1].1, replaced)).count();
        Ok((false, old))
    }

    /// The place of the newest version that can be loaded; 0 when there is none.
    async fn newest_whole(&self, id: &ServerId, versions: &Versions) -> Result<usize> {
        for (place, (version, _)) in versions.iter().enumerate().rev() {
            match self.get_exactly(id, *version).await {
                Ok(_) => return Ok(place),
                Err(error) if error.retryable => return Err(error),
                Err(_) => {}
            }
        }
        Ok(0)
    }

    async fn collect_blobs(
        &self,
        cx: &Cx,
        retention: &Retention,
        now: SystemTime,
        run: &str,
        collected: &mut Collected,
    ) -> Result<()> {
        self.sweep_marks(retention, now).await?;
        let mut old = BTreeMap::<String, Vec<ObjectMeta>>::new();
        self.walk_all(key::BLOBS, |meta| {
            if let Some(sha256) = key::sha256(&meta.key, key::BLOBS).filter(|_| age(&meta, now) > Some(YOUNG)) {
                old.entry(sha256.into()).or_default().push(meta);
            }
        })
        .await?;
        // What was removed, or would be, needs nothing.
        let removed = collected
            .servers
            .iter()
            .flat_map(|server| server.versions.iter().map(|version| key::object(&server.server_id, *version)));
        let mut looked: HashSet<_> = removed.collect();
        self.spare(&mut old, &mut looked).await?;
        if !retention.dry_run && !old.is_empty() {
            let marked = Instant::now();
            for sha256 in old.keys() {
                wanted(cx)?;
                self.objects.create(&key::mark(sha256, run), b"").await?;
            }
            // Whoever wrote a version since then has seen the mark, and does not rely on what it names.
            self.spare(&mut old, &mut looked).await?;
            for meta in old.values().flatten() {
                wanted(cx)?;
                if marked.elapsed() > HASTE {
                    return Err(Error::unavailable("the large texts took too long to look at").hint("try again"));
                }
                self.objects.remove(&meta.key).await?;
            }
        }
        collected.blobs += old.len() as u64;
        collected.bytes += old.values().flatten().map(|meta| meta.size).sum::<u64>();
        Ok(())
    }

    /// Takes out of `old` what versions need that were not `looked` at before.
    async fn spare(&self, old: &mut BTreeMap<String, Vec<ObjectMeta>>, looked: &mut HashSet<String>) -> Result<()> {
        if old.is_empty() {
            return Ok(());
        }
        let mut new = Vec::new();
        self.walk_all(key::ROOT, |meta| {
            if looked.insert(meta.key.clone()) {
                new.push(meta.key);
            }
        })
        .await?;
        let mut reads =
            stream::iter(new).map(|key| async move { self.objects.read(&key).await }).buffer_unordered(READS);
        loop {
            match reads.try_next().await {
                Ok(Some(bytes)) => hashes(&bytes).for_each(|hash| drop(old.remove(hash))),
                Ok(None) => return Ok(()),
                // Collected meanwhile.
                Err(error) if error.code == ErrorCode::NotFound => {}
                Err(error) => return Err(error.context("a version cannot be read, so that no large text is removed")),
            }
        }
    }

    async fn sweep_marks(&self, retention: &Retention, now: SystemTime) -> Result<()> {
        let mut old = Vec::new();
        self.walk_all(key::MARKS, |meta| {
            if age(&meta, now) > Some(YOUNG) {
                old.push(meta.key);
            }
        })
        .await?;
        for key in old.into_iter().filter(|_| !retention.dry_run) {
            self.objects.remove(&key).await?;
        }
        Ok(())
    }

    /// What the medium's clock says, or said last where nothing can be written: a full disk must be one that can be
    /// collected.
    async fn now(&self, run: &str) -> Result<SystemTime> {
        let key = key::mark("clock", run);
        let written = self.objects.create(&key, b"").await;
        let mut now = None;
        self.walk_all(if written.is_ok() { &key } else { key::ROOT }, |meta| now = now.max(meta.modified)).await?;
        if written.is_ok() {
            self.objects.remove(&key).await?;
        }
        match (now, written) {
            (Some(now), _) => Ok(now),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(Error::unsupported(
                "this storage does not tell how old things are, so that nothing is removed from it",
            )),
        }
    }
}

fn age(meta: &ObjectMeta, now: SystemTime) -> Option<Duration> {
    now.duration_since(meta.modified?).ok()
}

/// Whatever looks like a hash, so that a damaged version keeps its texts too.
fn hashes(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let runs = bytes.split(|byte| !(byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)));
    runs.filter(|run| run.len() == envelope::HASH_LEN).filter_map(|run| str::from_utf8(run).ok())
}
