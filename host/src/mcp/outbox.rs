//! The writing end of a connection: one task, one queue.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Queues whole lines for one writer, in order. Cheap to clone; the writer ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Item>,
    broken: CancellationToken,
    closing: CancellationToken,
}

enum Item {
    Line(Bytes),
    /// Everything before it has been written.
    Flushed(oneshot::Sender<()>),
}

const QUEUE_LENGTH: usize = 256;
const BATCH_BYTES: usize = 64 * 1024;

impl Outbox {
    /// Starts the writer. It gives up, and [`Outbox::broken`] fires, when the peer takes nothing for `patience`.
    pub(crate) fn start(writer: impl AsyncWrite + Unpin + Send + 'static, patience: Duration) -> Self {
        let (queue, lines) = mpsc::channel(QUEUE_LENGTH);
        let (broken, closing) = (CancellationToken::new(), CancellationToken::new());
        let writing = write_all(writer, lines, patience);
        let (guard, closed) = (broken.clone().drop_guard(), closing.clone());
        tokio::spawn(async move {
            let _guard = guard;
            closed.run_until_cancelled(writing).await;
        });
        Self { queue, broken, closing }
    }

    /// Queues a line, which must end in a newline; waits while the queue is full.
    pub(crate) async fn send(&self, line: Bytes) -> io::Result<()> {
        self.queue.send(Item::Line(line)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Queues a line if there is room: for what may be lost, such as progress.
    pub(crate) fn try_send(&self, line: Bytes) -> bool {
        self.queue.try_send(Item::Line(line)).is_ok()
    }

    /// Fires when nothing more can be written.
    pub(crate) fn broken(&self) -> &CancellationToken {
        &self.broken
    }

    /// Closes the peer's input, whatever is still queued.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits until everything queued so far is written, or writing has failed.
    pub(crate) async fn flushed(&self) {
        let (sender, flushed) = oneshot::channel();
        if self.queue.send(Item::Flushed(sender)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

async fn write_all(mut writer: impl AsyncWrite + Unpin, mut items: mpsc::Receiver<Item>, patience: Duration) {
    let mut next = None;
    while let Some(item) = match next.take() {
        Some(item) => Some(item),
        None => items.recv().await,
    } {
        let mut batch = match item {
            Item::Line(line) => line,
            Item::Flushed(sender) => {
                let _ = sender.send(());
                continue;
            }
        };
        if !items.is_empty() && batch.len() < BATCH_BYTES {
            let mut joined = BytesMut::from(batch);
            while joined.len() < BATCH_BYTES && next.is_none() {
                match items.try_recv() {
                    Ok(Item::Line(line)) => joined.extend_from_slice(&line),
                    Ok(flushed) => next = Some(flushed),
                    Err(_) => break,
                }
            }
            batch = joined.freeze();
        }
        while !batch.is_empty() {
            match timeout(patience, writer.write(&batch)).await {
                Ok(Ok(written)) if written > 0 => drop(batch.split_to(written)),
                _ => return,
            }
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
}
