//! Who saves: this installation, on this machine, for this account.

use std::{fs, io::Write, path::PathBuf, sync::OnceLock};

use perennial_sdk::{ClientIdentity, HostIdentity, SavedBy};

use crate::tokens::TokenName;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The program, by what it says of itself.
    pub program: Option<ClientIdentity>,
    /// The token that it brought over HTTP.
    pub token: Option<TokenName>,
}

/// What this host says of itself in the versions that it saves.
pub struct Identity {
    folder: PathBuf,
    host: OnceLock<HostIdentity>,
}

/// The file in the state folder that keeps the installation's id.
const FILE: &str = "installation";

/// No name of a machine or an account is longer.
const LONGEST: usize = 64;

impl Client {
    /// A program on this machine, under the host's own account.
    pub fn local(program: ClientIdentity) -> Self {
        Self { program: Some(program), token: None }
    }

    /// Whether a running server that was made with the token `owner` is this client's business: tokens see their own and
    /// nobody's, and whoever needs no token sees all.
    pub fn sees(&self, owner: Option<&TokenName>) -> bool {
        self.token.is_none() || owner.is_none() || owner == self.token.as_ref()
    }
}

impl Identity {
    /// The identity whose id is kept in the folder `state`; nothing is read or written yet.
    pub fn new(state: PathBuf) -> Self {
        Self { folder: state, host: OnceLock::new() }
    }

    /// What is written into a version that `client` asked for. The first call may write a file. Whoever brings a token
    /// stands there by its name, in the place of the account that the host runs under.
    pub fn sign(&self, client: &Client) -> SavedBy {
        let mut host = self.host.get_or_init(|| self.find()).clone();
        if let Some(token) = &client.token {
            host.user = Some(token.to_string());
        }
        SavedBy { host, client: client.program.clone() }
    }

    fn find(&self) -> HostIdentity {
        let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(std::env::var_os);
        HostIdentity {
            id: self.id(),
            name: shown(rustix::system::uname().nodename().to_string_lossy().as_ref()),
            user: user.and_then(|user| shown(&user.to_string_lossy())),
        }
    }

    /// The id in the file; a new one, which is kept if it can be, when there is none.
    fn id(&self) -> String {
        if let Some(id) = self.kept() {
            return id;
        }
        let id = uuid::Uuid::new_v4().simple().to_string();
        match self.keep(&id) {
            Ok(()) => id,
            // another host of this installation was quicker, or the folder cannot be written
            Err(error) => self.kept().unwrap_or_else(|| {
                tracing::debug!(%error, "the installation's id was not kept");
                id
            }),
        }
    }

    fn kept(&self) -> Option<String> {
        let id = fs::read_to_string(self.folder.join(FILE)).ok()?.trim().to_owned();
        let fits = (8..=LONGEST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then_some(id)
    }

    fn keep(&self, id: &str) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        writeln!(file, "{id}")?;
        file.persist_noclobber(self.folder.join(FILE))?;
        Ok(())
    }
}

fn shown(name: &str) -> Option<String> {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installation_keeps_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = Identity::new(state.clone()).sign(&Client::default());
        let again = Identity::new(state.clone()).sign(&Client::local(ClientIdentity::new("chat", "1")));
        assert_eq!(first.host, again.host);
        assert_eq!(again.client.unwrap().name, "chat");
        fs::write(state.join(FILE), "../../etc\n").unwrap();
        assert_ne!(Identity::new(state).sign(&Client::default()).host.id, "../../etc");
    }

    #[test]
    fn without_a_folder_there_is_an_id_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(Identity::new(folder.path().join("file")).sign(&Client::default()).host.id.len(), 32);
    }

    #[test]
    fn whoever_brings_a_token_is_named_by_it_and_sees_no_other_tokens_servers() {
        let folder = tempfile::tempdir().unwrap();
        let (ada, bob) = ("ada".parse::<TokenName>().unwrap(), "bob".parse::<TokenName>().unwrap());
        let caller = Client { program: None, token: Some(ada.clone()) };
        let identity = Identity::new(folder.path().join("state"));
        assert_eq!(identity.sign(&caller).host.user.as_deref(), Some("ada"));
        assert_eq!(identity.sign(&caller).host.id, identity.sign(&Client::default()).host.id);
        assert!(caller.sees(Some(&ada)) && caller.sees(None) && !caller.sees(Some(&bob)));
        assert!(Client::default().sees(Some(&bob)));
    }
}
