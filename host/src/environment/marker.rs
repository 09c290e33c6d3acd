//! What makes an environment count, in spite of a power loss.
//!
//! A marker that is on the disk says nothing of the files that were written before it: they may come back empty. So it
//! first counts only within the boot that wrote it, and for good once everything is known to be on the disk, which
//! nobody waits for.

use std::{fs, io, path::Path};

use perennial_sdk::Result;

use super::{lockfile, write_file};

/// The folder that counts, and the boot that this holds for; empty when it holds for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    name: String,
    boot: String,
}

impl Marker {
    /// For a folder that was just finished.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), boot: this_boot() }
    }

    /// The folder that counts by the marker at `path`. One of another boot is removed, unless somebody has `guard`.
    pub(super) fn read(path: &Path, guard: &Path) -> Result<Option<String>> {
        let Some(marker) = Self::parse(path)? else { return Ok(None) };
        if marker.boot.is_empty() || marker.boot == this_boot() {
            return Ok(Some(marker.name));
        }
        if let Some(_exclusive) = lockfile::free(guard, true)
            && Self::parse(path)?.as_ref() == Some(&marker)
        {
            fs::remove_file(path)?;
        }
        Ok(None)
    }

    /// Writes it whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        write_file(path, &format!("{}\n{}\n", self.name, self.boot))
    }

    /// Lets the marker at `path` count for good, when it is still this one, after all before it has reached the disk.
    pub(super) fn settle(self, path: &Path, guard: &Path) -> Result<()> {
        if self.boot.is_empty() {
            return Ok(());
        }
        sync(path)?;
        if let Some(_shared) = lockfile::joined(guard)
            && Self::parse(path)?.as_ref() == Some(&self)
        {
            Self { boot: String::new(), ..self }.write(path)?;
        }
        Ok(())
    }

    fn parse(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut lines = text.lines().map(|line| line.trim().to_owned());
        // a file without a name is what a power loss leaves of one
        let name = lines.next().filter(|name| !name.is_empty());
        Ok(name.map(|name| Self { name, boot: lines.next().unwrap_or_default() }))
    }
}

/// Empty where it cannot be told: markers then count at once.
fn this_boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Waits until everything on the disk of `path` is written.
#[cfg(target_os = "linux")]
fn sync(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(path)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_of_another_boot_counts_only_when_all_was_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (path, guard) = (folder.path().join("ready"), folder.path().join("guard"));
        assert_eq!(Marker::read(&path, &guard).unwrap(), None);
        Marker::new("e1").write(&path).unwrap();
        assert_eq!(Marker::read(&path, &guard).unwrap().as_deref(), Some("e1"));

        let other = Marker { name: "e1".into(), boot: "another".into() };
        other.write(&path).unwrap();
        assert_eq!(Marker::read(&path, &guard).unwrap(), None);
        assert!(!path.exists());

        lockfile::free(&guard, true).unwrap();
        other.write(&path).unwrap();
        Marker { name: "e2".into(), ..other.clone() }.settle(&path, &guard).unwrap();
        assert_eq!(Marker::parse(&path).unwrap().as_ref(), Some(&other), "it belongs to somebody else");
        other.settle(&path, &guard).unwrap();
        assert_eq!(Marker::read(&path, &guard).unwrap().as_deref(), Some("e1"));
    }
}
