//! What is answered before, or instead of, MCP.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

/// Any answer.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The header that names a session.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A refusal. MCP clients read a JSON-RPC error in it, people and programs its message.
pub(super) fn refused(status: StatusCode, code: i32, why: impl Into<String>) -> Answer {
    let error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": why.into() } });
    of_json(status, &error)
}

/// An answer for programs.
pub(super) fn of_json(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(whole(format!("{value}\n").into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// No token, or one that does not count: RFC 6750, section 3.
pub(super) fn unauthorised(given: bool) -> Answer {
    let (challenge, why) = match given {
        true => (r#"Bearer realm="perennial", error="invalid_token""#, "the token is not known here, or was revoked"),
        false => (
            r#"Bearer realm="perennial""#,
            "this host answers those who bring a token, as `Authorization: Bearer TOKEN`; `perennial token create NAME` \
             makes one",
        ),
    };
    let mut answer = refused(StatusCode::UNAUTHORIZED, -32001, why);
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    answer
}

/// The host is about to end.
pub(super) fn ending() -> Answer {
    let mut answer = refused(StatusCode::SERVICE_UNAVAILABLE, -32000, "this host is about to end");
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// What a browser asks before it lets a page of an allowed origin ask.
pub(super) fn preflight() -> Answer {
    let mut answer = Response::new(whole(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "authorization, content-type, accept, last-event-id, mcp-session-id, mcp-protocol-version, mcp-method, mcp-name",
        ),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}

/// Lets a page of this origin read an answer.
pub(super) fn readable_by(origin: &str, headers: &mut HeaderMap) {
    if let Ok(origin) = HeaderValue::from_str(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("mcp-session-id, www-authenticate"),
        );
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// A body that is there at once.
pub(super) fn whole(bytes: Bytes) -> BoxBody<Bytes, Infallible> {
    Full::new(bytes).boxed()
}
