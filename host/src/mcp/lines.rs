//! Lines of bounded length from a byte stream.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Splits a stream at newlines. Dropping a pending [`Lines::next`] loses nothing.
pub(super) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    scanned: usize,
    limit: usize,
    skipping: bool,
    ended: bool,
}

/// A line without its newline.
pub(super) enum Line {
    /// The whole of it.
    Whole(Bytes),
    /// It is longer than the limit; its first bytes. The rest of it is skipped.
    TooLong(Bytes),
    /// The stream ended in the middle of it.
    Broken(Bytes),
}

const READ_SIZE: usize = 16 * 1024;
const KEPT_OF_TOO_LONG: usize = 512;

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), scanned: 0, limit, skipping: false, ended: false }
    }

    /// The next line; none after the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let mut line = self.buffer.split_to(self.scanned + at + 1).freeze();
                line.truncate(line.len() - 1);
                self.scanned = 0;
                match std::mem::take(&mut self.skipping) {
                    true => continue,
                    false if line.len() > self.limit => return Ok(Some(Line::TooLong(line.slice(..KEPT_OF_TOO_LONG)))),
                    false => return Ok(Some(Line::Whole(line))),
                }
            }
            self.scanned = self.buffer.len();
            if self.skipping || self.scanned > self.limit {
                let start = Bytes::copy_from_slice(&self.buffer[..self.scanned.min(KEPT_OF_TOO_LONG)]);
                self.buffer.clear();
                self.scanned = 0;
                if !std::mem::replace(&mut self.skipping, true) {
                    return Ok(Some(Line::TooLong(start)));
                }
            }
            if self.ended {
                let rest = self.buffer.split().freeze();
                self.scanned = 0;
                return Ok((!rest.is_empty()).then_some(Line::Broken(rest)));
            }
            if self.buffer.is_empty() {
                // what one long line took is not kept for the short ones that follow
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(READ_SIZE);
            self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> Vec<String> {
        let mut lines = Lines::new(input, limit);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            let (kind, text) = match line {
                Line::Whole(text) => ("whole", text),
                Line::TooLong(text) => ("too long", text),
                Line::Broken(text) => ("broken", text),
            };
            seen.push(format!("{kind} {}", String::from_utf8_lossy(&text[..text.len().min(4)])));
        }
        seen
    }

    #[tokio::test]
    async fn splits_at_newlines_and_keeps_an_unfinished_end_apart() {
        assert_eq!(all(b"a\n\nb\nc", 10).await, ["whole a", "whole ", "whole b", "broken c"]);
    }

    #[tokio::test]
    async fn skips_a_line_above_the_limit_and_goes_on() {
        let mut input = b"x".repeat(100_000);
        input.extend_from_slice(b"\nnext\n");
        assert_eq!(all(&input, 1000).await, ["too long xxxx", "whole next"]);
    }
}
