use std::{sync::Arc, time::Duration};

use perennial_sdk::{Cx, Error, ErrorCode, Result};
use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Exit, ProcessSpec, Ring, Supervisor,
    lifeline::{LAST_WORDS, Stdin},
};

/// Bytes of a finished process' stdout that are kept.
const STDOUT_LIMIT: usize = 4 << 20;

/// Lines of its stderr that are kept.
const TAIL_LINES: usize = 60;

/// What is read of a stderr within [`PERIOD`]; a process that writes more is held back by its full pipe.
const BUDGET: usize = 512 << 10;

/// See [`BUDGET`].
const PERIOD: Duration = Duration::from_millis(50);

/// A build step or a probe that has ended, however it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to stdout: the first 4 MiB.
    pub stdout: Vec<u8>,
    /// The last lines of its stderr.
    pub tail: String,
}

impl Supervisor {
    /// Runs a build step or a probe to its end: stdin is empty, stdout is kept, every line of stderr is shown to `on_line`.
    /// It may take `limit`, or less when `cx` has less left. An exit code other than 0 is not an error: see
    /// [`Finished::exit`].
    ///
    /// Dropping the future kills the tree.
    ///
    /// # Errors
    /// As [`Supervisor::spawn`]; `timeout` or `cancelled` after the whole tree was killed, with the last lines of stderr as
    /// `tail` in the error's data.
    pub async fn run(
        self: &Arc<Self>,
        cx: &Cx,
        spec: ProcessSpec,
        limit: Duration,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<Finished> {
        let label = spec.label.clone();
        let limit = cx.remaining().map_or(limit, |remaining| remaining.min(limit));
        let cancelled = || Error::new(ErrorCode::Cancelled, format!("`{label}` was cancelled"));
        let started = tokio::select! {
            biased;
            () = cx.cancelled() => return Err(cancelled()),
            started = self.start(spec, Stdin::Null) => started?,
        };
        let (stdout, stderr) =
            (pipe::Receiver::from_owned_fd(started.stdout)?, pipe::Receiver::from_owned_fd(started.stderr)?);
        let process = started.process;
        started.watch.spawn(None);

        let mut output = Vec::new();
        let interruption = {
            let reading = async {
                tokio::join!(collect(stdout, &mut output), drain_each(stderr, process.stderr(), &mut on_line))
            };
            tokio::pin!(reading);
            let work = async {
                tokio::select! {
                    _ = process.exited() => { let _ = timeout(LAST_WORDS, reading.as_mut()).await; }
                    _ = reading.as_mut() => { process.exited().await; }
                }
            };
            tokio::select! {
                biased;
                () = cx.cancelled() => Some(cancelled()),
                () = work => None,
                () = sleep(limit) => Some(Error::new(
                    ErrorCode::Timeout,
                    format!("`{label}` was ended after {} s, the most that it may take", limit.as_secs_f32()),
                )),
            }
        };
        let Some(mut error) = interruption else {
            let tail = process.stderr_tail(TAIL_LINES);
            return Ok(Finished { exit: process.exited().await, stdout: output, tail });
        };
        process.kill();
        process.exited().await;
        error.data = json!({ "tail": process.stderr_tail(TAIL_LINES) });
        Err(error)
    }
}

/// Reads a stderr to its end, at a bounded pace.
pub(super) async fn drain(stderr: pipe::Receiver, ring: Ring) {
    drain_each(stderr, &ring, &mut |_| ()).await;
}

async fn drain_each(mut stderr: pipe::Receiver, ring: &Ring, on_line: &mut (impl FnMut(&str) + Send)) {
    let mut chunk = vec![0; 8 << 10];
    let (mut period, mut budget) = (Instant::now() + PERIOD, BUDGET);
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        ring.push_each(&chunk[..read], &mut *on_line);
        budget = budget.saturating_sub(read);
        if budget == 0 {
            sleep_until(period).await;
        }
        if Instant::now() >= period {
            (period, budget) = (Instant::now() + PERIOD, BUDGET);
        }
    }
    ring.finish(on_line);
}

async fn collect(mut stdout: pipe::Receiver, output: &mut Vec<u8>) {
    let mut chunk = vec![0; 8 << 10];
    while let Ok(read @ 1..) = stdout.read(&mut chunk).await {
        let room = STDOUT_LIMIT - output.len();
        output.extend_from_slice(&chunk[..read.min(room)]);
    }
}
