//! What went wrong, in a sentence that names the store, and what to do about it.

use perennial_sdk::{Error, ErrorCode};

use crate::{
    config::{Addressing, Settings},
    trace::{Answer, Failure, Silence, SilenceKind},
};

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Read,
    Write,
    List,
    Remove,
}

/// Whether an object is not there, which the store said.
pub(crate) fn is_missing(failure: Option<&Failure>) -> bool {
    matches!(failure, Some(Failure::Answer(answer)) if answer.status == 404 && answer.code != "NoSuchBucket")
}

/// The error for a person; `failure` is what happened on the wire, `other` what was made of it.
pub(crate) fn explain(settings: &Settings, action: Action, failure: Option<Failure>, other: &str) -> Error {
    match failure {
        Some(Failure::Answer(answer)) => told(settings, action, &answer),
        Some(Failure::Silence(silence)) => silent(settings, silence),
        Some(Failure::Credentials(error)) => error,
        None => {
            let message = format!("{} cannot be used", settings.named());
            Error { source: vec![other.to_owned()], ..Error::unavailable(message) }
        }
    }
}

fn told(settings: &Settings, action: Action, answer: &Answer) -> Error {
    let store = settings.named();
    let doing = action.doing();
    let (error, hint) = match (answer.code.as_str(), answer.status) {
        ("InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException", _) => (
            denied(format!("{store} does not know the access key")),
            "check the access key id, and that it belongs to this store".into(),
        ),
        ("SignatureDoesNotMatch", _) => (
            denied(format!("{store} refuses the signature of the request")),
            "the secret access key does not fit the access key id, or something on the way changes requests".into(),
        ),
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "InvalidToken", _) => (
            denied(format!("the credentials for {store} have expired")),
            "sign in again, as with `aws sso login`, or give new ones".into(),
        ),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            let clock = answer.date.as_deref().map(|date| format!("; it is {date} there")).unwrap_or_default();
            (
                denied(format!("this machine's clock differs from that of {store}{clock}")),
                "set this machine's clock".into(),
            )
        }
        ("NoSuchBucket", _) => (
            Error::invalid(format!("there is no {}", store.trim_start_matches("the "))),
            "check `bucket` and `endpoint`, and create the bucket: Perennial does not".into(),
        ),
        ("InvalidBucketName", _) => {
            (Error::invalid(format!("the store takes no such name as that of {store}")), "check `bucket`".into())
        }
        _ if is_elsewhere(answer) => (
            Error::invalid(format!("{store} is in another region")),
            match &answer.region {
                Some(region) => format!("set `region = \"{region}\"`"),
                None => "set `region` to that of the bucket".into(),
            },
        ),
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 401 | 403) => (
            denied(format!("the credentials for {store} do not allow {doing}")),
            format!("they need the permission `{}`", action.permission()),
        ),
        ("QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded", _) | (_, 507) => {
            (Error::unavailable(format!("{store} is full")), "free some space there, or raise the quota".into())
        }
        ("SlowDown" | "TooManyRequests" | "ServiceUnavailable", _) | (_, 429 | 503) => (
            Error::unavailable(format!("{store} is overloaded: it does not allow {doing} now")),
            "try again in a moment".into(),
        ),
        ("NotImplemented", _) | (_, 501) => (
            Error::unsupported(format!("{store} does not know how to do {doing} as it must be done")),
            "docs/s3.md says which stores work".into(),
        ),
        (_, 200..300 | 404 | 405) => (
            Error::invalid(format!("nothing at the address of {store} speaks S3")),
            format!("check `endpoint`{}", addressing(settings)),
        ),
        (_, 500..) => (
            Error::unavailable(format!("{store} has a fault of its own")),
            "try again in a moment; its operator's log says more".into(),
        ),
        _ => (
            Error::unavailable(format!("{store} refuses {doing}")),
            format!("check `endpoint` and `region`{}", addressing(settings)),
        ),
    };
    let words = [answer.status.to_string(), answer.code.clone()].join(" ").trim_end().to_owned();
    let own = if answer.message.is_empty() { words } else { format!("{words}: {}", answer.message) };
    Error { source: vec![own], ..error.hint(hint) }
}

fn silent(settings: &Settings, silence: Silence) -> Error {
    let store = settings.named();
    let (error, hint) = match silence.kind {
        SilenceKind::Name => (
            Error::unavailable(format!("the name of the host of {store} is not known")),
            format!("check `endpoint`{} and the network", addressing(settings)),
        ),
        SilenceKind::Tls => (
            Error::new(ErrorCode::Denied, format!("no trusted connection to {store} comes about")),
            "where the store's certificate comes from an authority of your own, name that in `ca_file`".into(),
        ),
        SilenceKind::Refused => (
            Error::unavailable(format!("nobody answers for {store}")),
            "check `endpoint`, and that the store runs".into(),
        ),
        SilenceKind::Late => (
            Error::unavailable(format!("{store} did not answer in time")),
            "check the network and the proxy, or raise `timeout_s` and `deadline_s`".into(),
        ),
        SilenceKind::Lost => {
            (Error::unavailable(format!("the connection to {store} was lost")), "try again in a moment".into())
        }
    };
    Error { source: silence.causes, ..error.hint(hint) }
}

fn is_elsewhere(answer: &Answer) -> bool {
    let codes = ["PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "InvalidRegion"];
    (300..400).contains(&answer.status) || codes.contains(&answer.code.as_str())
}

/// What else an address may be wrong in.
fn addressing(settings: &Settings) -> &'static str {
    match (settings.addressing, &settings.endpoint) {
        (Addressing::Virtual, Some(_)) => ", try `addressing = \"path\"`,",
        _ => "",
    }
}

fn denied(message: String) -> Error {
    Error::new(ErrorCode::Denied, message)
}

impl Action {
    fn doing(self) -> &'static str {
        match self {
            Self::Read => "reading objects",
            Self::Write => "writing objects",
            Self::List => "listing the bucket",
            Self::Remove => "removing objects",
        }
    }

    fn permission(self) -> &'static str {
        match self {
            Self::Read => "s3:GetObject",
            Self::Write => "s3:PutObject",
            Self::List => "s3:ListBucket",
            Self::Remove => "s3:DeleteObject",
        }
    }
}
