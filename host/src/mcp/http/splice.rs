//! Puts results that pass through into the answers that rmcp writes for them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, SizeHint};
use memchr::{memchr, memmem};

use super::{super::envelope::Envelope, exchange::Parked};

/// A stream of events in which each answer is the one that was parked for it, if any was.
pub(super) struct Spliced<G> {
    events: BoxBody<Bytes, Infallible>,
    parked: Parked,
    _guard: G,
}

impl<G> Spliced<G> {
    /// `guard` is let go when the stream is over, or nobody reads it any more.
    pub(super) fn new(events: BoxBody<Bytes, Infallible>, parked: Parked, guard: G) -> Self {
        Self { events, parked, _guard: guard }
    }
}

impl<G: Unpin> Body for Spliced<G> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = ready!(Pin::new(&mut self.events).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) if !self.parked.is_empty() => {
                Some(Ok(frame.map_data(|event| spliced_event(&event, &self.parked).unwrap_or(event))))
            }
            other => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The message with the result that was parked for it; none when none was.
pub(super) fn spliced(message: &[u8], parked: &Parked) -> Option<Bytes> {
    let envelope = Envelope::parse(message).ok()?;
    let id = envelope.request_id().filter(|_| envelope.method.is_none())?;
    let passed = parked.take(&id)?;
    // a refusal that came in between stands
    envelope.result?;
    let (id, result) = (envelope.id?.get().as_bytes(), passed.as_bytes());
    let mut spliced = BytesMut::with_capacity(result.len() + id.len() + 40);
    spliced.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    spliced.put_slice(id);
    spliced.put_slice(br#","result":"#);
    spliced.put_slice(result);
    spliced.put_u8(b'}');
    Some(spliced.freeze())
}

/// rmcp writes an event a frame, and a message on one line of it.
fn spliced_event(event: &Bytes, parked: &Parked) -> Option<Bytes> {
    let field = match event.starts_with(b"data:") {
        true => b"data:".len(),
        false => memmem::find(event, b"\ndata:")? + b"\ndata:".len(),
    };
    let start = field + usize::from(event.get(field) == Some(&b' '));
    let end = memchr(b'\n', &event[start..]).map_or(event.len(), |length| start + length);
    let message = spliced(&event[start..end], parked)?;
    let mut whole = BytesMut::with_capacity(event.len() + message.len());
    whole.put_slice(&event[..start]);
    whole.put_slice(&message);
    whole.put_slice(&event[end..]);
    Some(whole.freeze())
}

#[cfg(test)]
mod tests {
    use rmcp::model::RequestId;

    use super::{super::super::Passed, *};

    fn parked(id: i64, result: &'static str) -> Parked {
        let parked = Parked::default();
        parked.park(RequestId::Number(id), Passed::new(Bytes::from_static(result.as_bytes())));
        parked
    }

    #[test]
    fn an_event_keeps_its_id_and_gets_the_bytes_of_the_child() {
        let parked = parked(7, r#"{"content":[],"x":1.0e2}"#);
        let event = Bytes::from_static(b"id: 1/0\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n");
        let whole = spliced_event(&event, &parked).unwrap();
        let wanted = b"id: 1/0\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"content\":[],\"x\":1.0e2}}\n\n";
        assert_eq!(whole, wanted.as_slice());
        assert!(parked.is_empty());
    }

    #[test]
    fn what_answers_something_else_stays_as_it_is() {
        let parked = parked(7, "{}");
        for event in [
            &b": ping\n\n"[..],
            b"data: {\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}\n\n",
            b"data: {\"jsonrpc\":\"2.0\",\"id\":\"7\",\"result\":{}}\n\n",
            b"data: {\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n\n",
            b"data: \n\n",
        ] {
            assert_eq!(spliced_event(&Bytes::copy_from_slice(event), &parked), None);
        }
        let refusal = br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no"}}"#;
        assert_eq!(spliced(refusal, &parked), None);
    }
}
