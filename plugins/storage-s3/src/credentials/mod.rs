//! Where the credentials come from: the configuration, the environment, a profile of `~/.aws`, a web identity, the
//! container, or the machine's own role; the first of them that there is.

mod ini;
mod profile;
mod sso;

use std::{env, sync::Arc, time::Duration};

use async_trait::async_trait;
use object_store::{
    CredentialProvider, RetryConfig, StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider},
};
use perennial_sdk::{Error, ErrorCode, Result};

use self::profile::{Profile, ProfileProvider};
use crate::{
    Secret,
    config::{Keys, Settings},
    connect,
    trace::{self, Failure},
    transport::Transport,
};

/// How long the machine's own role is asked for: where there is none, nobody answers.
const ROLE: Duration = Duration::from_secs(2);

/// Which credentials there are.
#[derive(Debug)]
pub(crate) enum Origin {
    Keys(Keys),
    Profile(Box<Profile>),
    WebIdentity,
    Container,
    /// Or nothing at all, which only asking tells.
    Instance,
}

impl Origin {
    /// The region that goes with them.
    pub(crate) fn region(&self) -> Option<String> {
        match self {
            Self::Profile(profile) => profile.region().map(str::to_owned),
            _ => None,
        }
    }
}

/// Looks for credentials; nothing is asked of anybody.
///
/// # Errors
/// A profile that does not exist or cannot be used.
pub(crate) fn find(settings: &Settings) -> Result<Origin> {
    if let Some(keys) = &settings.keys {
        return Ok(Origin::Keys(keys.clone()));
    }
    if let Some(name) = &settings.profile {
        return Ok(Origin::Profile(Profile::read(name)?.into()));
    }
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let token = variable("AWS_SESSION_TOKEN").map(Secret::from);
        return Ok(Origin::Keys(Keys { id: id.into(), secret: secret.into(), token }));
    }
    if let Some(name) = variable("AWS_PROFILE") {
        return Ok(Origin::Profile(Profile::read(&name)?.into()));
    }
    if variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() && variable("AWS_ROLE_ARN").is_some() {
        return Ok(Origin::WebIdentity);
    }
    match Profile::read("default") {
        Ok(profile) if profile.has_credentials() => return Ok(Origin::Profile(profile.into())),
        Err(error) if error.code != ErrorCode::NotFound => return Err(error),
        _ => {}
    }
    let container = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    if container.into_iter().any(|name| variable(name).is_some()) {
        return Ok(Origin::Container);
    }
    Ok(Origin::Instance)
}

/// What gives the credentials of `origin`, and renews those that expire.
pub(crate) fn provider(
    settings: &Settings,
    origin: &Origin,
    client: &reqwest::Client,
) -> Result<AwsCredentialProvider> {
    let inner: AwsCredentialProvider = match origin {
        Origin::Keys(keys) => Arc::new(StaticCredentialProvider::new(credential(keys))),
        Origin::Profile(profile) => Arc::new(ProfileProvider::new(Profile::clone(profile), client.clone())),
        Origin::WebIdentity => role(
            Transport::new(client.clone(), settings.timeout),
            connect::retries(settings.deadline / 2),
            &[
                (AmazonS3ConfigKey::WebIdentityTokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"),
                (AmazonS3ConfigKey::RoleArn, "AWS_ROLE_ARN"),
                (AmazonS3ConfigKey::RoleSessionName, "AWS_ROLE_SESSION_NAME"),
                (AmazonS3ConfigKey::Region, "AWS_REGION"),
                (AmazonS3ConfigKey::StsEndpoint, "AWS_ENDPOINT_URL_STS"),
            ],
        )?,
        Origin::Container => role(
            beside()?,
            connect::retries(settings.deadline / 2),
            &[
                (AmazonS3ConfigKey::ContainerCredentialsRelativeUri, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
                (AmazonS3ConfigKey::ContainerCredentialsFullUri, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                (AmazonS3ConfigKey::ContainerAuthorizationTokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            ],
        )?,
        Origin::Instance => role(
            beside()?,
            RetryConfig { max_retries: 1, retry_timeout: ROLE, ..RetryConfig::default() },
            &[(AmazonS3ConfigKey::MetadataEndpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT")],
        )?,
    };
    Ok(Arc::new(Told { inner, store: settings.named(), none: matches!(origin, Origin::Instance) }))
}

/// What object_store makes of these variables.
fn role(
    transport: Transport,
    retries: RetryConfig,
    variables: &[(AmazonS3ConfigKey, &str)],
) -> Result<AwsCredentialProvider> {
    let builder = AmazonS3Builder::new().with_bucket_name("none").with_http_connector(transport).with_retry(retries);
    let set = variables.iter().filter_map(|(key, name)| Some((*key, variable(name)?)));
    let builder = set.fold(builder, |builder, (key, value)| builder.with_config(key, value));
    Ok(builder.build()?.credentials().clone())
}

/// For what is on this machine or beside it: no proxy stands between.
fn beside() -> Result<Transport> {
    let client = reqwest::Client::builder().no_proxy().connect_timeout(ROLE / 2).build()?;
    Ok(Transport::new(client, ROLE))
}

/// Tells people why there are no credentials.
#[derive(Debug)]
struct Told {
    inner: AwsCredentialProvider,
    store: String,
    none: bool,
}

#[async_trait]
impl CredentialProvider for Told {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let (found, failure) = trace::follow(self.inner.get_credential()).await;
        found.inspect_err(|error| {
            let told = match failure {
                Some(Failure::Credentials(told)) => told,
                _ if self.none => Error::new(ErrorCode::Denied, format!("there are no credentials for {}", self.store))
                    .hint(
                        "set `access_key_id` and `secret_access_key`, or `profile`, in the `config` of `[plugins.s3]`; \
                         docs/s3.md says where else they can come from",
                    ),
                _ => Error {
                    source: vec![error.to_string()],
                    ..Error::unavailable(format!("the credentials for {} cannot be had", self.store))
                        .hint("docs/s3.md says where they can come from")
                },
            };
            trace::note(Failure::Credentials(told));
        })
    }
}

fn credential(keys: &Keys) -> AwsCredential {
    AwsCredential {
        key_id: keys.id.expose().into(),
        secret_key: keys.secret.expose().into(),
        token: keys.token.as_ref().map(|token| token.expose().into()),
    }
}

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
