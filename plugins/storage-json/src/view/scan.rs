use serde_json::value::RawValue;

/// The file that users know, entry by entry, each as it stands.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    /// Why a JSON parser refuses the file; the entries are then those that are whole.
    pub(super) problem: Option<String>,
}

/// One `"key": value` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The key with its quotes and escapes.
    pub(super) key: &'a str,
    /// The value's text, without space around it.
    pub(super) value: &'a str,
}

/// Takes the file apart without understanding more of it than it must, so that one bad record takes no other down.
pub(super) fn scan(bytes: &[u8]) -> Scan<'_> {
    let mut scanner = Scanner { bytes: bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes), at: 0 };
    let mut scan = Scan::default();
    if let Err(problem) = scanner.object(&mut scan) {
        scan.problem.get_or_insert(format!("{problem} at byte {}", scanner.at));
    }
    scan
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn object(&mut self, scan: &mut Scan<'a>) -> Result<(), &'static str> {
        self.expect(b'{', "no `{`")?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.space();
                let start = self.at;
                self.string()?;
                let key = &self.bytes[start..self.at];
                self.expect(b':', "no `:`")?;
                self.space();
                let start = self.at;
                self.value()?;
                let value = self.bytes[start..self.at].trim_ascii_end();
                match (json(key), json(value)) {
                    (Some(key), Some(value)) => scan.entries.push(Entry { key, value }),
                    _ => {
                        scan.problem.get_or_insert(format!("a record that is not JSON at byte {start}"));
                    }
                }
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return Err("no `,` or `}`"),
                }
            }
        }
        self.space();
        if self.at < self.bytes.len() { Err("more after the last `}`") } else { Ok(()) }
    }

    /// Up to the comma or bracket that ends it, minding strings and brackets only.
    fn value(&mut self) -> Result<(), &'static str> {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return Ok(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Err("the end of the file in the middle of a record")
    }

    fn string(&mut self) -> Result<(), &'static str> {
        if self.peek() != Some(b'"') {
            return Err("no `\"`");
        }
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
        Err("the end of the file in the middle of a string")
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), &'static str> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(problem);
        }
        self.at += 1;
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

fn json(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    serde_json::from_str::<&RawValue>(text).ok().map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> (Vec<&str>, bool) {
        let scan = scan(text.as_bytes());
        (scan.entries.iter().map(|entry| entry.value).collect(), scan.problem.is_none())
    }

    #[test]
    fn records_are_taken_as_they_stand() {
        assert_eq!(values("{}"), (vec![], true));
        assert_eq!(
            values("\u{feff} { \"a\" : {\"b\": \"}\\\"\"} , \"c\":[1, 2]\n}\n"),
            (vec!["{\"b\": \"}\\\"\"}", "[1, 2]"], true)
        );
        assert_eq!(values(r#"{"\ud800": {"code": "\ud800"}}"#), (vec![r#"{"code": "\ud800"}"#], true));
        assert_eq!(scan(br#"{"\ud800": 1}"#).entries[0].key, r#""\ud800""#);
    }

    #[test]
    fn what_is_whole_is_saved_from_a_broken_file() {
        assert_eq!(values(r#"{"a": {"x": 1,}, "b": {"x": 2}}"#), (vec![r#"{"x": 2}"#], false));
        assert_eq!(values(r#"{"a": {"x": 1}, "b": {"x": "#), (vec![r#"{"x": 1}"#], false));
        assert_eq!(values(r#"{"a": 1}}"#), (vec!["1"], false));
        for text in ["", "[]", "null", "{", "{\"a", "{\"a\":", "{\"a\": \"\\"] {
            assert_eq!(values(text), (vec![], false), "{text}");
        }
        let latin = [b"{\"a\": \"\xe9\", \"b\": 1}".as_slice()].concat();
        assert_eq!(scan(&latin).entries.len(), 1);
    }

    #[test]
    fn it_agrees_with_a_json_parser() {
        for text in [
            r#"{"a":1,"b":[{"c":"]"}]}"#,
            r#"{"a":1,}"#,
            r#"{,}"#,
            r#"{"a" 1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":}"#,
            r#"{"a":[1}}"#,
        ] {
            let parses = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok();
            assert_eq!(values(text).1, parses, "{text}");
        }
    }
}
