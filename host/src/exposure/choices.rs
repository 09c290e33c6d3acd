use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use perennial_sdk::{Error, Result, ServerId};
use serde::{Deserialize, Serialize};

use super::names;

/// What people decided about the tools of saved servers, and what each server is called: it lasts, and every host of this
/// installation goes by it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Choices {
    /// Whose tools are to be shown, or not, whatever the mode.
    pub(super) servers: BTreeMap<ServerId, Choice>,
    /// What servers are called, so that a further one of the same name changes nothing for the first.
    called: BTreeMap<ServerId, Called>,
    /// Tools that were not as recorded when their server last ran.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    differing: BTreeMap<ServerId, Differing>,
}

/// What was decided about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Choice {
    /// All of its tools are shown.
    Shown,
    /// These are.
    Tools(Vec<String>),
    /// None are.
    Hidden,
}

/// Of which record they differ, and which they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Differing {
    saved_at: String,
    tools: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Called {
    name: String,
    slug: String,
}

/// Where choices are kept.
#[derive(Debug)]
pub(super) struct ChoicesFile(PathBuf);

impl Choices {
    /// What a server of this name is called; a new one, or one that has another name now, gets a slug that no other has.
    pub(super) fn slug(&mut self, id: &ServerId, name: &str) -> String {
        if let Some(called) = self.called.get(id).filter(|called| called.name == name) {
            return called.slug.clone();
        }
        let plain = names::slug(name, id.as_str());
        let taken = self.called.iter().any(|(other, called)| other != id && called.slug == plain);
        let slug = if taken { names::apart(&plain, id.as_str()) } else { plain };
        self.called.insert(id.clone(), Called { name: name.to_owned(), slug: slug.clone() });
        slug
    }

    /// The tools that differ from the record that was saved then.
    pub(super) fn differing(&self, id: &ServerId, saved_at: &str) -> &[String] {
        self.differing
            .get(id)
            .filter(|differing| differing.saved_at == saved_at)
            .map_or(&[], |differing| &differing.tools)
    }

    /// Keeps which tools differ from the record that was saved then.
    pub(super) fn differ(&mut self, id: &ServerId, saved_at: &str, tools: Vec<String>) {
        if tools.is_empty() {
            self.differing.remove(id);
        } else {
            self.differing.insert(id.clone(), Differing { saved_at: saved_at.to_owned(), tools });
        }
    }

    /// Forgets all about a server.
    pub(super) fn forget(&mut self, id: &ServerId) {
        self.servers.remove(id);
        self.called.remove(id);
        self.differing.remove(id);
    }
}

impl ChoicesFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join("exposure.json"))
    }

    /// What is there; nothing, when there is no file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self) -> Result<Choices> {
        let unreadable = |error: Error| {
            error
                .context(format!("`{}` cannot be read", self.0.display()))
                .hint("it holds which tools are shown: repair it, or move it away to begin anew")
        };
        match fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| unreadable(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Choices::default()),
            Err(error) => Err(unreadable(error.into())),
        }
    }

    /// Changes what is there, for every host of this installation at once. What cannot be read is not written over.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(super) fn change(&self, change: impl FnOnce(&mut Choices)) -> Result<Choices> {
        let failed = |error: io::Error| Error::from(error).context(format!("`{}`", self.0.display()));
        let folder = self.0.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = private().open(self.0.with_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let before = self.read()?;
        let mut choices = before.clone();
        change(&mut choices);
        if choices != before {
            let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
            serde_json::to_writer_pretty(file.as_file(), &choices)?;
            file.as_file().sync_all().map_err(failed)?;
            file.persist(&self.0).map_err(|error| failed(error.error))?;
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(choices)
    }

    /// What tells whether somebody changed it since.
    pub(super) fn mark(&self) -> Option<(std::time::SystemTime, u64)> {
        let file = fs::metadata(&self.0).ok()?;
        Some((file.modified().ok()?, file.len()))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_keeps_it() {
        let [first, second] = ["server-1", "server-2"].map(|id| id.parse::<ServerId>().unwrap());
        let mut choices = Choices::default();
        assert_eq!(choices.slug(&first, "Calc"), "calc");
        let other = choices.slug(&second, "calc");
        assert!(other.starts_with("calc-") && other != "calc", "{other}");
        assert_eq!((choices.slug(&first, "Calc"), choices.slug(&second, "calc")), ("calc".into(), other));
        assert_eq!(choices.slug(&first, "Sums"), "sums");
    }

    #[test]
    fn what_cannot_be_read_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = ChoicesFile::new(&folder.path().join("state"));
        let id: ServerId = "server-1".parse().unwrap();
        file.change(|choices| drop(choices.servers.insert(id.clone(), Choice::Hidden))).unwrap();
        assert_eq!(file.read().unwrap().servers[&id], Choice::Hidden);
        fs::write(&file.0, "{").unwrap();
        assert!(file.read().is_err() && file.change(|choices| choices.forget(&id)).is_err());
        assert_eq!(fs::read_to_string(&file.0).unwrap(), "{");
    }
}
