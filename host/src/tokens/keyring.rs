use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use perennial_sdk::Result;

use super::{Hash, Kept, TokenFile, TokenName};

/// All the tokens that count: the configuration's, and the file's as it is now.
#[derive(Debug)]
pub struct Keyring {
    configured: Vec<(TokenName, Hash)>,
    file: TokenFile,
    read: Mutex<Read>,
}

#[derive(Debug)]
struct Read {
    mark: Option<(SystemTime, u64, u64)>,
    kept: Vec<Kept>,
}

impl Keyring {
    /// Reads the file. A name that both have is the configuration's.
    ///
    /// # Errors
    /// As [`TokenFile::all`].
    pub fn open(configured: &BTreeMap<TokenName, String>, file: TokenFile) -> Result<Self> {
        let hashed = |(name, token): (&TokenName, &String)| (name.clone(), Hash::of(token.as_bytes()));
        let configured = configured.iter().map(hashed).collect();
        let read = Mutex::new(Read { mark: file.mark(), kept: file.all()? });
        Ok(Self { configured, file, read })
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty() && self.read.lock().unwrap_or_else(PoisonError::into_inner).kept.is_empty()
    }

    /// Whose token this is. Every one is compared, so that the time it takes tells nothing.
    pub fn holder(&self, token: &[u8]) -> Option<TokenName> {
        let hash = Hash::of(token);
        let mut holder = None;
        self.each(|name, kept| {
            if kept.matches(&hash) && holder.is_none() {
                holder = Some(name.clone());
            }
        });
        holder
    }

    /// Whether there still is a token of this name.
    pub fn knows(&self, name: &TokenName) -> bool {
        let mut known = false;
        self.each(|one, _| known |= one == name);
        known
    }

    fn each(&self, mut look: impl FnMut(&TokenName, &Hash)) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.file.mark();
        if mark != read.mark {
            // a file that cannot be read lets nobody in
            let kept = self.file.all().unwrap_or_else(|error| {
                tracing::error!(%error, "the tokens of `perennial token create` count no more");
                Vec::new()
            });
            *read = Read { mark, kept };
        }
        self.configured.iter().for_each(|(name, hash)| look(name, hash));
        let own = |kept: &&Kept| !self.configured.iter().any(|(name, _)| *name == kept.name);
        read.kept.iter().filter(own).for_each(|kept| look(&kept.name, &kept.hash));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_is_made_and_revoked_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(&folder.path().join("state"));
        let (ada, bob) = ("ada".parse::<TokenName>().unwrap(), "bob".parse::<TokenName>().unwrap());
        let configured = BTreeMap::from([(bob.clone(), "a-token-of-the-operator".to_owned())]);
        let keyring = Keyring::open(&configured, file.clone()).unwrap();
        assert_eq!(keyring.holder(b"a-token-of-the-operator"), Some(bob.clone()));
        let token = file.create(&ada).unwrap();
        assert_eq!(keyring.holder(token.as_bytes()), Some(ada.clone()));
        assert_eq!(keyring.holder(&token.as_bytes()[1..]), None);
        assert!(!fs::read_to_string(file.path()).unwrap().contains(&token));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(file.create(&ada).is_err());
        // the configuration's goes before one of the same name
        let other = file.create(&bob).unwrap();
        assert_eq!(keyring.holder(other.as_bytes()), None);
        assert!(file.revoke(&ada).unwrap() && !file.revoke(&ada).unwrap());
        assert_eq!((keyring.holder(token.as_bytes()), keyring.knows(&ada)), (None, false));
    }

    #[test]
    fn a_file_that_others_could_write_lets_nobody_in_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(folder.path());
        let token = file.create(&"ada".parse().unwrap()).unwrap();
        let keyring = Keyring::open(&BTreeMap::new(), file.clone()).unwrap();
        assert!(keyring.holder(token.as_bytes()).is_some());
        fs::write(file.path(), "[{]").unwrap();
        assert!(keyring.holder(token.as_bytes()).is_none());
        assert!(file.create(&"bob".parse().unwrap()).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "[{]");
        fs::write(file.path(), "[]").unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o620)).unwrap();
        assert!(file.all().is_err());
    }
}
