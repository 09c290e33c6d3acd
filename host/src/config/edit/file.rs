use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use perennial_sdk::{Error, ErrorCode, Result};
use rustix::fs::{Access, Gid, Uid, access, fchown};

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Original {
    /// Where links lead.
    path: PathBuf,
    /// None when there is no file yet.
    text: Option<String>,
}

/// Of a file that is made: it may get to hold secrets.
const MODE: u32 = 0o600;

impl Original {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::from(error).context(format!("`{}` cannot be read", path.display()));
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            // a link that leads nowhere would be replaced by a file
            Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                return Ok(Self { path: path.to_path_buf(), text: None });
            }
            Err(error) => return Err(failed(error)),
        };
        let text = fs::read_to_string(&path).map_err(failed)?;
        let mode = fs::metadata(&path).map_err(failed)?.mode();
        // a new file could take its place all the same, and whoever made it read-only did not mean that
        if mode & 0o222 == 0 || access(&path, Access::WRITE_OK).is_err() {
            let what = format!("`{}` is read-only", path.display());
            return Err(Error::new(ErrorCode::Denied, what).hint("nothing was changed: make it writable first"));
        }
        Ok(Self { path, text: Some(text) })
    }

    pub(super) fn is_new(&self) -> bool {
        self.text.is_none()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// What its lines end with.
    pub(super) fn newline(&self) -> &'static str {
        super::lines::newline(self.text())
    }

    pub(super) fn replace(&self, text: &str) -> Result<()> {
        let failed =
            |error: std::io::Error| Error::from(error).context(format!("`{}` cannot be written", self.path.display()));
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if self.is_new() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut new = tempfile::Builder::new().prefix(".perennial-").tempfile_in(folder).map_err(failed)?;
        new.write_all(text.as_bytes()).map_err(failed)?;
        let Some(original) = &self.text else {
            new.as_file().set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
            new.as_file().sync_all().map_err(failed)?;
            new.persist_noclobber(&self.path).map_err(|error| failed(error.error))?;
            return sync(folder).map_err(failed);
        };
        let about = fs::metadata(&self.path).map_err(failed)?;
        let ours = new.as_file().metadata().map_err(failed)?;
        if (ours.uid(), ours.gid()) != (about.uid(), about.gid()) {
            let (user, group) = (Uid::from_raw(about.uid()), Gid::from_raw(about.gid()));
            fchown(new.as_file(), Some(user), Some(group)).map_err(|error| failed(error.into()))?;
        }
        new.as_file().set_permissions(about.permissions()).map_err(failed)?;
        new.as_file().sync_all().map_err(failed)?;
        if fs::read(&self.path).map_err(failed)? != original.as_bytes() {
            let what = format!("`{}` was changed by somebody else just now", self.path.display());
            return Err(Error::new(ErrorCode::Conflict, what).hint("nothing was written: run the command again"));
        }
        new.persist(&self.path).map_err(|error| failed(error.error))?;
        sync(folder).map_err(failed)
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
