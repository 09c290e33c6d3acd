use std::time::Duration;

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    },
};
use reqwest::StatusCode;

use crate::trace::{self, Answer, Failure, Silence, SilenceKind};

/// Bytes in a millisecond that even a slow line manages.
const BYTES_PER_MS: u64 = 128;

/// Sends requests, tells [`trace`] how they failed, and lets object_store repeat them: whoever creates an object reads
/// back whose it is, so that every request of ours may be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: reqwest::Client,
    patience: Duration,
}

impl Transport {
    /// `patience` is for a request whose body, and whose answer's, are small.
    pub(crate) fn new(client: reqwest::Client, patience: Duration) -> Self {
        Self { client, patience }
    }
}

/// What a body of this size may take longer.
pub(crate) fn transfer(bytes: usize) -> Duration {
    Duration::from_millis(bytes as u64 / BYTES_PER_MS)
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let creates = request.headers().contains_key("if-none-match");
        if let Some(body) = trace::spoiled() {
            *request.body_mut() = body.into();
        }
        let patience = self.patience + transfer(request.body().content_length());
        let lists = request.uri().query().is_some_and(|query| query.contains("list-type="));
        let answer = async {
            let (parts, body) = self.client.call(request).await?.into_parts();
            Ok((parts, body.bytes().await?))
        };
        let (mut parts, body) = match tokio::time::timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let silence = Silence::of(&error);
                let hopeless = matches!(silence.kind, SilenceKind::Tls | SilenceKind::Name);
                trace::note(Failure::Silence(silence));
                let kind = if hopeless { HttpErrorKind::Unknown } else { HttpErrorKind::Request };
                return Err(HttpError::new(kind, error));
            }
            Err(late) => {
                trace::note(Failure::Silence(Silence::late()));
                return Err(HttpError::new(HttpErrorKind::Request, late));
            }
        };
        // an empty list is what object_store makes of a page that asks people to sign in somewhere
        let foreign = lists && parts.status.is_success() && !contains(&body, b"ListBucketResult");
        if foreign || !parts.status.is_success() {
            let mut answer = Answer::read(parts.status.as_u16(), &body);
            let header = |name: &str| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
            answer.region = header("x-amz-bucket-region").or(answer.region);
            answer.date = header("date");
            trace::note(Failure::Answer(answer));
        }
        if foreign {
            parts.status = StatusCode::NOT_FOUND;
        }
        // While others create the same object the store may not know yet who wins; object_store would say that it exists.
        if creates && parts.status == StatusCode::CONFLICT {
            parts.status = StatusCode::SERVICE_UNAVAILABLE;
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).take(1000).any(|window| window == part)
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
