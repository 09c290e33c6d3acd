use std::time::Duration;

use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, Checksum, S3ConditionalPut},
};
use perennial_sdk::{Error, Result};
use reqwest::{ClientBuilder, redirect::Policy};

use crate::{
    config::{Addressing, Settings},
    credentials::{self, Origin},
    transport::Transport,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// A store that can be asked. Nothing is asked yet.
pub(crate) fn connect(settings: &Settings) -> Result<AmazonS3> {
    let client = client(settings).build()?;
    let origin = credentials::find(settings)?;
    let credentials: AwsCredentialProvider = credentials::provider(settings, &origin, &client)?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(region(settings, &origin))
        .with_virtual_hosted_style_request(settings.addressing == Addressing::Virtual)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // not every store compares the body with the hash that is signed
        .with_checksum_algorithm(Checksum::SHA256)
        // several stores have no `DeleteObjects`
        .with_disable_bulk_delete(true)
        .with_credentials(credentials)
        .with_retry(retries(settings.deadline))
        .with_allow_http(true)
        .with_http_connector(Transport::new(client, settings.timeout));
    if let Some(endpoint) = endpoint(settings) {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(builder.build()?)
}

/// What every connection of this plugin is made with.
pub(crate) fn client(settings: &Settings) -> ClientBuilder {
    // whoever came first has it: reqwest takes what the whole process uses
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT.min(settings.timeout))
        .redirect(Policy::none())
        .http1_only()
        .user_agent(concat!("perennial/", env!("CARGO_PKG_VERSION")))
        .tls_certs_merge(settings.authorities.iter().cloned());
    match settings.proxy.as_ref().map(|proxy| reqwest::Proxy::all(proxy.expose())) {
        Some(Ok(proxy)) => builder = builder.proxy(proxy),
        // `Settings` holds none that cannot be used
        Some(Err(_)) => {}
        None if settings.is_local() => builder = builder.no_proxy(),
        None => {}
    }
    builder
}

/// Repeats until the deadline, ever more slowly and never in step with others.
pub(crate) fn retries(deadline: Duration) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(3), base: 2.0 };
    RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: deadline }
}

/// object_store wants the bucket in the endpoint's host when it is to stand there.
fn endpoint(settings: &Settings) -> Option<String> {
    let mut endpoint = settings.endpoint.clone()?;
    let host = endpoint.host_str().unwrap_or_default().to_owned();
    let bucket = format!("{}.", settings.bucket);
    if settings.addressing == Addressing::Virtual && !host.starts_with(&bucket) {
        // a name of a bucket is one that a host can begin with, or the request says that it is not
        let _ = endpoint.set_host(Some(&format!("{bucket}{host}")));
    }
    Some(endpoint.as_str().trim_end_matches('/').to_owned())
}

fn region(settings: &Settings, origin: &Origin) -> String {
    let environment = || {
        let names = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().filter(|_| settings.endpoint.is_none());
        names.filter_map(|name| std::env::var(name).ok()).find(|region| !region.is_empty())
    };
    let region = settings.region.clone().or_else(environment).or_else(|| origin.region());
    region.unwrap_or_else(|| "us-east-1".into())
}

/// A proxy that can be used.
pub(crate) fn check_proxy(proxy: &str) -> Result<()> {
    reqwest::Proxy::all(proxy).map(drop).map_err(|_| {
        Error::invalid("`proxy` is no address of a proxy").hint("give it as `http://proxy.example.com:3128`")
    })
}
