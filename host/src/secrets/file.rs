use std::path::Path;

use perennial_sdk::{Error, Result};
use serde_json::{Map, Value};

use super::{Secret, Values};
use crate::private_file::PrivateFile;

/// The secrets of this machine's account: a file that nobody else can read, a JSON object from name to value.
#[derive(Debug, Clone)]
pub struct Secrets {
    file: PrivateFile,
}

impl Secrets {
    /// Those in the data folder, or the folder's that they will be in. Nothing is read yet.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self { file: PrivateFile::new(data_dir.join("secrets.json"), "whoever could read it may have") }
    }

    /// Where they are.
    pub fn file(&self) -> &Path {
        self.file.path()
    }

    /// All of them.
    ///
    /// # Errors
    /// `denied` when others could read the file; what keeps it from being read or understood.
    pub fn all(&self) -> Result<Values> {
        let Some(text) = self.file.read()? else { return Ok(Values::new()) };
        let mended = "correct it by hand, or move it away and set the secrets again with `perennial secret set`";
        // what serde says of a mistake may repeat a part of the file
        let all: Map<String, Value> = serde_json::from_str(&text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::invalid(format!("`{}` is no JSON object at {place}", self.file().display())).hint(mended)
        })?;
        all.into_iter()
            .map(|(name, value)| match value {
                Value::String(value) if crate::bounds::is_variable(&name) => Ok((name, Secret(value))),
                _ => {
                    Err(Error::invalid(format!("`{}` has an entry that is no name with a text", self.file().display()))
                        .hint(mended))
                }
            })
            .collect()
    }

    /// Keeps a value under a name; whether there was another.
    ///
    /// # Errors
    /// As [`Secrets::all`], and what keeps the file from being written; it is then as it was.
    pub fn set(&self, name: &str, value: Secret) -> Result<bool> {
        if !crate::bounds::is_variable(name) {
            return Err(Error::invalid("that is no name of a variable")
                .hint("a name has letters, digits and `_`, and does not begin with a digit: `API_TOKEN`"));
        }
        self.change(|all| all.insert(name.to_owned(), value).is_some())
    }

    /// Forgets a value; whether there was one.
    ///
    /// # Errors
    /// As [`Secrets::set`].
    pub fn remove(&self, name: &str) -> Result<bool> {
        self.change(|all| all.remove(name).is_some())
    }

    /// The values of these names: from the file, or else from this process' own environment.
    ///
    /// # Errors
    /// `unavailable` for names that have none, with the command that sets one; those of [`Secrets::all`].
    pub fn values(&self, names: &[String]) -> Result<Values> {
        if names.is_empty() {
            return Ok(Values::new());
        }
        let mut all = self.all()?;
        let mut values = Values::new();
        for name in names {
            let value = all.remove(name);
            let value = value.or_else(|| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret));
            match value {
                Some(value) => drop(values.insert(name.clone(), value)),
                None => return Err(missing(name)),
            }
        }
        Ok(values)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Values) -> T) -> Result<T> {
        self.file.change(|| {
            let mut all = self.all()?;
            let changed = change(&mut all);
            let all: Map<String, Value> =
                all.into_iter().map(|(name, Secret(value))| (name, Value::String(value))).collect();
            Ok((serde_json::to_string_pretty(&all)? + "\n", changed))
        })
    }
}

fn missing(name: &str) -> Error {
    let mut error = Error::unavailable(format!("`{name}` has no value on this machine"));
    error.retryable = false;
    error.hint(format!(
        "the operator sets it with `perennial secret set {name}`, or starts the host with a variable of that name"
    ))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use perennial_sdk::ErrorCode;

    use super::*;

    fn secrets() -> (tempfile::TempDir, Secrets) {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::in_folder(&folder.path().join("data"));
        (folder, secrets)
    }

    #[test]
    fn what_is_set_is_there_for_its_owner_alone() {
        let (_folder, secrets) = secrets();
        assert!(secrets.all().unwrap().is_empty());
        assert!(!secrets.set("TOKEN", Secret::new("s3cret\n").unwrap()).unwrap());
        assert!(secrets.set("TOKEN", Secret::new("other\r\n").unwrap()).unwrap());
        secrets.set("PEM", Secret::new("-----\nabc\n-----\n").unwrap()).unwrap();
        assert_eq!(secrets.file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let values = secrets.values(&["TOKEN".into(), "PEM".into()]).unwrap();
        assert_eq!((values["TOKEN"].expose(), values["PEM"].expose()), ("other", "-----\nabc\n-----"));
        assert!(!format!("{values:?}").contains("other"));
        assert!(secrets.remove("TOKEN").unwrap() && !secrets.remove("TOKEN").unwrap());
        let error = secrets.values(&["TOKEN".into()]).unwrap_err();
        assert!(error.hint.unwrap().contains("perennial secret set TOKEN"));
    }

    #[test]
    fn a_file_that_others_can_read_is_no_secret() {
        let (_folder, secrets) = secrets();
        secrets.set("TOKEN", Secret::new("s3cret").unwrap()).unwrap();
        fs::set_permissions(secrets.file(), fs::Permissions::from_mode(0o640)).unwrap();
        for error in [secrets.all().unwrap_err(), secrets.set("A", Secret::new("b").unwrap()).unwrap_err()] {
            assert_eq!(error.code, ErrorCode::Denied);
            assert!(error.hint.unwrap().contains("chmod 600"));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_written_over() {
        let (_folder, secrets) = secrets();
        secrets.set("TOKEN", Secret::new("s3cret").unwrap()).unwrap();
        for broken in ["{\"TOKEN\": \"s3cret", "{\"TOKEN\": [\"s3cret\"]}", "[]"] {
            fs::write(secrets.file(), broken).unwrap();
            let error = secrets.set("A", Secret::new("b").unwrap()).unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
            assert_eq!(fs::read_to_string(secrets.file()).unwrap(), broken);
        }
    }

    #[test]
    fn many_set_at_once_are_all_kept() {
        let (_folder, secrets) = secrets();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let secrets = &secrets;
                scope.spawn(move || secrets.set(&format!("S{number}"), Secret::new("value").unwrap()).unwrap());
            }
        });
        assert_eq!(secrets.all().unwrap().len(), 8);
    }

    #[test]
    fn values_that_no_variable_can_hold() {
        for bad in ["", "\n", "a\0b", &"x".repeat(Secret::LONGEST + 1)] {
            assert!(Secret::new(bad).is_err());
        }
    }
}
