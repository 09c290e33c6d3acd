//! What can be read off Rust source without a compiler.

/// Whether any of the sources names this crate in a path or an import, and none has a module of that name.
pub(crate) fn uses(sources: &[String], name: &str) -> bool {
    let declared = format!("mod {name}");
    let declares = |code: &String| positions(code, &declared).next().is_some();
    sources.iter().any(|code| imports(code, name)) && !sources.iter().any(declares)
}

fn imports(code: &str, name: &str) -> bool {
    positions(code, name).any(|at| {
        let (before, after) = (code[..at].trim_end(), code[at + name.len()..].trim_start());
        let imported = before.ends_with("use") || before.ends_with("extern crate");
        after.starts_with("::") && !before.ends_with("::") || imported && after.starts_with([';', ' ', 'a'])
    })
}

/// Where a word stands by itself.
fn positions<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

/// Source without comments and without what is in strings.
///
/// Whatever it gets wrong costs an unneeded crate or a missing one, never more.
pub(crate) fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            end_of_comment(rest)
        } else if rest.starts_with('"') {
            end_of_string(rest)
        } else if is_raw_string(rest) && !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            end_of_raw_string(rest)
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else {
            0
        };
        match skipped {
            0 => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
            length => {
                code.push(' ');
                rest = &rest[length..];
            }
        }
    }
    code
}

/// Comments nest.
fn end_of_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_raw_string(text: &str) -> bool {
    text.strip_prefix('r').is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
}

fn end_of_raw_string(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let (opening, closing) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
    text[opening..].find(&closing).map_or(text.len(), |at| opening + at + closing.len())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("use serde_json::Value;", true)]
    #[case("use serde_json;", true)]
    #[case("use serde_json as json;", true)]
    #[case("extern crate serde_json;", true)]
    #[case("fn f() { serde_json::json!({}) }", true)]
    #[case("#[derive(serde_json::X)]", true)]
    #[case("use {std::io, serde_json::json};", true)]
    #[case("use crate::serde_json::a;", false)]
    #[case("mod serde_json;\nuse serde_json::a;", false)]
    #[case("let serde_json = 1;", false)]
    #[case("use my_serde_json::a;", false)]
    #[case("// use serde_json::a;", false)]
    #[case("/* /* */ serde_json::a */", false)]
    #[case("\"serde_json::a \\\" serde_json::a\"", false)]
    #[case("r#\"serde_json::a \" \"#", false)]
    #[case("let quote = '\"'; serde_json::a", true)]
    #[case("\"never closed serde_json::a", false)]
    #[case("r#\"never closed", false)]
    #[case("/* é never closed", false)]
    fn finds(#[case] source: &str, #[case] found: bool) {
        assert_eq!(uses(&[code_of(source)], "serde_json"), found);
    }
}
