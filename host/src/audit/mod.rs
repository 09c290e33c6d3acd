//! Who did what: one JSON line for everything that changes a server or calls one, in the state folder, never with what was
//! passed or answered.

mod entry;
mod journal;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use perennial_sdk::Result;

pub use entry::{Asked, Entry, Event, Outcome};

use journal::Journal;

/// Takes entries at once and writes them a moment later, behind everybody's back, in their order. Several hosts may share
/// the folder.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    writer: OnceLock<SyncSender<Note>>,
    lost: AtomicU64,
}

enum Note {
    Entry(Box<Entry>),
    Flush(SyncSender<()>),
}

/// Entries that wait for the disk; what comes beyond them is counted instead of kept, so that a disk that hangs stops no
/// call.
const MOST_WAITING: usize = 4096;

/// How long a first entry waits for others to go with it: one write for each of many calls at once would slow all of them.
const BREATH: Duration = Duration::from_millis(5);

/// How long the end of the host waits for the last entries.
const LAST_ENTRIES: Duration = Duration::from_millis(500);

impl Audit {
    /// Writes below `state_dir`, once there is something to write.
    pub fn new(state_dir: &Path) -> Self {
        Self { folder: folder(state_dir), writer: OnceLock::new(), lost: AtomicU64::new(0) }
    }

    /// Adds an entry.
    pub fn record(&self, entry: Entry) {
        let writer = self.writer.get_or_init(|| self.start());
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 && !send(writer, Entry { count: Some(lost), ..Entry::new(Event::Lost) }) {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        if !send(writer, entry) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds what became of a call.
    pub fn record_all(&self, entries: Vec<Entry>) {
        entries.into_iter().for_each(|entry| self.record(entry));
    }

    /// Waits until what was recorded is in the file, half a second at most.
    pub fn flush(&self) {
        let Some(writer) = self.writer.get() else { return };
        let (done, flushed) = mpsc::sync_channel(1);
        if writer.try_send(Note::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(LAST_ENTRIES);
        }
    }

    fn start(&self) -> SyncSender<Note> {
        let (writer, notes) = mpsc::sync_channel(MOST_WAITING);
        let journal = Journal::new(self.folder.clone());
        let started = thread::Builder::new().name("audit".into()).spawn(move || write(&notes, &journal));
        if let Err(error) = started {
            tracing::warn!(%error, "there is no audit log");
        }
        writer
    }
}

/// What was recorded below `state_dir`, oldest first. Lines that cannot be read are left out.
///
/// # Errors
/// A file that cannot be read.
pub fn read(state_dir: &Path) -> Result<Vec<Entry>> {
    Journal::new(folder(state_dir)).read()
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("audit")
}

fn send(writer: &SyncSender<Note>, entry: Entry) -> bool {
    !matches!(writer.try_send(Note::Entry(Box::new(entry))), Err(TrySendError::Full(_)))
}

fn write(notes: &Receiver<Note>, journal: &Journal) {
    let mut complained = false;
    while let Ok(first) = notes.recv() {
        if matches!(first, Note::Entry(_)) {
            thread::sleep(BREATH);
        }
        let (mut lines, mut flushed) = (Vec::new(), Vec::new());
        for note in std::iter::once(first).chain(notes.try_iter()) {
            match note {
                Note::Entry(entry) => entry.append_to(&mut lines),
                Note::Flush(done) => flushed.push(done),
            }
        }
        if let Err(error) = journal.append(&lines)
            && !std::mem::replace(&mut complained, true)
        {
            tracing::warn!(%error, "entries of the audit log are lost");
        }
        for done in flushed {
            let _ = done.try_send(());
        }
    }
}
