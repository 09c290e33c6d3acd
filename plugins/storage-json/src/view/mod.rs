//! `saved_servers.json`: the library as one file that people read and the old program writes.
//!
//! The truth is the library. The file is written from it, and what others wrote into the file is taken over into the
//! library first; both under a lock that hosts share, and that the old program does not know.

mod file;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod known;
mod merge;
mod record;
mod render;
mod scan;
mod script;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use perennial_sdk::{Cx, Error, Newest, ObjectLibrary, Result, SavedServer, ServerId, Summary, Version};

use self::{
    file::{Content, ViewFile, digest},
    known::{Known, KnownEntry, What},
    merge::{Merge, name},
    record::Record,
    scan::{Scan, scan},
};
use crate::{Folder, folder::blocking};

/// What the file was when it was last looked at.
pub(crate) const KNOWN: &str = "view.json";

/// Up to this size, in bytes, the file is written before a save is acknowledged; above, soon after.
const SMALL: u64 = 256 * 1024;

/// How long a large file waits for further saves.
const SOON: Duration = Duration::from_millis(500);

/// The longest wait before a file that could not be written is tried again.
const LATER: Duration = Duration::from_secs(30);

/// How often a file that does not parse is read again: whoever writes it may be in the middle.
const READINGS: u32 = 6;

/// The view of one library.
pub(crate) struct View {
    library: Arc<ObjectLibrary<Folder>>,
    /// The same library for taking over: what the disk refuses is safe in the file, and must be seen.
    lending: ObjectLibrary<Folder>,
    file: Arc<ViewFile>,
    known_path: PathBuf,
    /// The file as this process last saw it.
    seen: Mutex<Option<Known>>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
    /// Counts changes of the library; `written` is how many of them the file has.
    changes: AtomicU64,
    written: AtomicU64,
    scheduled: AtomicBool,
    looked: AtomicBool,
    complaint: Mutex<Option<String>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Writing {
    Now,
    /// Only when it is quick.
    IfSmall,
}

impl View {
    /// The view at `path` of `library`; nothing is read yet.
    pub(crate) fn new(library: Arc<ObjectLibrary<Folder>>, path: PathBuf) -> Arc<Self> {
        let known_path = library.objects().root().join(KNOWN);
        Arc::new(Self {
            lending: ObjectLibrary::new(library.objects().lending()).with_index(crate::INDEX),
            library,
            file: Arc::new(ViewFile::new(path)),
            known_path,
            seen: Mutex::default(),
            one_at_a_time: Arc::default(),
            changes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            scheduled: AtomicBool::new(false),
            looked: AtomicBool::new(false),
            complaint: Mutex::default(),
        })
    }

    /// Takes over what others wrote into the file since it was last looked at. What fails is told and tried again: the
    /// library can be read without it.
    pub(crate) async fn take_over(self: &Arc<Self>) {
        let looked = match self.changed().await {
            Ok(false) => return,
            Ok(true) => self.sync(Writing::IfSmall, None).await,
            Err(error) => Err(error),
        };
        self.settle(looked, "take over changes of");
    }

    /// Brings the file up to date after a change of the library: at once when it is small, else soon.
    pub(crate) async fn publish(self: &Arc<Self>) {
        let change = self.changes.fetch_add(1, SeqCst) + 1;
        let large = self.known(|known| known.and_then(|known| known.stamp).is_some_and(|stamp| stamp.size > SMALL));
        if large {
            return self.schedule(SOON);
        }
        let written = self.sync(Writing::IfSmall, Some(change)).await;
        self.settle(written, "write");
    }

    /// Writes what is still to be written.
    pub(crate) async fn flush(self: &Arc<Self>) {
        if self.written.load(SeqCst) < self.changes.load(SeqCst)
            && let Err(error) = self.sync(Writing::Now, None).await
        {
            self.complain(&error, "write");
        }
    }

    /// What the file holds under keys that are no ids: shown, so that nothing seems lost.
    pub(crate) fn carried(&self) -> Vec<Summary> {
        let carried = |entry: &KnownEntry| match entry.what {
            What::Version { .. } => None,
            What::Carried(_) => Some(Summary {
                server_id: name(&entry.key),
                damage: Some("the file has it under a key that is no server id, or not as a record".into()),
                ..Summary::default()
            }),
        };
        let mut all: Vec<_> =
            self.known(|known| known.map_or(Vec::new(), |k| k.entries.iter().filter_map(carried).collect()));
        all.sort_by(|a, b| a.server_id.cmp(&b.server_id));
        all
    }

    /// A version as the file has it, when that is the one it has, untouched since it was written.
    pub(crate) async fn shown(&self, id: &ServerId, version: Version) -> Result<Option<SavedServer>> {
        let (file, path, id) = (self.file.clone(), self.known_path.clone(), id.clone());
        blocking(move || {
            let Some(content) = file.read()? else { return Ok(None) };
            let known = Known::load(&path).unwrap_or_default();
            let known = known.entries.iter().find(|known| name(&known.key) == id.as_str());
            let Some(known) = known.filter(|known| known.version() == Some(version)) else { return Ok(None) };
            let scan = scan(&content.bytes);
            let entry = scan.entries.iter().find(|entry| entry.key == known.key);
            let entry = entry.filter(|entry| digest(entry.value.as_bytes()) == known.sha256);
            Ok(entry.and_then(|entry| Record::read(&id, entry.value)).and_then(|record| record.server))
        })
        .await
    }

    /// Whether the file is not what it was when this process last saw it.
    async fn changed(self: &Arc<Self>) -> Result<bool> {
        let (view, first) = (self.clone(), self.known(|known| known.is_none()));
        let (stamp, began) = blocking(move || {
            let known = if first { Known::load(&view.known_path) } else { None };
            let began = known.is_some() || first && view.library.objects().root().is_dir();
            if let Some(known) = known {
                *view.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
            }
            Ok((view.file.stamp()?, began))
        })
        .await?;
        // A host that was killed may have saved what it did not come to write into the file.
        if began && !self.looked.swap(true, SeqCst) {
            self.schedule(SOON);
        }
        Ok(self.library.objects().owes()
            || self.known(|known| known.map_or(stamp.is_some(), |known| known.stamp != stamp)))
    }

    /// Compares the file with the library, both ways. It runs where it may block, and to its end even when the caller
    /// gives up. With `change`, nothing is to be done when the file has that already.
    async fn sync(self: &Arc<Self>, writing: Writing, change: Option<u64>) -> Result<()> {
        let turn = self.one_at_a_time.clone().lock_owned().await;
        if change.is_some_and(|change| self.written.load(SeqCst) >= change) {
            return Ok(());
        }
        let (view, runtime) = (self.clone(), tokio::runtime::Handle::current());
        blocking(move || {
            let _turn = turn;
            runtime.block_on(view.sync_in_turn(writing))
        })
        .await
    }

    async fn sync_in_turn(&self, writing: Writing) -> Result<()> {
        let changes = self.changes.load(SeqCst);
        let _lock = self.file.lock()?;
        self.library.objects().settle();
        let mut known = Known::load(&self.known_path).unwrap_or_default();
        let mut content = read_whole(&self.file)?;
        let mut late = false;
        loop {
            let bytes = content.as_ref().map_or(&[][..], |content| &content.bytes);
            let stamp = content.as_ref().map(|content| content.stamp);
            let blank = bytes.trim_ascii().is_empty();
            let scan = if blank { Scan::default() } else { scan(bytes) };
            let sha256 = digest(bytes);
            let untouched =
                known.stamp == stamp && stamp.is_none_or(|stamp| stamp.is_settled()) || known.sha256 == sha256;
            let (entries, mut stale) = if untouched && !known.entries.is_empty() {
                (known.entries.clone(), false)
            } else {
                let merge = Merge {
                    library: &self.lending,
                    known: &known,
                    changed: stamp.map_or(SystemTime::UNIX_EPOCH, |stamp| stamp.changed),
                    deletes: !late && !blank && scan.problem.is_none(),
                };
                let merged = merge.run(&scan).await?;
                (merged.entries, merged.stale)
            };
            if let Some(problem) = scan.problem.clone() {
                let copy = self.file.set_aside(bytes)?;
                let copy = copy.display();
                tracing::warn!(%problem, %copy, "the file of saved servers cannot be read: it is copied, and written again");
                stale = true;
            }
            let newest = self.library.newest(&Cx::detached()).await?;
            stale |= late || !render::is_current(&newest, &entries);
            // the file has nothing of deleted ones, of which there are ever more
            let live = newest.iter().filter(|one| !one.deleted).count();
            let small = bytes.len() as u64 <= SMALL && live <= 500;
            if !stale || !(small || writing == Writing::Now) {
                self.remember(Known { stamp, sha256, entries });
                if stale {
                    self.changes.fetch_max(self.written.load(SeqCst) + 1, SeqCst);
                } else {
                    self.written.fetch_max(changes, SeqCst);
                }
                return Ok(());
            }
            known = self.write(&newest, entries, &scan).await?;
            self.written.fetch_max(changes, SeqCst);
            match content.and_then(Content::late) {
                Some(after) => (content, late) = (Some(after), true),
                None => return Ok(()),
            }
        }
    }

    async fn write(&self, newest: &[Newest], entries: Vec<KnownEntry>, scan: &Scan<'_>) -> Result<Known> {
        let rendered = render::render(&self.library, newest, entries, scan).await?;
        let stamp = self.file.write(rendered.text.as_bytes())?;
        let sha256 = digest(rendered.text.as_bytes());
        let known = Known { stamp: Some(stamp), sha256, entries: rendered.entries };
        self.remember(known.clone());
        Ok(known)
    }

    fn remember(&self, known: Known) {
        if let Err(error) = known.save(&self.known_path) {
            tracing::debug!(%error, "what the file was is not remembered");
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    fn settle(self: &Arc<Self>, result: Result<()>, doing: &str) {
        match result {
            Ok(()) => *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Err(error) => self.complain(&error, doing),
        }
        if self.written.load(SeqCst) < self.changes.load(SeqCst) {
            self.schedule(SOON);
        }
    }

    /// Says it once, until it works again or something else is wrong.
    fn complain(&self, error: &Error, doing: &str) {
        let text = error.to_string();
        let mut last = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&text) {
            let hint = error.hint.as_deref().unwrap_or("the saved servers themselves are safe; it is tried again");
            tracing::warn!(%error, hint, "failed to {doing} the file of saved servers");
            *last = Some(text);
        }
    }

    fn schedule(self: &Arc<Self>, wait: Duration) {
        if self.scheduled.swap(true, SeqCst) {
            return;
        }
        let view = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut wait = wait;
            loop {
                tokio::time::sleep(wait).await;
                let Some(view) = view.upgrade() else { return };
                let written = view.sync(Writing::Now, None).await;
                if let Err(error) = &written {
                    view.complain(error, "write");
                    wait = (wait * 2).min(LATER);
                    continue;
                }
                view.scheduled.store(false, SeqCst);
                let more = view.written.load(SeqCst) < view.changes.load(SeqCst);
                if !more || view.scheduled.swap(true, SeqCst) {
                    return;
                }
                wait = SOON;
            }
        });
    }

    fn known<T>(&self, look: impl FnOnce(Option<&Known>) -> T) -> T {
        look(self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

/// Reads the file, more than once when it does not parse.
fn read_whole(file: &ViewFile) -> Result<Option<Content>> {
    let mut reading = 0;
    loop {
        let content = file.read()?;
        reading += 1;
        let whole = content.as_ref().is_none_or(|content| scan(&content.bytes).problem.is_none());
        if whole || reading == READINGS {
            return Ok(content);
        }
        std::thread::sleep(Duration::from_millis(15) * reading);
    }
}
