//! What an installer said, fit to be shown.

use perennial_sdk::Hint;

/// Lines that are kept: enough for a resolver's explanation, short enough for a model's context.
const MAX_LINES: usize = 25;

/// Lines of a compiler's output that are kept.
const MAX_COMPLAINTS: usize = 80;

/// Characters of a line; pip lists every version that it ignored in one.
const MAX_LINE: usize = 400;

/// The last lines, without empty ones, overlong ones cut, credentials in URLs masked.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(line).collect();
    lines[lines.len().saturating_sub(MAX_LINES)..].join("\n")
}

/// What a compiler said, from the first line on, since the later ones often follow from it, and without the lines that
/// begin with one of `noise`. Line breaks and indentation stay: they point at the code.
pub(super) fn complaints(text: &str, noise: &[String]) -> String {
    let unwanted = |line: &&str| noise.iter().any(|beginning| line.starts_with(beginning.as_str()));
    let lines: Vec<String> = text.lines().map(str::trim_end).filter(|line| !unwanted(line)).map(line).collect();
    let shown = lines[..lines.len().min(MAX_COMPLAINTS)].join("\n");
    match lines.len().saturating_sub(MAX_COMPLAINTS) {
        0 => shown.trim_matches('\n').into(),
        more => format!("{}\n… and {more} lines more", shown.trim_matches('\n')),
    }
}

/// One line, fit to be shown.
pub(super) fn line(text: &str) -> String {
    // masked before it is cut: a secret without the `@` behind it would not be recognised
    let masked = mask(&text.chars().filter(|c| !c.is_control()).collect::<String>());
    let shown: String = masked.chars().take(MAX_LINE).collect();
    let cut = if masked.chars().nth(MAX_LINE).is_some() { "…" } else { "" };
    shown + cut
}

/// The explanation of the first known error text; the order is the runtime's.
pub(super) fn hint<'a>(hints: &'a [Hint], text: &str) -> Option<&'a str> {
    hints.iter().find(|hint| text.contains(&hint.when)).map(|hint| hint.hint.as_str())
}

/// `https://user:secret@host/` → `https://***@host/`
fn mask(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        masked.push_str(before);
        let end = after.find(['/', ' ', '"', '\'', '`']).unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rfind('@') {
            Some(at) => {
                masked.push_str("***");
                masked.push_str(&authority[at..]);
            }
            None => masked.push_str(authority),
        }
        rest = &after[end..];
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked() {
        assert_eq!(
            tail("looking at https://me:s3cret@index.example.com/simple/ and http://a.b\n\n"),
            "looking at https://***@index.example.com/simple/ and http://a.b"
        );
        assert_eq!(line("https://token@host"), "https://***@host");
    }

    #[test]
    fn the_first_complaints_are_kept() {
        let text: String = (0..100).map(|number| format!("  line {number}\n")).collect();
        let shown = complaints(&format!("error: aborting\n{text}"), &["error: aborting".into()]);
        assert!(shown.starts_with("  line 0\n") && shown.ends_with("  line 79\n… and 20 lines more"), "{shown}");
        assert_eq!(complaints("\n  a\n\nb\n\nFor more, see c\n", &["For more".into()]), "  a\n\nb");
    }

    #[test]
    fn only_the_end_is_kept() {
        let text: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let tail = tail(&text);
        assert_eq!(tail.lines().count(), MAX_LINES);
        assert!(tail.ends_with("line 99"));
        assert!(line(&"x".repeat(10_000)).chars().count() <= MAX_LINE + 1);
    }
}
