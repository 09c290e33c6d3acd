use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use perennial_sdk::Tool;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::blocking::blocking;

/// What probes told, in a small file: a second start of the host costs no probe.
///
/// It is a cache: a file that is lost or does not parse is as good as none.
#[derive(Debug)]
pub(super) struct Memo {
    file: PathBuf,
    loaded: OnceCell<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<PathBuf, Entry>,
    changed: bool,
}

/// What the probe of one file told, while none of the files that it depends on changes.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    probe: Vec<String>,
    stamps: Vec<Stamp>,
    tool: Tool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    modified_ns: u128,
}

impl Memo {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, loaded: OnceCell::new(), state: Mutex::default() }
    }

    /// Reads the file, the first time.
    pub(super) async fn load(&self) {
        let load = async || {
            let file = self.file.clone();
            let read = blocking(move || Ok(std::fs::read(file)?)).await;
            self.state().entries = read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        };
        self.loaded.get_or_init(load).await;
    }

    /// Writes the file when there is something new.
    pub(super) async fn save(&self) {
        let text = {
            let mut state = self.state();
            if !std::mem::take(&mut state.changed) {
                return;
            }
            serde_json::to_vec(&state.entries).unwrap_or_default()
        };
        let file = self.file.clone();
        if let Err(error) = blocking(move || Ok(write(&file, &text)?)).await {
            tracing::debug!(%error, "what the probes told is not kept");
        }
    }

    pub(super) fn recall(&self, candidate: &Path, probe: &[String]) -> Option<Tool> {
        let state = self.state();
        let entry = state.entries.get(candidate)?;
        let same = entry.stamps.iter().all(|stamp| Stamp::of(&stamp.path).as_ref() == Some(stamp));
        (same && entry.probe == probe).then(|| entry.tool.clone())
    }

    pub(super) fn learn(&self, candidate: &Path, probe: &[String], tool: &Tool) {
        let watched = tool.facts.get("watch").and_then(serde_json::Value::as_str).map(Path::new);
        let files = [Some(candidate), Some(tool.path.as_path()), watched];
        let entry = Entry {
            probe: probe.to_vec(),
            stamps: files.into_iter().flatten().filter_map(Stamp::of).collect(),
            tool: tool.clone(),
        };
        let mut state = self.state();
        state.entries.insert(candidate.to_path_buf(), entry);
        state.changed = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = metadata.len();
        let modified_ns = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Some(Self { path: path.to_path_buf(), inode, modified_ns })
    }
}

/// Writes a file whole or not at all.
pub(super) fn write(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::write(temporary.path(), text)?;
    temporary.persist(file).map(drop).map_err(|error| error.error)
}
