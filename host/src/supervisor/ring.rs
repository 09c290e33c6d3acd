use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The last lines of an output that may never end: a child's stderr, or what it printed where only JSON belongs.
///
/// Clones share the lines. Lines are kept as text: undecodable bytes become U+FFFD, a line over [`Ring::LONGEST`] bytes
/// is cut and marked with `…`.
#[derive(Debug, Clone)]
pub struct Ring {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    partial: Vec<u8>,
    cut: bool,
    total: u64,
    most_lines: usize,
    most_bytes: usize,
}

impl Ring {
    /// Bytes of one line that are kept.
    pub const LONGEST: usize = 4096;

    /// Keeps the last `lines` lines, and at most `bytes` bytes of them.
    pub fn new(lines: usize, bytes: usize) -> Self {
        let kept = Kept {
            lines: VecDeque::new(),
            bytes: 0,
            partial: Vec::new(),
            cut: false,
            total: 0,
            most_lines: lines,
            most_bytes: bytes,
        };
        Self { kept: Arc::new(Mutex::new(kept)) }
    }

    /// Takes the next bytes of a stream; a line counts when its newline has come.
    pub fn push(&self, bytes: &[u8]) {
        self.push_each(bytes, |_| ());
    }

    /// [`Ring::push`], showing every line that became whole to `on_line`.
    pub fn push_each(&self, bytes: &[u8], mut on_line: impl FnMut(&str)) {
        let mut kept = self.lock();
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            kept.extend(piece);
            if pieces.peek().is_some() {
                on_line(kept.finish_line());
            }
        }
    }

    /// Takes one whole line, with or without its newline.
    pub fn push_line(&self, line: &[u8]) {
        let mut kept = self.lock();
        kept.extend(line.strip_suffix(b"\n").unwrap_or(line));
        kept.finish_line();
    }

    /// Ends a line that came without a newline, when there is one; shown to `on_line`.
    pub fn finish(&self, on_line: impl FnOnce(&str)) {
        let mut kept = self.lock();
        if !kept.partial.is_empty() {
            on_line(kept.finish_line());
        }
    }

    /// The last `lines` lines, an unfinished one included, joined by newlines and without a trailing one.
    pub fn tail(&self, lines: usize) -> String {
        let kept = self.lock();
        let partial = (!kept.partial.is_empty()).then(|| text(&kept.partial, kept.cut));
        let whole = lines.saturating_sub(usize::from(partial.is_some())).min(kept.lines.len());
        let mut tail: Vec<&str> = kept.lines.range(kept.lines.len() - whole..).map(String::as_str).collect();
        tail.extend(partial.as_deref().filter(|_| lines > 0));
        tail.join("\n")
    }

    /// How many whole lines ever came.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 200 lines, 64 KiB.
impl Default for Ring {
    fn default() -> Self {
        Self::new(200, 64 * 1024)
    }
}

impl Kept {
    fn extend(&mut self, piece: &[u8]) {
        let room = Ring::LONGEST.min(self.most_bytes).saturating_sub(self.partial.len());
        self.cut |= piece.len() > room;
        self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn finish_line(&mut self) -> &str {
        let line = text(&self.partial, self.cut);
        self.partial.clear();
        self.cut = false;
        self.total += 1;
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > 1 && (self.lines.len() > self.most_lines || self.bytes > self.most_bytes) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
        self.lines.back().map_or("", String::as_str)
    }
}

fn text(line: &[u8], cut: bool) -> String {
    let mut text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
    if cut {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_counts_all() {
        let ring = Ring::new(2, 1000);
        ring.push(b"one\ntw");
        ring.push(b"o\r\nthree\nfo");
        assert_eq!(ring.tail(9), "two\nthree\nfo");
        assert_eq!(ring.tail(2), "three\nfo");
        assert_eq!(ring.tail(0), "");
        assert_eq!(ring.total(), 3);
    }

    #[test]
    fn holds_its_bytes_whatever_comes() {
        let ring = Ring::new(100, 10_000);
        for _ in 0..1000 {
            ring.push(&[b'x'; 5000]);
            ring.push(&[0xff; 5000]);
            ring.push(b"\n");
        }
        assert!(ring.tail(100).len() < 20_000, "{}", ring.tail(100).len());
        assert!(ring.tail(1).ends_with('…'));
        ring.push(&vec![b'y'; 1 << 20]);
        assert!(ring.lock().partial.len() <= Ring::LONGEST);
    }

    #[test]
    fn shows_every_line_once() {
        let (ring, mut seen) = (Ring::new(1, 1000), Vec::new());
        ring.push_each(b"a\n\nb", |line| seen.push(line.to_owned()));
        ring.finish(|line| seen.push(line.to_owned()));
        ring.finish(|_| panic!("there is nothing left"));
        assert_eq!(seen, ["a", "", "b"]);
        ring.push_line(b"{\"level\":\"info\"}\n");
        assert_eq!(ring.tail(1), "{\"level\":\"info\"}");
    }
}
