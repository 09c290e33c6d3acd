//! Syntax errors as people and models can use them: where, what, and the line itself.

use oxc_diagnostics::OxcDiagnostic;
use perennial_sdk::Error;

/// Characters of a source line that are shown.
const MAX_LINE: usize = 160;

/// Refuses `path` for what the parser found in `text`.
pub(crate) fn refusal(path: &str, text: &str, diagnostic: &OxcDiagnostic) -> Error {
    let offset = diagnostic.labels.iter().flatten().map(|label| label.offset()).next();
    // the transformer was written as part of another tool
    let message = diagnostic.message.split(" by Babel").next().unwrap_or_default();
    let mut error = at(path, text, offset, &lowered(message));
    error.hint = diagnostic.help.as_ref().map(ToString::to_string);
    error
}

/// As a part of a sentence.
fn lowered(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some('a'..='z')) => first.to_lowercase().chain(chars).collect(),
        _ => message.into(),
    }
}

/// Refuses `path` for what is at the byte `offset` of `text`.
pub(crate) fn at(path: &str, text: &str, offset: Option<usize>, what: &str) -> Error {
    let what: String = what.trim_end_matches('.').chars().flat_map(char::escape_debug).collect();
    let what = what.replace("\\'", "'").replace("\\\"", "\"");
    let Some(offset) = offset else { return Error::invalid(format!("`{path}`: {what}")) };
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |feed| feed + 1);
    let column = before[start..].chars().count() + 1;
    let shown: String = text[start..].chars().take_while(|c| !matches!(c, '\n' | '\r')).collect();
    let mut error = Error::invalid(format!("`{path}:{line}:{column}`: {what}"));
    let first = column.saturating_sub(MAX_LINE / 2);
    let printable = |c: char| if c == '\t' || c.is_control() { ' ' } else { c };
    let window: String = shown.chars().skip(first).take(MAX_LINE).map(printable).collect();
    let gutter = " ".repeat(line.to_string().len());
    let caret = " ".repeat(column - 1 - first.min(column - 1));
    error.source.push(format!("\n  {line} | {window}\n  {gutter} | {caret}^"));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_the_place() {
        let error = at("main.ts", "const a = 1;\nconst é = {;\n", Some(25), "Unexpected token.");
        assert_eq!(error.to_string(), "`main.ts:2:12`: Unexpected token: \n  2 | const é = {;\n    |            ^");
        assert_eq!(at("a.js", "", Some(0), "x").message, "`a.js:1:1`: x");
        assert_eq!(at("a.js", "", None, "x").message, "`a.js`: x");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = "x".repeat(10_000);
        let error = at("a.js", &text, Some(5_000), "x");
        assert!(error.source[0].len() < 3 * MAX_LINE, "{error}");
    }
}
