//! What `fuzz/` throws bytes at, and what it expects of them.

use std::{
    cell::OnceCell,
    io::{self, Cursor},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use rmcp::{
    model::{JsonRpcMessage, ServerResult},
    transport::Transport,
};
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;
use tokio::{
    io::AsyncWrite,
    net::unix::pipe,
    sync::oneshot::{self, error::TryRecvError},
};
use tokio_util::sync::CancellationToken;

use super::{
    calls::{Answer, Asker, Calls},
    downstream::Downstream,
    session::tool_result,
    upstream::Upstream,
};
use crate::supervisor::Ring;

/// What was written to a client.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

/// More useless lines than this make the transport pause for real.
const MOST_LINES: usize = 1000;

/// The bytes that a client sends; the first one decides how long a line may be. Every third request is answered with what
/// passes through, the others with an empty result.
///
/// # Panics
/// When the host would, or when its client could not read what it is told.
pub fn upstream(input: &[u8]) {
    let Some((limit, input)) = input.split_first() else { return };
    let (limit, written) = (16 + usize::from(*limit) * 16, Written::default());
    let (reader, writer) = (Cursor::new(input.to_vec()), written.clone());
    run(async {
        let mut wire = Upstream::new(Box::pin(reader), Box::pin(writer), limit, CancellationToken::new());
        let mut asked = 0_usize;
        while let Some(message) = wire.receive().await {
            let JsonRpcMessage::Request(request) = message else { continue };
            asked += 1;
            if asked.is_multiple_of(3) {
                let result = tool_result(Bytes::from_static(br#"{"content":[]}"#)).expect("a result");
                assert!(wire.in_flight().park(&request.id, result), "a request that came waits for its answer");
            }
            let _ = wire.send(JsonRpcMessage::response(ServerResult::empty(()), request.id)).await;
        }
        let _ = wire.close().await;
        let told = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers = lines(&told).inspect(|answer| assert_eq!(answer["jsonrpc"], "2.0", "{answer}"));
        assert_eq!(answers.filter(|answer| answer.get("result").is_some()).count(), asked);
    });
}

/// The bytes that a child sends while it owes answers: to two calls, which have the ids 1099511627776 and …777, and to
/// `initialize`, which has …778; the first byte decides how long a line may be.
///
/// # Panics
/// When the host would, or when the client or the child could not read what it is told.
pub fn downstream(input: &[u8]) {
    let Some((limit, input)) = input.split_first() else { return };
    // what does not fit into a pipe would have to be written by somebody else
    if input.len() > 60_000 || input.iter().filter(|byte| **byte == b'\n').count() > MOST_LINES {
        return;
    }
    let limit = 16 + usize::from(*limit) * 16;
    run(async {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let ((output, child_output), (child_input, stdin)) = match (pipe_with(flags), pipe_with(flags)) {
            (Ok(output), Ok(input)) => (output, input),
            _ => return,
        };
        let stdin = pipe::Sender::from_owned_fd(stdin).expect("a pipe");
        let stdout = pipe::Receiver::from_owned_fd(output).expect("a pipe");
        let mut wire = Downstream::new(stdin, stdout, Ring::default(), limit, None);
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let (answer, receiver) = oneshot::channel();
            wire.calls().ask(Asker::Past { answer, progress: Some(Arc::new(|_| ())), questions: None });
            waiting.push(receiver);
        }
        let initialize = Asker::Rmcp { id: rmcp::model::RequestId::Number(7), method: "initialize".into() };
        assert_eq!(wire.calls().ask(initialize), Some(Calls::FIRST_ID + 2));
        rustix::io::write(&child_output, input).expect("it fits");
        drop(child_output);
        let mut for_rmcp = 0;
        while let Some(message) = wire.receive().await {
            for_rmcp += 1;
            let answers_it = match &message {
                JsonRpcMessage::Response(response) => response.id == rmcp::model::RequestId::Number(7),
                JsonRpcMessage::Error(error) => error.id == Some(rmcp::model::RequestId::Number(7)),
                _ => false,
            };
            assert!(answers_it && for_rmcp == 1, "rmcp is told what it did not ask for: {message:?}");
        }
        for mut receiver in waiting {
            match receiver.try_recv() {
                Ok(Answer::Result(raw)) => {
                    let Ok(passed) = tool_result(raw) else { continue };
                    for passed in [passed.clone(), passed.with_result_type()] {
                        let line = passed.as_bytes();
                        let told: Value = serde_json::from_slice(line).expect("a client can read it");
                        assert!(told.is_object() && !line.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "{told}");
                    }
                }
                Ok(Answer::Error(_) | Answer::Unusable(_)) | Err(TryRecvError::Closed) => {}
                Err(TryRecvError::Empty) => panic!("a call waits for ever though the child has ended"),
            }
        }
        wire.calls().outbox().flushed().await;
        let mut told = vec![0; 128 * 1024];
        let length = rustix::io::read(&child_input, &mut told[..]).unwrap_or(0);
        lines(&told[..length]).for_each(drop);
    });
}

/// Every line as the JSON that it must be.
fn lines(told: &[u8]) -> impl Iterator<Item = Value> {
    let lines = told.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| {
        let told = String::from_utf8_lossy(line);
        serde_json::from_slice(line).unwrap_or_else(|error| panic!("not JSON ({error}): {told}"))
    })
}

fn run(work: impl Future<Output = ()>) {
    thread_local!(static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() });
    RUNTIME.with(|runtime| {
        let new = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.get_or_init(new).block_on(work);
    });
}

impl AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use perennial_sdk::testkit::replay;

    #[test]
    fn seeds_and_what_once_crashed() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
        replay(seeds.join("upstream"), super::upstream);
        replay(seeds.join("downstream"), super::downstream);
    }
}
