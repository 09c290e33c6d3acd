//! What can be read off Python source without an interpreter.

/// The lines of a source that are code: comments, blank lines and the insides of triple-quoted strings are left out.
///
/// It reads no further grammar: a line of a multi-line string in single quotes, which Python does not have, cannot fool
/// it, and whatever it gets wrong costs an unneeded package or a missing one, never more.
pub(crate) fn code_lines(source: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<&str> = None;
    for line in source.trim_start_matches('\u{feff}').split(['\n', '\r']) {
        let mut code = String::new();
        let mut rest = line;
        loop {
            match open {
                Some(quotes) => match rest.split_once(quotes) {
                    Some((_, after)) => (open, rest) = (None, after),
                    None => break,
                },
                None => match first_token(rest) {
                    Token::Quotes(at, quotes) => {
                        code.push_str(&rest[..at]);
                        (open, rest) = (Some(quotes), &rest[at + 3..]);
                    }
                    Token::End(at) => {
                        code.push_str(&rest[..at]);
                        break;
                    }
                },
            }
        }
        if !code.trim().is_empty() {
            lines.push(code);
        }
    }
    lines
}

/// Every module that a source imports absolutely, with its dots: `mcp.server.fastmcp`.
pub(crate) fn imports(lines: &[String]) -> Vec<String> {
    let mut modules = Vec::new();
    for statement in lines.iter().flat_map(|line| line.split(';')) {
        let mut words = statement.split_whitespace();
        match words.next() {
            Some("import") => {
                let names = statement.trim_start().trim_start_matches("import").split(',');
                modules.extend(names.filter_map(|name| name.split_whitespace().next().map(str::to_string)));
            }
            Some("from") => {
                let (Some(module), Some("import")) = (words.next(), words.next()) else { continue };
                modules.push(module.to_string());
                modules.extend(imported_names(words).map(|name| format!("{module}.{name}")));
            }
            _ => {}
        }
    }
    modules.retain(|module| !module.starts_with('.'));
    modules
}

/// The names after `import`, of which each may be a submodule.
fn imported_names<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let rest = words.collect::<Vec<_>>().join(" ");
    let names: Vec<String> = rest
        .split(',')
        .filter_map(|name| name.trim_matches(['(', ')', ' ']).split(' ').next().map(str::to_string))
        .filter(|name| !name.is_empty())
        .collect();
    names.into_iter()
}

enum Token {
    Quotes(usize, &'static str),
    End(usize),
}

/// Where the code of a line stops: at triple quotes, a comment, or its end. Simple strings are stepped over.
fn first_token(line: &str) -> Token {
    let bytes = line.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => return Token::End(at),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => return Token::Quotes(at, "\"\"\""),
            b'\'' if bytes[at..].starts_with(b"'''") => return Token::Quotes(at, "'''"),
            quote @ (b'"' | b'\'') => at = end_of_string(bytes, at + 1, quote),
            _ => at += 1,
        }
    }
    Token::End(line.len())
}

fn end_of_string(bytes: &[u8], mut at: usize, quote: u8) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("import mcp", &["mcp"])]
    #[case("import os, mcp.types as types", &["os", "mcp.types"])]
    #[case("from mcp.server.fastmcp import FastMCP", &["mcp.server.fastmcp", "mcp.server.fastmcp.FastMCP"])]
    #[case("from mcp.server import fastmcp, Server as S", &["mcp.server", "mcp.server.fastmcp", "mcp.server.Server"])]
    #[case("try:\n    import mcp\nexcept ImportError: import sys", &["mcp"])]
    #[case("# import mcp\nx = 'import mcp'", &[])]
    #[case("'''\nimport mcp\n'''\nimport os", &["os"])]
    #[case("\"\"\"import mcp\"\"\"; import os", &["os"])]
    #[case("x = \"it's # not\"; import os", &["os"])]
    #[case("x = '\\''; import os  # import mcp", &["os"])]
    #[case("from . import a\nfrom .b import c", &[])]
    #[case("\u{feff}import mcp\r\nimport os\r\n", &["mcp", "os"])]
    #[case("'''never closed\nimport mcp", &[])]
    fn finds(#[case] source: &str, #[case] modules: &[&str]) {
        assert_eq!(imports(&code_lines(source)), modules);
    }
}
