use perennial_sdk::{BoxFuture, Cx, Error, Result};

/// The way to a plugin that is not linked in.
///
/// Dropping the future of a call tells the plugin that nobody waits for it any more.
pub(super) trait Transport: Send + Sync {
    /// Calls a method.
    fn call<'a>(&'a self, cx: &'a Cx, request: Request) -> BoxFuture<'a, Result<Response>>;

    /// Whether long texts of parameters may stand beside the JSON.
    fn takes_bodies(&self) -> bool;

    /// Ends what is at the other end, after the plugin itself had its say.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A method with its parameters.
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) json: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) json: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Something that may end at any time.
pub(super) trait Mortal: Send + Sync {
    /// How it ended, when it has.
    fn death(&self) -> Option<Error>;
}
