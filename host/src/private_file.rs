//! A file that its owner alone may read and write, which commands that run at once change one after the other.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use perennial_sdk::{Error, ErrorCode, Result};

/// The file; nothing of it is read before it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct PrivateFile {
    path: PathBuf,
    /// What to think of a file that others may use.
    warning: &'static str,
}

impl PrivateFile {
    /// The one at this path. `warning` says what may have happened while others could use it.
    pub(crate) fn new(path: PathBuf, warning: &'static str) -> Self {
        Self { path, warning }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its text; none when there is no file.
    ///
    /// # Errors
    /// `denied` when others may use it; what keeps it from being read.
    pub(crate) fn read(&self) -> Result<Option<String>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| self.failed("read", error))?,
        };
        self.check_private(&file)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| self.failed("read", error))?;
        Ok(Some(text))
    }

    /// Replaces its text by what `change` makes of it, durably, while nobody else does. `change` reads the file itself.
    ///
    /// # Errors
    /// Those of `change`, and what keeps the file from being written; it is then as it was.
    pub(crate) fn change<T>(&self, change: impl FnOnce() -> Result<(String, T)>) -> Result<T> {
        let unwritten = |error| self.failed("write", error);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritten)?;
        // two commands at once: neither may lose what the other does
        let lock = File::options().create(true).truncate(false).write(true).open(self.path.with_extension("lock"));
        let lock = lock.map_err(unwritten)?;
        lock.lock().map_err(unwritten)?;
        let (text, changed) = change()?;
        self.replace(folder, text.as_bytes()).map_err(unwritten)?;
        Ok(changed)
    }

    fn replace(&self, folder: &Path, text: &[u8]) -> io::Result<()> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        // made for its owner alone, before anything is in it
        let mut temporary = tempfile::Builder::new().prefix(&format!(".{stem}-")).tempfile_in(folder)?;
        temporary.write_all(text)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    #[cfg(unix)]
    fn check_private(&self, file: &File) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(|error| self.failed("read", error))?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let file = self.path.display();
        Err(Error::new(ErrorCode::Denied, format!("others than its owner may use `{file}` (mode {:o})", mode & 0o777))
            .hint(format!("`chmod 600 {file}` keeps them out; {}", self.warning)))
    }

    #[cfg(not(unix))]
    fn check_private(&self, _: &File) -> Result<()> {
        Ok(())
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::from(error).context(format!("failed to {doing} `{}`", self.path.display()))
    }
}
