use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::{Hash, TokenName};

/// The tokens that `perennial token create` made: a file in the state folder that nobody else can read.
#[derive(Debug, Clone)]
pub struct TokenFile {
    file: PathBuf,
}

/// What is kept of a token.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Whose it is.
    pub name: TokenName,
    /// Its hash.
    pub hash: Hash,
    /// When it was made, as RFC 3339 in UTC.
    pub created: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: TokenName,
    sha256: String,
    created: String,
}

impl TokenFile {
    /// The one in the state folder, or the folder's that it will be in. Nothing is read yet.
    pub fn in_folder(state_dir: &Path) -> Self {
        Self { file: state_dir.join("tokens.json") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// `denied` when others could write or read the file; what keeps it from being read or understood.
    pub fn all(&self) -> Result<Vec<Kept>> {
        let mut text = String::new();
        match File::open(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed("read", error)),
            Ok(mut file) => {
                self.check_private(&file)?;
                file.read_to_string(&mut text).map_err(|error| self.failed("read", error))?;
            }
        }
        let mended = "move it away and make the tokens again with `perennial token create`";
        let lines: Vec<Line> = serde_json::from_str(&text).map_err(|error| {
            Error::invalid(format!("`{}` is no list of tokens: {error}", self.file.display())).hint(mended)
        })?;
        let kept = lines.into_iter().map(|line| {
            let hash = Hash::from_hex(&line.sha256);
            hash.map(|hash| Kept { name: line.name, hash, created: line.created })
        });
        kept.collect::<Option<_>>().ok_or_else(|| {
            Error::invalid(format!("`{}` has an entry without a SHA-256", self.file.display())).hint(mended)
        })
    }

    /// Makes a token, keeps its hash, and answers its text, which nobody can be told again.
    ///
    /// # Errors
    /// `conflict` when the name is taken; as [`TokenFile::all`], and what keeps the file from being written.
    pub fn create(&self, name: &TokenName) -> Result<String> {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let token = format!("perennial_{}{}", random(), random());
        self.change(|all| {
            if all.iter().any(|kept| kept.name == *name) {
                return Err(Error::new(ErrorCode::Conflict, format!("there is a token `{name}` already")).hint(
                    format!("`perennial token revoke {name}` makes it worthless, so that another can have its name"),
                ));
            }
            let created = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
            all.push(Kept { name: name.clone(), hash: Hash::of(token.as_bytes()), created });
            Ok(())
        })?;
        Ok(token)
    }

    /// Forgets a token; whether there was one.
    ///
    /// # Errors
    /// As [`TokenFile::create`].
    pub fn revoke(&self, name: &TokenName) -> Result<bool> {
        self.change(|all| {
            let before = all.len();
            all.retain(|kept| kept.name != *name);
            Ok(all.len() < before)
        })
    }

    /// What changes when the file does.
    pub(super) fn mark(&self) -> Option<(SystemTime, u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let file = fs::metadata(&self.file).ok()?;
        Some((file.modified().ok()?, file.ino(), file.len()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Kept>) -> Result<T>) -> Result<T> {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|error| self.failed("write", error))?;
        // two commands at once: neither may lose what the other does
        let lock = File::options().create(true).truncate(false).write(true).open(self.file.with_extension("lock"));
        let lock = lock.map_err(|error| self.failed("write", error))?;
        lock.lock().map_err(|error| self.failed("write", error))?;
        let mut all = self.all()?;
        let changed = change(&mut all)?;
        let lines: Vec<_> = all
            .into_iter()
            .map(|kept| Line { name: kept.name, sha256: format!("{:x}", kept.hash), created: kept.created })
            .collect();
        let text = serde_json::to_string_pretty(&lines)? + "\n";
        self.replace(folder, text.as_bytes()).map_err(|error| self.failed("write", error))?;
        Ok(changed)
    }

    fn replace(&self, folder: &Path, text: &[u8]) -> std::io::Result<()> {
        // made for its owner alone, before anything is in it
        let mut temporary = tempfile::Builder::new().prefix(".tokens-").tempfile_in(folder)?;
        temporary.write_all(text)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.file).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    fn check_private(&self, file: &File) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(|error| self.failed("read", error))?.permissions().mode();
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let file = self.file.display();
        Err(Error::new(ErrorCode::Denied, format!("others than its owner may use `{file}` (mode {:o})", mode & 0o777))
            .hint(format!("`chmod 600 {file}` keeps them out; whoever could write it may have let themselves in")))
    }

    fn failed(&self, doing: &str, error: std::io::Error) -> Error {
        Error::from(error).context(format!("failed to {doing} `{}`", self.file.display()))
    }
}
