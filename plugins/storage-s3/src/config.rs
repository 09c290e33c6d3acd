use std::{fs, path::PathBuf, time::Duration};

use perennial_sdk::{Error, Result, serde_json::json};
use reqwest::{Certificate, Url};
use serde::Deserialize;

use crate::{Secret, connect};

/// How long one attempt of a request may take to be answered, by default.
const ATTEMPT_S: f64 = 10.0;

/// How long an operation may take with all its repetitions, by default: callers give up on silence after a minute.
const DEADLINE_S: f64 = 20.0;

/// The plugin's part of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The bucket. It must exist; without it nothing else may be given, and the storage cannot be used.
    pub bucket: Option<String>,
    /// What every key begins with, such as `team/servers`; several libraries can share a bucket this way.
    pub prefix: String,
    /// `https://…`, for every store that is not Amazon's.
    pub endpoint: Option<String>,
    /// The region of the bucket; from the environment or the profile when it is not given, and `us-east-1` otherwise.
    pub region: Option<String>,
    /// Whether the bucket stands in the path or in the name of the host.
    pub addressing: Option<Addressing>,
    /// With `secret_access_key`, instead of what the environment, a profile or a role gives.
    pub access_key_id: Option<Secret>,
    /// See `access_key_id`.
    pub secret_access_key: Option<Secret>,
    /// For keys that expire.
    pub session_token: Option<Secret>,
    /// A profile of `~/.aws`, instead of what the environment or a role gives.
    pub profile: Option<String>,
    /// Certificates in PEM form that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy that the store is reached through, instead of the environment's.
    pub proxy: Option<Secret>,
    /// Seconds that one attempt may take to be answered; large bodies get more.
    pub timeout_s: Option<f64>,
    /// Seconds that an operation may take with all its repetitions; large bodies get more.
    pub deadline_s: Option<f64>,
    /// Lets an endpoint be `http://…` that is not on this machine. Anybody on the way can read what is saved.
    pub allow_http: bool,
    /// Whether the store's conditional writes are relied upon.
    pub conditional_writes: ConditionalWrites,
}

/// Where a request names the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addressing {
    /// `https://host/bucket/key`; the default with an `endpoint`.
    Path,
    /// `https://bucket.host/key`; the default without.
    Virtual,
}

/// Whether several hosts can write at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ConditionalWrites {
    /// They can: the store is tried out before the first write, and refused when it cannot.
    #[default]
    #[serde(rename = "required")]
    Required,
    /// Only one host ever writes, which nobody checks.
    #[serde(rename = "unsafe-single-writer")]
    UnsafeSingleWriter,
}

/// A [`Config`] that makes sense.
#[derive(Debug)]
pub struct Settings {
    pub(crate) bucket: String,
    /// Empty, or ending in `/`.
    pub(crate) prefix: String,
    /// As it was given.
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: Option<String>,
    pub(crate) addressing: Addressing,
    pub(crate) keys: Option<Keys>,
    pub(crate) profile: Option<String>,
    pub(crate) authorities: Vec<Certificate>,
    pub(crate) proxy: Option<Secret>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Duration,
    pub(crate) conditional_writes: ConditionalWrites,
}

/// Credentials as they are given in the configuration or a profile.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) id: Secret,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
}

impl Config {
    /// What the configuration means; none when there is none.
    ///
    /// # Errors
    /// `invalid`, with the key in `data.path`.
    pub fn settings(self) -> Result<Option<Settings>> {
        let Some(bucket) = self.bucket.clone() else {
            return if self.is_empty() { Ok(None) } else { Err(Error::invalid("missing field `bucket`")) };
        };
        if bucket.is_empty() || !bucket.bytes().all(in_name) {
            return Err(at(
                "bucket",
                Error::invalid(format!("`{}` is no name of a bucket", bucket.escape_debug()))
                    .hint("give the name alone, such as `team-servers`; the address of the store goes into `endpoint`"),
            ));
        }
        let endpoint = self.endpoint()?;
        let default = if endpoint.is_some() { Addressing::Path } else { Addressing::Virtual };
        let keys = self.keys()?;
        if keys.is_some() && self.profile.is_some() {
            let error = Error::invalid("both keys and a `profile` are given");
            return Err(at("profile", error.hint("credentials come from one of them: leave the other out")));
        }
        if let Some(proxy) = &self.proxy {
            connect::check_proxy(proxy.expose()).map_err(|error| at("proxy", error))?;
        }
        Ok(Some(Settings {
            bucket,
            prefix: self.prefix()?,
            endpoint,
            addressing: self.addressing.unwrap_or(default),
            keys,
            authorities: self.authorities()?,
            timeout: seconds("timeout_s", self.timeout_s.unwrap_or(ATTEMPT_S))?,
            deadline: seconds("deadline_s", self.deadline_s.unwrap_or(DEADLINE_S))?,
            region: self.region,
            profile: self.profile,
            proxy: self.proxy,
            conditional_writes: self.conditional_writes,
        }))
    }

    fn is_empty(&self) -> bool {
        let Self { bucket, prefix, endpoint, region, addressing, access_key_id, secret_access_key, .. } = self;
        let Self { session_token, profile, ca_file, proxy, timeout_s, deadline_s, allow_http, .. } = self;
        let texts = [bucket, endpoint, region, profile].into_iter().all(Option::is_none) && prefix.is_empty();
        let secrets = [access_key_id, secret_access_key, session_token, proxy].into_iter().all(Option::is_none);
        let others = addressing.is_none() && ca_file.is_none() && timeout_s.is_none() && deadline_s.is_none();
        texts && secrets && others && !allow_http && self.conditional_writes == ConditionalWrites::Required
    }

    fn prefix(&self) -> Result<String> {
        let prefix = self.prefix.trim_matches('/');
        let fits = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(in_name);
        match prefix {
            "" => Ok(String::new()),
            prefix if prefix.split('/').all(fits) => Ok(format!("{prefix}/")),
            prefix => Err(at(
                "prefix",
                Error::invalid(format!("`{}` cannot be a prefix", prefix.escape_debug()))
                    .hint("it consists of letters, digits, `-`, `_`, `.` and `/`"),
            )),
        }
    }

    fn endpoint(&self) -> Result<Option<Url>> {
        let Some(text) = &self.endpoint else { return Ok(None) };
        let wrong = |message: &str, hint: &str| Err(at("endpoint", Error::invalid(message).hint(hint)));
        let Ok(url) = Url::parse(text) else {
            return wrong("`endpoint` is no URL", "give it as `https://storage.example.com`");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("`endpoint` holds credentials", "they go into `access_key_id` and `secret_access_key`");
        }
        if !matches!(url.scheme(), "https" | "http") || !url.has_host() || url.query().is_some() {
            return wrong("`endpoint` is no address of a store", "give it as `https://storage.example.com`");
        }
        if url.scheme() == "http" && !self.allow_http && !is_loopback(&url) {
            return wrong(
                "`endpoint` is not encrypted",
                "use `https://…`, or set `allow_http = true` where nobody can listen on the way",
            );
        }
        Ok(Some(url))
    }

    fn keys(&self) -> Result<Option<Keys>> {
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => {
                Ok(Some(Keys { id: id.clone(), secret: secret.clone(), token: self.session_token.clone() }))
            }
            (Some(_), None) => Err(at("access_key_id", Error::invalid("there is no `secret_access_key` beside it"))),
            (None, Some(_)) => Err(at("secret_access_key", Error::invalid("there is no `access_key_id` beside it"))),
            (None, None) if self.session_token.is_some() => {
                Err(at("session_token", Error::invalid("there is no `access_key_id` beside it")))
            }
            (None, None) => Ok(None),
        }
    }

    fn authorities(&self) -> Result<Vec<Certificate>> {
        let Some(file) = &self.ca_file else { return Ok(Vec::new()) };
        if !file.is_absolute() {
            let error = Error::invalid(format!("`{}` is no absolute path", file.display()));
            return Err(at("ca_file", error));
        }
        let wrong = |error: Error| at("ca_file", error.context(format!("cannot use `{}`", file.display())));
        let text = fs::read(file).map_err(|error| wrong(error.into()))?;
        match Certificate::from_pem_bundle(&text) {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err(wrong(Error::invalid("it holds no certificate in PEM form"))),
        }
    }
}

impl Settings {
    /// Where the objects are, for people.
    pub fn location(&self) -> String {
        let Self { bucket, prefix, .. } = self;
        let bucket = format!("s3://{bucket}/{prefix}");
        match &self.endpoint {
            Some(endpoint) => format!("{} at {}", bucket.trim_end_matches('/'), address(endpoint)),
            None => bucket.trim_end_matches('/').to_owned(),
        }
    }

    /// The store in a sentence: ``the bucket `b` at `https://…` ``.
    pub(crate) fn named(&self) -> String {
        let Self { bucket, .. } = self;
        match &self.endpoint {
            Some(endpoint) => format!("the bucket `{bucket}` at `{}`", address(endpoint)),
            None => format!("the bucket `{bucket}` at Amazon S3"),
        }
    }

    /// Whether the store runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.endpoint.as_ref().is_some_and(is_loopback)
    }
}

fn address(endpoint: &Url) -> &str {
    endpoint.as_str().trim_end_matches('/')
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn seconds(key: &str, seconds: f64) -> Result<Duration> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds <= 600.0 => Ok(duration),
        _ => Err(at(key, Error::invalid(format!("{seconds} is no number of seconds between 0 and 600")))),
    }
}

fn at(key: &str, error: Error) -> Error {
    Error { data: json!({ "path": [key] }), ..error }
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use perennial_sdk::serde_json::{self, Value};

    use super::*;

    fn settings(config: Value) -> Result<Option<Settings>> {
        serde_json::from_value::<Config>(config).unwrap().settings()
    }

    #[test]
    fn nothing_is_shown_that_is_secret() {
        let config = json!({
            "bucket": "b", "access_key_id": "AKIA-1", "secret_access_key": "s3cret", "session_token": "t0ken",
            "proxy": "http://me:pass@proxy"
        });
        let config: Config = serde_json::from_value(config).unwrap();
        let mut shown = format!("{config:?}");
        let settings = config.settings().unwrap().unwrap();
        shown += &format!("{settings:?} {} {}", settings.location(), settings.named());
        for secret in ["AKIA-1", "s3cret", "t0ken", "pass"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn the_location_is_one_for_people() {
        let of = |config: Value| settings(config).unwrap().unwrap().location();
        assert_eq!(of(json!({ "bucket": "b" })), "s3://b");
        assert_eq!(of(json!({ "bucket": "b", "prefix": "/team/x/" })), "s3://b/team/x");
        let local = json!({ "bucket": "b", "prefix": "p", "endpoint": "http://127.0.0.1:9000" });
        assert_eq!(of(local), "s3://b/p at http://127.0.0.1:9000");
    }

    #[test]
    fn mistakes_are_named_at_their_key() {
        let cases = [
            (json!({ "bucket": "s3://b" }), "bucket"),
            (json!({ "bucket": "b", "prefix": "a//b" }), "prefix"),
            (json!({ "bucket": "b", "prefix": "../b" }), "prefix"),
            (json!({ "bucket": "b", "endpoint": "storage.example.com" }), "endpoint"),
            (json!({ "bucket": "b", "endpoint": "http://storage.example.com" }), "endpoint"),
            (json!({ "bucket": "b", "endpoint": "https://me:x@storage.example.com" }), "endpoint"),
            (json!({ "bucket": "b", "access_key_id": "x" }), "access_key_id"),
            (json!({ "bucket": "b", "secret_access_key": "x" }), "secret_access_key"),
            (json!({ "bucket": "b", "session_token": "x" }), "session_token"),
            (json!({ "bucket": "b", "access_key_id": "x", "secret_access_key": "x", "profile": "x" }), "profile"),
            (json!({ "bucket": "b", "ca_file": "ca.pem" }), "ca_file"),
            (json!({ "bucket": "b", "ca_file": "/nonexistent/ca.pem" }), "ca_file"),
            (json!({ "bucket": "b", "deadline_s": -1.0 }), "deadline_s"),
            (json!({ "bucket": "b", "proxy": "http://me:pass word@:x" }), "proxy"),
        ];
        for (config, key) in cases {
            let error = settings(config.clone()).unwrap_err();
            assert_eq!(error.data["path"], json!([key]), "{config}: {error:?}");
        }
        assert!(settings(json!({ "region": "x" })).unwrap_err().message.contains("`bucket`"));
        assert!(settings(json!({})).unwrap().is_none());
    }

    #[test]
    fn http_is_for_this_machine_unless_it_is_allowed() {
        for endpoint in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "https://example.com"] {
            assert!(settings(json!({ "bucket": "b", "endpoint": endpoint })).is_ok(), "{endpoint}");
        }
        let allowed = json!({ "bucket": "b", "endpoint": "http://storage.example.com", "allow_http": true });
        assert!(settings(allowed).is_ok());
    }
}
