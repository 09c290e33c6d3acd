use std::{
    fs, io,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use futures_util::future::join_all;
use perennial_sdk::{
    Created, Error, ErrorCode, PutId, Result,
    serde_json::{self, json},
};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::{Bucket, config::Settings};

/// How many writers create the same object at the same time.
const RACERS: usize = 8;

/// How many such races there are: some stores let two writers win only now and then.
const RACES: usize = 3;

/// How long a store that passed is not tried out again.
const GOOD: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long one that failed is not.
const BAD: Duration = Duration::from_secs(60);

/// What the keys of all probes begin with.
pub(crate) const PLACE: &str = "probe/";

/// Changes with what is checked.
const EDITION: u32 = 1;

/// Finds out, before the first write, whether a store keeps the promises that several writers need.
///
/// That it does is kept on the disk, for the next start, and in the bucket, for the other hosts.
pub(crate) struct Probe {
    folder: PathBuf,
    name: String,
    verdict: Mutex<Option<(Instant, Result<()>)>>,
}

impl Probe {
    pub(crate) fn new(settings: &Settings, memory: PathBuf) -> Self {
        let store = format!("{EDITION} {} {:?}", settings.location(), settings.region);
        let name: String = Sha256::digest(store).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { folder: memory, name: format!("passed-{name}.json"), verdict: Mutex::default() }
    }

    /// That the store can be written by several hosts.
    ///
    /// # Errors
    /// `unsupported`, with the promise that it breaks; whatever kept it from being tried out.
    pub(crate) async fn passed(&self, bucket: &Bucket) -> Result<()> {
        let mut verdict = self.verdict.lock().await;
        match &*verdict {
            Some((_, Ok(()))) => return Ok(()),
            Some((when, refused)) if when.elapsed() < BAD => return refused.clone(),
            _ => {}
        }
        let found = if self.is_known_here() { Ok(()) } else { self.find_out(bucket).await };
        if !found.as_ref().is_err_and(|error| error.code != ErrorCode::Unsupported) {
            *verdict = Some((Instant::now(), found.clone()));
        }
        found
    }

    async fn find_out(&self, bucket: &Bucket) -> Result<()> {
        let key = format!("{PLACE}{}", self.name);
        let known = bucket.everything(&key).await?;
        if !known.iter().any(|mark| mark.key == key && is_young(mark.modified)) {
            examine(bucket).await?;
            let mark = json!({ "passed": bucket.location() }).to_string();
            bucket.overwrite(&key, mark.as_bytes()).await?;
        }
        if let Err(error) = self.keep() {
            tracing::debug!(%error, "the next start will ask the store again");
        }
        Ok(())
    }

    fn is_known_here(&self) -> bool {
        is_young(fs::metadata(self.folder.join(&self.name)).and_then(|meta| meta.modified()).ok())
    }

    fn keep(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(b"{}")?;
        file.persist(self.folder.join(&self.name))?;
        Ok(())
    }
}

fn is_young(modified: Option<SystemTime>) -> bool {
    modified.is_some_and(|modified| modified.elapsed().unwrap_or_default() < GOOD)
}

async fn examine(bucket: &Bucket) -> Result<()> {
    let place = format!("{PLACE}{}", PutId::random().as_str());
    let examined = async {
        creates_only_once(bucket, &format!("{place}/once")).await?;
        refuses_damage(bucket, &format!("{place}/damage")).await?;
        let races: Vec<_> = (0..RACES).map(|race| format!("{place}/race-{race}")).collect();
        join_all(races.iter().map(|race| has_one_winner(bucket, race))).await.into_iter().collect()
    }
    .await;
    // what cannot be removed is a few bytes
    if let Ok(left) = bucket.everything(&format!("{place}/")).await {
        join_all(left.iter().map(|object| bucket.delete(&object.key))).await;
    }
    examined
}

async fn creates_only_once(bucket: &Bucket, key: &str) -> Result<()> {
    if bucket.put_new(key, b"first").await? == Created::Exists && bucket.get(key).await? != b"first" {
        return Err(refused(bucket, "it says that an object exists which does not"));
    }
    if bucket.get(key).await.map_err(|error| lost(bucket, error))? != b"first" {
        return Err(refused(bucket, "what was written is not what is read"));
    }
    let again = bucket.put_new(key, b"second").await?;
    if again == Created::New || bucket.get(key).await? != b"first" {
        return Err(refused(bucket, "it overwrites objects that must not exist yet (`If-None-Match: *` is ignored)"));
    }
    if !bucket.everything(key).await?.iter().any(|object| object.key == key) {
        return Err(refused(bucket, "its listing does not show what was just written"));
    }
    Ok(())
}

async fn refuses_damage(bucket: &Bucket, key: &str) -> Result<()> {
    if bucket.put_spoiled(key, b"damage").await? {
        return Err(refused(bucket, "it takes an object whose checksum is wrong"));
    }
    match bucket.get(key).await {
        Err(error) if error.code == ErrorCode::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(refused(bucket, "it keeps an object whose checksum is wrong")),
    }
}

async fn has_one_winner(bucket: &Bucket, key: &str) -> Result<()> {
    let bodies: Vec<_> =
        (0..RACERS).map(|racer| serde_json::to_vec(&json!({ "racer": racer }))).collect::<Result<_, _>>()?;
    let mut winners = Vec::new();
    for (body, created) in bodies.iter().zip(join_all(bodies.iter().map(|body| bucket.put_new(key, body))).await) {
        if created? == Created::New {
            winners.push(body);
        }
    }
    let found = bucket.get(key).await.map_err(|error| lost(bucket, error))?;
    // nobody is told when a write that was answered with a fault turns out to be the first
    match winners.as_slice() {
        [] if bodies.contains(&found) => Ok(()),
        [winner] if **winner == found => Ok(()),
        [_] | [] => Err(refused(bucket, "the writer who is told that it was first is not the one whose object stays")),
        several => {
            let message =
                format!("{} of {RACERS} writers at the same time are told that they were first", several.len());
            Err(refused(bucket, &message))
        }
    }
}

fn lost(bucket: &Bucket, error: Error) -> Error {
    if error.code == ErrorCode::NotFound { refused(bucket, "what was written cannot be read at once") } else { error }
}

fn refused(bucket: &Bucket, reason: &str) -> Error {
    Error::unsupported(format!("{} is not safe for several hosts: {reason}", bucket.named())).hint(
        "use a store that honours conditional writes; where no other host ever saves, `conditional_writes = \
         \"unsafe-single-writer\"` goes without",
    )
}
