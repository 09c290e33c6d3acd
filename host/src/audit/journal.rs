use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

use perennial_sdk::{Error, Result};

use super::Entry;

/// The files of the audit log: `audit.jsonl` and the full ones before it, `audit.1.jsonl` being the youngest of them.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    full_at: u64,
}

/// Bytes after which a file is full.
const FULL_AT: u64 = 8 << 20;

/// Full files that are kept.
const KEPT: usize = 4;

impl Journal {
    /// In this folder, which need not be there.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, full_at: FULL_AT }
    }

    #[cfg(test)]
    pub(super) fn full_at(self, bytes: u64) -> Self {
        Self { full_at: bytes, ..self }
    }

    /// Appends whole lines. The lock keeps another host from turning the files over in between.
    pub(super) fn append(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let lock = private().open(self.folder.join("lock"))?;
        lock.lock()?;
        let current = self.file(0);
        if fs::metadata(&current).is_ok_and(|file| file.len() >= self.full_at) {
            self.turn_over()?;
        }
        private().open(current)?.write_all(lines)
    }

    /// Every entry that can be read, oldest first.
    pub(super) fn read(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for number in (0..=KEPT).rev() {
            let path = self.file(number);
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(|error| Error::from(error).context(format!("`{}`", path.display())))?,
            };
            for line in BufReader::new(file).split(b'\n') {
                entries.extend(serde_json::from_slice::<Entry>(&line?).ok());
            }
        }
        Ok(entries)
    }

    fn turn_over(&self) -> io::Result<()> {
        for number in (0..KEPT).rev() {
            match fs::rename(self.file(number), self.file(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.join(if number == 0 { "audit.jsonl".into() } else { format!("audit.{number}.jsonl") })
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options
}
