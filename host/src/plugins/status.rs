use perennial_sdk::{Error, ErrorCode, Result, abi, body};

use super::transport::Response;

/// What a call of `method` that came back with `status` means.
///
/// # Errors
/// What the plugin says of it; of a text that is no error, the text.
pub(super) fn outcome(status: i32, response: Response, plugin: &str, method: &str) -> Result<Response> {
    let error = |code: ErrorCode, otherwise: &str| {
        body::unpack(&response.json, &*response.body).unwrap_or_else(|_| {
            let said = String::from_utf8_lossy(&response.json).into_owned();
            Error::new(code, if said.is_empty() { otherwise.to_owned() } else { said })
        })
    };
    Err(match status {
        abi::OK => return Ok(response),
        abi::ERROR => error(ErrorCode::Internal, "the plugin failed"),
        abi::CANCELLED => error(ErrorCode::Cancelled, "cancelled"),
        abi::PANIC => error(ErrorCode::Internal, "the plugin panicked"),
        abi::UNKNOWN_METHOD => Error::unsupported(format!("the plugin `{plugin}` has no method `{method}`")),
        other => Error::internal(format!("the plugin `{plugin}` answered with the status {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_whole_also_with_a_body_and_from_a_later_version() {
        let of = |status, json: &str, body: &str| {
            let response = Response { json: json.into(), body: body.into() };
            outcome(status, response, "p", "a/b").unwrap_err()
        };
        let apart =
            r#"{"value":{"code":"quota","message":"","ofALaterVersion":1},"body":[{"at":["message"],"len":7}]}"#;
        let error = of(abi::ERROR, apart, "no more");
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Other("quota".into()), "no more"));
        assert_eq!(of(abi::ERROR, "not JSON", "").message, "not JSON");
        assert_eq!(of(abi::PANIC, "", "").message, "the plugin panicked");
        assert_eq!(of(abi::UNKNOWN_METHOD, "", "").code, ErrorCode::Unsupported);
        assert_eq!(of(99, "{}", "").message, "the plugin `p` answered with the status 99");
    }
}
