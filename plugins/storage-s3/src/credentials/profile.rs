use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};
use perennial_sdk::{Error, Result};
use tokio::sync::Mutex;

use super::{
    ini::{self, Sections},
    sso::Sso,
    variable,
};
use crate::{
    Secret,
    config::Keys,
    trace::{self, Failure},
};

/// How long keys of a file hold before it is read again: people and tools renew them there.
const FRESH: Duration = Duration::from_secs(60);

/// A profile of the files in `~/.aws`.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    name: String,
    region: Option<String>,
    source: Source,
    folder: PathBuf,
}

/// What a profile says of its credentials.
#[derive(Debug, Clone)]
enum Source {
    Keys(Keys),
    Sso(Sso),
    /// A way that we do not go.
    Other(&'static str),
    None,
}

/// Credentials of a profile, read again before they are old.
#[derive(Debug)]
pub(super) struct ProfileProvider {
    profile: Profile,
    client: reqwest::Client,
    current: Mutex<Option<(SystemTime, Arc<AwsCredential>)>>,
}

impl Profile {
    /// Reads a profile from the files that the environment names, or those in `~/.aws`.
    ///
    /// # Errors
    /// `not_found` when no file has it; a file that cannot be read.
    pub(super) fn read(name: &str) -> Result<Self> {
        let folder = env::home_dir().unwrap_or_default().join(".aws");
        let file = |name: &str, usual: &str| variable(name).map_or_else(|| folder.join(usual), PathBuf::from);
        let credentials = sections(&file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
        let config = sections(&file("AWS_CONFIG_FILE", "config"))?;
        Self::of(name, &folder, &credentials, &config)
    }

    fn of(name: &str, folder: &Path, credentials: &Sections, config: &Sections) -> Result<Self> {
        let in_config = config.get(&format!("profile {name}")).or_else(|| config.get(name));
        let in_credentials = credentials.get(name);
        if in_config.is_none() && in_credentials.is_none() {
            let error = Error::not_found(format!("there is no profile `{name}` in `{}`", folder.display()));
            return Err(error.hint("`aws configure list-profiles` shows what there is"));
        }
        let get = |key: &str| in_credentials.and_then(|s| s.get(key)).or_else(|| in_config.and_then(|s| s.get(key)));
        let secret = |key: &str| get(key).cloned().map(Secret::from);
        let source = if let (Some(id), Some(keys)) = (secret("aws_access_key_id"), secret("aws_secret_access_key")) {
            Source::Keys(Keys { id, secret: keys, token: secret("aws_session_token") })
        } else if get("sso_session").is_some() || get("sso_start_url").is_some() {
            let session = get("sso_session").and_then(|session| config.get(&format!("sso-session {session}")));
            Source::Sso(Sso::of(name, |key| get(key).or_else(|| session?.get(key)).cloned())?)
        } else if get("role_arn").is_some() {
            Source::Other("role_arn")
        } else if get("credential_process").is_some() {
            Source::Other("credential_process")
        } else {
            Source::None
        };
        Ok(Self { name: name.into(), region: get("region").cloned(), source, folder: folder.into() })
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    pub(super) fn has_credentials(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// The credentials, and until when they are good.
    async fn credential(&self, client: &reqwest::Client) -> Result<(SystemTime, AwsCredential)> {
        match &self.source {
            Source::Keys(keys) => Ok((SystemTime::now() + FRESH, super::credential(keys))),
            Source::Sso(sso) => sso.credential(&self.folder.join("sso/cache"), client).await,
            Source::Other(key) => {
                let name = &self.name;
                let error = Error::unsupported(format!("the profile `{name}` gets its credentials by `{key}`"));
                Err(error.hint(format!(
                    "`aws configure export-credentials --profile {name} --format env` prints them for the environment"
                )))
            }
            Source::None => {
                let error = Error::invalid(format!("the profile `{}` has no credentials", self.name));
                Err(error.hint("`aws configure` or `aws sso login` provides some"))
            }
        }
    }
}

impl ProfileProvider {
    pub(super) fn new(profile: Profile, client: reqwest::Client) -> Self {
        Self { profile, client, current: Mutex::default() }
    }

    async fn renewed(&self) -> Result<(SystemTime, AwsCredential)> {
        let profile = match self.profile.source {
            Source::Keys(_) => Profile::read(&self.profile.name)?,
            _ => self.profile.clone(),
        };
        profile.credential(&self.client).await
    }
}

#[async_trait]
impl CredentialProvider for ProfileProvider {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut current = self.current.lock().await;
        if let Some((_, credential)) = current.as_ref().filter(|(until, _)| SystemTime::now() < *until) {
            return Ok(credential.clone());
        }
        let (until, credential) = self.renewed().await.map_err(|error| {
            let message = error.to_string();
            trace::note(Failure::Credentials(error));
            object_store::Error::Generic { store: "S3", source: message.into() }
        })?;
        let credential = Arc::new(credential);
        *current = Some((until, credential.clone()));
        Ok(credential)
    }
}

fn sections(file: &Path) -> Result<Sections> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(ini::parse(&text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Sections::new())
        }
        Err(error) => Err(Error::from(error).context(format!("cannot read `{}`", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> Result<Profile> {
        let credentials = ini::parse("[default]\naws_access_key_id=A\naws_secret_access_key=S\n[old]\n");
        let config = ini::parse(
            "[default]\nregion = eu-west-1\n[profile role]\nrole_arn = x\n[profile other]\ncredential_process = x\n\
             [profile sso]\nsso_session = team\nsso_account_id = 1\nsso_role_name = r\n\
             [sso-session team]\nsso_start_url = https://team.example.com/start\nsso_region = eu-west-1\n",
        );
        Profile::of(name, Path::new("/home/me/.aws"), &credentials, &config)
    }

    #[test]
    fn a_profile_is_of_both_files() {
        let found = profile("default").unwrap();
        assert!(matches!(&found.source, Source::Keys(keys) if keys.id.expose() == "A"));
        assert_eq!(found.region(), Some("eu-west-1"));
        assert!(!profile("old").unwrap().has_credentials());
        assert!(matches!(profile("sso").unwrap().source, Source::Sso(_)));
        assert!(matches!(profile("role").unwrap().source, Source::Other("role_arn")));
        assert!(matches!(profile("other").unwrap().source, Source::Other("credential_process")));
        assert!(profile("nobody").unwrap_err().message.contains("`nobody`"));
    }
}
