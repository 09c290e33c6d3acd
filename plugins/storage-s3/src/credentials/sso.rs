use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use object_store::aws::AwsCredential;
use perennial_sdk::{Error, ErrorCode, Result, serde_json};
use reqwest::Url;
use serde::Deserialize;

use crate::Secret;

/// How long before their end credentials are renewed.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// How long the portal may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A profile that signs in by IAM Identity Center; `aws sso login` leaves the token.
#[derive(Debug, Clone)]
pub(super) struct Sso {
    profile: String,
    start_url: String,
    account: String,
    role: String,
    /// Where credentials are given for a token.
    portal: String,
}

/// What `aws sso login` leaves in its cache.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    start_url: String,
    access_token: Secret,
    expires_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    role_credentials: RoleCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Secret,
    /// Milliseconds since 1970.
    expiration: u64,
}

impl Sso {
    /// By the settings of a profile and its session.
    pub(super) fn of(profile: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let need = |key: &str| {
            let missing = || Error::invalid(format!("the profile `{profile}` has no `{key}`"));
            get(key).ok_or_else(|| missing().hint("`aws configure sso` writes what is needed"))
        };
        let region = need("sso_region")?;
        Ok(Self {
            profile: profile.into(),
            start_url: need("sso_start_url")?,
            account: need("sso_account_id")?,
            role: need("sso_role_name")?,
            portal: format!("https://portal.sso.{region}.amazonaws.com"),
        })
    }

    /// Credentials for the role, and until when they are good.
    pub(super) async fn credential(
        &self,
        cache: &Path,
        client: &reqwest::Client,
    ) -> Result<(SystemTime, AwsCredential)> {
        let token = self.token(cache)?;
        let address = format!("{}/federation/credentials", self.portal);
        let address = Url::parse_with_params(&address, [("role_name", &self.role), ("account_id", &self.account)])?;
        let request = client.get(address).header("x-amz-sso_bearer_token", token.expose()).timeout(PATIENCE);
        let portal = |message: &str| Error::unavailable(format!("{message} for the profile `{}`", self.profile));
        let answer = request.send().await.map_err(|error| {
            portal("the sign-in portal does not answer").caused_by(&error.without_url()).hint("check the network")
        })?;
        match answer.status().as_u16() {
            200 => {}
            401 => return Err(self.signed_out()),
            403 | 404 => {
                let message = format!(
                    "the profile `{}` may not act as `{}` in the account `{}`",
                    self.profile, self.role, self.account
                );
                return Err(Error::new(ErrorCode::Denied, message).hint("check the profile in `~/.aws/config`"));
            }
            status => return Err(portal(&format!("the sign-in portal answers {status}")).hint("try again in a moment")),
        }
        let body = answer.bytes().await.map_err(|error| portal("the answer breaks off").caused_by(&error))?;
        let given: Given = serde_json::from_slice(&body)
            .map_err(|_| portal("the sign-in portal answers what cannot be understood"))?;
        let RoleCredentials { access_key_id, secret_access_key, session_token, expiration } = given.role_credentials;
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(expiration);
        let credential = AwsCredential {
            key_id: access_key_id,
            secret_key: secret_access_key.expose().into(),
            token: Some(session_token.expose().into()),
        };
        Ok((end.checked_sub(EARLY).unwrap_or(end), credential))
    }

    /// The token of the cache that is for this start URL; the tools name the files differently.
    fn token(&self, cache: &Path) -> Result<Secret> {
        let files = fs::read_dir(cache).into_iter().flatten().flatten();
        let tokens = files.filter_map(|file| serde_json::from_slice::<Token>(&fs::read(file.path()).ok()?).ok());
        let same = |url: &str| url.trim_end_matches(['/', '#']) == self.start_url.trim_end_matches(['/', '#']);
        let newest = tokens.filter(|token| same(&token.start_url)).max_by_key(|token| token.expires_at);
        newest
            .filter(|token| SystemTime::from(token.expires_at) > SystemTime::now())
            .map(|token| token.access_token)
            .ok_or_else(|| self.signed_out())
    }

    fn signed_out(&self) -> Error {
        Error::new(ErrorCode::Denied, format!("the profile `{}` is not signed in, or no longer", self.profile))
            .hint(format!("run `aws sso login --profile {}`", self.profile))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use perennial_sdk::serde_json::json;

    use super::*;

    /// A portal that gives one answer; what it was asked.
    fn portal(head: &str, body: &str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        let asked = thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let mut request = [0; 4096];
            let length = client.read(&mut request).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        (address, asked)
    }

    fn sso(portal: String) -> Sso {
        let (profile, start_url) = ("work".into(), "https://team.example.com/start#/".into());
        Sso { profile, start_url, account: "1".into(), role: "r".into(), portal }
    }

    fn signed_in(until: &str) -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let token = json!({
            "startUrl": "https://team.example.com/start", "accessToken": "t0ken", "expiresAt": until, "region": "x",
        });
        fs::write(cache.path().join("0a1b.json"), token.to_string()).unwrap();
        fs::write(cache.path().join("botocore-client.json"), "{}").unwrap();
        cache
    }

    #[tokio::test]
    async fn a_token_of_the_cache_gives_credentials() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let given = json!({ "roleCredentials": {
            "accessKeyId": "A", "secretAccessKey": "S", "sessionToken": "T", "expiration": 4_000_000_000_000_u64,
        }});
        let (address, asked) = portal("200 OK", &given.to_string());
        let cache = signed_in("2099-01-01T00:00:00Z");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (until, credential) = sso(address).credential(cache.path(), &client).await.unwrap();
        assert!(until > SystemTime::now());
        assert_eq!(
            (credential.key_id, credential.secret_key, credential.token),
            ("A".into(), "S".into(), Some("T".into()))
        );
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /federation/credentials?role_name=r&account_id=1 "), "{asked}");
        assert!(asked.contains("x-amz-sso_bearer_token: t0ken"), "{asked}");
        let (address, _) = portal("401 Unauthorized", "");
        let error = sso(address).credential(cache.path(), &client).await.unwrap_err();
        assert!(error.hint.unwrap().contains("aws sso login --profile work"));
    }

    #[test]
    fn an_old_token_is_none() {
        for until in ["2020-01-01T00:00:00Z", "no date"] {
            assert!(sso(String::new()).token(signed_in(until).path()).is_err());
        }
        assert!(sso(String::new()).token(Path::new("/nonexistent")).is_err());
    }
}
