//! Lines of bounded length from a byte stream.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Splits a stream at newlines. Dropping a pending [`Lines::next`] loses nothing.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    scanned: usize,
    last: usize,
    limit: usize,
    skipping: bool,
    ended: bool,
}

/// A line without its newline.
pub(crate) enum Line {
    /// The whole of it.
    Whole(Bytes),
    /// It is longer than the limit; its first bytes. The rest of it is skipped.
    TooLong(Bytes),
    /// The stream ended in the middle of it.
    Broken(Bytes),
}

const READ_SIZE: usize = 16 * 1024;
const KEPT_OF_TOO_LONG: usize = 512;

/// Room that stays after a long line, and after a short one.
const MOST_KEPT: usize = 512 * 1024;
const SHORT_KEPT: usize = 4 * READ_SIZE;

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), scanned: 0, last: 0, limit, skipping: false, ended: false }
    }

    /// The next line; none after the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
                let mut line = self.buffer.split_to(self.scanned + at + 1).freeze();
                line.truncate(line.len() - 1);
                self.scanned = 0;
                self.last = line.len();
                match std::mem::take(&mut self.skipping) {
                    true => continue,
                    false if line.len() > self.limit => {
                        return Ok(Some(Line::TooLong(line.slice(..line.len().min(KEPT_OF_TOO_LONG)))));
                    }
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
            self.buffer.reserve(READ_SIZE);
            // a buffer that is given back after each of many long lines is paged in again for the next
            let most = if self.last > READ_SIZE { MOST_KEPT } else { SHORT_KEPT };
            if self.buffer.is_empty() && self.buffer.capacity() > most {
                self.buffer = BytesMut::with_capacity(READ_SIZE);
            }
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
    async fn keeps_no_more_room_than_the_last_line_needs() {
        let (mut input, reader) = tokio::io::duplex(8 * 1024 * 1024);
        let mut lines = Lines::new(reader, usize::MAX);
        for (bytes, most) in [(4_000_000, MOST_KEPT), (100_000, MOST_KEPT), (10, SHORT_KEPT)] {
            let mut line = b"x".repeat(bytes);
            line.push(b'\n');
            tokio::io::AsyncWriteExt::write_all(&mut input, &line).await.unwrap();
            assert!(matches!(lines.next().await.unwrap(), Some(Line::Whole(line)) if line.len() == bytes));
            assert!(futures_util::FutureExt::now_or_never(lines.next()).is_none());
            assert!(lines.buffer.capacity() <= most, "{bytes}: {}", lines.buffer.capacity());
        }
    }

    #[tokio::test]
    async fn skips_a_line_above_the_limit_and_goes_on() {
        let mut input = b"x".repeat(100_000);
        input.extend_from_slice(b"\nnext\n");
        assert_eq!(all(&input, 1000).await, ["too long xxxx", "whole next"]);
        assert_eq!(all(b"0123456789\nnext\n", 5).await, ["too long 0123", "whole next"]);
    }
}
