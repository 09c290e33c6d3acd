//! What happened on the wire during one operation: object_store keeps it to itself, and people want to know.

use std::{cell::RefCell, error::Error as StdError, io};

use object_store::client::HttpError;
use perennial_sdk::Error;

tokio::task_local! {
    static TRACE: RefCell<Trace>;
}

#[derive(Default)]
struct Trace {
    failure: Option<Failure>,
    spoiled: Option<Vec<u8>>,
}

/// Why the last attempt of an operation failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The store answered with an error.
    Answer(Answer),
    /// No answer came.
    Silence(Silence),
    /// There was nothing to sign the request with.
    Credentials(Error),
}

/// An error as the store tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Such as `NoSuchBucket`; empty where the store sends none.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Where the bucket is, when the store says that it is elsewhere.
    pub(crate) region: Option<String>,
    /// The store's clock.
    pub(crate) date: Option<String>,
}

/// Why no answer came.
#[derive(Debug, Clone)]
pub(crate) struct Silence {
    pub(crate) kind: SilenceKind,
    /// Innermost last.
    pub(crate) causes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SilenceKind {
    /// The name of the host is not known.
    Name,
    /// The certificate, or what precedes it.
    Tls,
    /// Nobody listens there.
    Refused,
    /// Nothing came in time.
    Late,
    /// Anything else, such as a connection that was cut.
    Lost,
}

/// Does `work`, and tells what went wrong last on its wire.
pub(crate) async fn follow<T>(work: impl Future<Output = T>) -> (T, Option<Failure>) {
    scope(Trace::default(), work).await
}

/// The same, with another body in the place of those that were signed.
pub(crate) async fn follow_spoiled<T>(body: Vec<u8>, work: impl Future<Output = T>) -> (T, Option<Failure>) {
    scope(Trace { spoiled: Some(body), ..Trace::default() }, work).await
}

async fn scope<T>(trace: Trace, work: impl Future<Output = T>) -> (T, Option<Failure>) {
    let work = async {
        let done = work.await;
        (done, TRACE.with(|trace| trace.borrow_mut().failure.take()))
    };
    TRACE.scope(RefCell::new(trace), work).await
}

/// Keeps what went wrong, for whoever follows.
pub(crate) fn note(failure: Failure) {
    let _ = TRACE.try_with(|trace| trace.borrow_mut().failure = Some(failure));
}

/// What is to be sent instead of a request's body.
pub(crate) fn spoiled() -> Option<Vec<u8>> {
    TRACE.try_with(|trace| trace.borrow().spoiled.clone()).ok().flatten()
}

impl Answer {
    /// Reads the error document, as far as there is one.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            Some(rest.split_once("</")?.0.trim().to_owned())
        };
        let code = element("Code").unwrap_or_default();
        let message: String = element("Message").unwrap_or_default().chars().take(300).collect();
        Self { status, code, message: message.replace(['\n', '\r'], " "), region: element("Region"), date: None }
    }
}

impl Silence {
    pub(crate) fn late() -> Self {
        Self { kind: SilenceKind::Late, causes: vec!["no answer came in time".into()] }
    }

    pub(crate) fn of(error: &HttpError) -> Self {
        let chain: Vec<&(dyn StdError + 'static)> = chain(error);
        let mut causes: Vec<_> = chain.iter().skip(1).map(ToString::to_string).collect();
        causes.dedup();
        let io = |kind: io::ErrorKind| {
            chain.iter().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind))
        };
        let kind = if chain.iter().any(|cause| cause.is::<rustls::Error>()) {
            SilenceKind::Tls
        } else if causes.iter().any(|cause| cause.contains("dns error")) {
            SilenceKind::Name
        } else if io(io::ErrorKind::ConnectionRefused) {
            SilenceKind::Refused
        } else if error.kind() == object_store::client::HttpErrorKind::Timeout || io(io::ErrorKind::TimedOut) {
            SilenceKind::Late
        } else {
            SilenceKind::Lost
        };
        Self { kind, causes }
    }
}

/// The error and its causes, those inside of an [`io::Error`] among them.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    fn below<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| below(*error)).collect()
}
