use std::{
    borrow::Cow,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use perennial_sdk::Result;
use serde::{Deserialize, Serialize};

use super::Saved;

/// What the last session knew of a library: all there is to go by while a store cannot be reached.
#[derive(Debug)]
pub(super) struct Remembered {
    file: PathBuf,
    location: String,
}

#[derive(Serialize, Deserialize)]
struct Known<'a> {
    location: Cow<'a, str>,
    servers: Cow<'a, [Saved]>,
}

impl Remembered {
    pub(super) fn new(state_dir: &Path, location: String) -> Self {
        Self { file: state_dir.join("library.json"), location }
    }

    /// Nothing, when nothing is known of this very library.
    pub(super) fn read(&self) -> Vec<Saved> {
        let known = fs::read(&self.file).ok().and_then(|bytes| serde_json::from_slice::<Known<'_>>(&bytes).ok());
        known
            .filter(|known| known.location == self.location)
            .map(|known| known.servers.into_owned())
            .unwrap_or_default()
    }

    pub(super) fn write(&self, servers: &[Saved]) -> Result<()> {
        let known = serde_json::to_vec(&Known { location: self.location.as_str().into(), servers: servers.into() })?;
        if fs::read(&self.file).is_ok_and(|there| there == known) {
            return Ok(());
        }
        let folder = self.file.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&known)?;
        file.persist(&self.file).map_err(|error| error.error)?;
        Ok(())
    }
}
