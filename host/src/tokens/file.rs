use std::{fs, path::Path, time::SystemTime};

use chrono::{SecondsFormat, Utc};
use perennial_sdk::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

use super::{Hash, TokenName};
use crate::private_file::PrivateFile;

/// The tokens that `perennial token create` made: a file in the state folder that nobody else can read.
#[derive(Debug, Clone)]
pub struct TokenFile {
    file: PrivateFile,
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
        let warning = "whoever could write it may have let themselves in";
        Self { file: PrivateFile::new(state_dir.join("tokens.json"), warning) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// `denied` when others could write or read the file; what keeps it from being read or understood.
    pub fn all(&self) -> Result<Vec<Kept>> {
        let Some(text) = self.file.read()? else { return Ok(Vec::new()) };
        let mended = "move it away and make the tokens again with `perennial token create`";
        let lines: Vec<Line> = serde_json::from_str(&text).map_err(|error| {
            Error::invalid(format!("`{}` is no list of tokens: {error}", self.path().display())).hint(mended)
        })?;
        let kept = lines.into_iter().map(|line| {
            let hash = Hash::from_hex(&line.sha256);
            hash.map(|hash| Kept { name: line.name, hash, created: line.created })
        });
        kept.collect::<Option<_>>().ok_or_else(|| {
            Error::invalid(format!("`{}` has an entry without a SHA-256", self.path().display())).hint(mended)
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
        let file = fs::metadata(self.path()).ok()?;
        Some((file.modified().ok()?, file.ino(), file.len()))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Kept>) -> Result<T>) -> Result<T> {
        self.file.change(|| {
            let mut all = self.all()?;
            let changed = change(&mut all)?;
            let lines: Vec<_> = all
                .into_iter()
                .map(|kept| Line { name: kept.name, sha256: format!("{:x}", kept.hash), created: kept.created })
                .collect();
            Ok((serde_json::to_string_pretty(&lines)? + "\n", changed))
        })
    }
}
