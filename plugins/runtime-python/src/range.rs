//! npm's way to say which versions will do, in the terms of PEP 440.

use perennial_sdk::{Error, Result};

/// The PEP 440 specifiers that mean the same as `range`; those that are PEP 440 already come back as they are.
///
/// An empty range, `*` and `latest` mean any version; a bare version means just that one, and a bare `1` or `1.2` every
/// version that starts with it.
pub(crate) fn to_specifiers(range: &str) -> Result<String> {
    let range = range.trim();
    if matches!(range, "" | "*" | "latest" | "x" | "any") {
        return Ok(String::new());
    }
    if range.contains("||") {
        return Err(Error::invalid(format!("alternatives in `{range}` cannot be expressed for Python"))
            .hint("name one range, such as `>=1.2,<3`"));
    }
    if let Some((low, high)) = range.split_once(" - ") {
        return Ok(format!(">={},{}", bare(low)?, at_most(high)?));
    }
    let mut specifiers = Vec::new();
    for part in parts(range) {
        specifiers.extend(one(&part)?);
    }
    Ok(specifiers.join(","))
}

/// Splits at commas and at spaces that do not follow an operator: `>= 1.2 < 2` has two parts.
fn parts(range: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in range.split([',', ' ']).filter(|word| !word.is_empty()) {
        match parts.last_mut() {
            Some(last) if last.ends_with(['=', '<', '>', '~', '^', '!']) => last.push_str(word),
            _ => parts.push(word.to_string()),
        }
    }
    parts
}

fn one(part: &str) -> Result<Vec<String>> {
    let between = |low: &str, high: String| vec![format!(">={low}"), format!("<{high}")];
    if let Some(version) = part.strip_prefix('^') {
        let low = bare(version)?;
        return Ok(between(low, below_caret(low)?));
    }
    if part.starts_with("~=") || part.starts_with("==") || part.starts_with("!=") {
        return Ok(vec![part.into()]);
    }
    if let Some(version) = part.strip_prefix("~>").or_else(|| part.strip_prefix('~')) {
        let low = bare(version)?;
        let numbers = numbers(low)?;
        return Ok(between(low, raised(&numbers, numbers.len().min(2))));
    }
    if let Some(version) = part.strip_prefix('=') {
        return Ok(vec![format!("=={}", bare(version)?)]);
    }
    if part.starts_with(['<', '>']) {
        return Ok(vec![part.into()]);
    }
    let version = part.strip_prefix('v').unwrap_or(part);
    if let Some(prefix) = version.split_once(".x").or_else(|| version.split_once(".*")).map(|(prefix, _)| prefix) {
        return Ok(vec![format!("=={prefix}.*")]);
    }
    let exact = !version.bytes().all(|b| b.is_ascii_digit() || b == b'.') || version.matches('.').count() >= 2;
    Ok(vec![if exact { format!("=={version}") } else { format!("=={version}.*") }])
}

/// A version without npm's `v` and `.x`.
fn bare(version: &str) -> Result<&str> {
    let version = version.trim();
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.trim_end_matches(".x").trim_end_matches(".*");
    numbers(version)?;
    Ok(version)
}

fn numbers(version: &str) -> Result<Vec<u64>> {
    let digits = version.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default();
    let numbers: Option<Vec<u64>> = digits.trim_end_matches('.').split('.').map(|part| part.parse().ok()).collect();
    numbers.ok_or_else(|| Error::invalid(format!("`{version}` is not a version")))
}

/// The first version beyond those that share the first `keep` numbers: (1.2.3, 2) → 1.3.
fn raised(numbers: &[u64], keep: usize) -> String {
    let mut numbers = numbers[..keep].to_vec();
    if let Some(last) = numbers.last_mut() {
        *last = last.saturating_add(1);
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// npm's caret lets everything right of the first number that is not zero grow.
fn below_caret(version: &str) -> Result<String> {
    let numbers = numbers(version)?;
    let keep = numbers.iter().position(|number| *number != 0).map_or(numbers.len(), |first| first + 1);
    Ok(raised(&numbers, keep))
}

fn at_most(version: &str) -> Result<String> {
    let version = bare(version)?;
    let numbers = numbers(version)?;
    Ok(if numbers.len() < 3 { format!("<{}", raised(&numbers, numbers.len())) } else { format!("<={version}") })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", "")]
    #[case("*", "")]
    #[case("latest", "")]
    #[case("^2.31", ">=2.31,<3")]
    #[case("^0.2.3", ">=0.2.3,<0.3")]
    #[case("^0.0.3", ">=0.0.3,<0.0.4")]
    #[case("^0", ">=0,<1")]
    #[case("^1.x", ">=1,<2")]
    #[case("~1.2", ">=1.2,<1.3")]
    #[case("~1.2.3", ">=1.2.3,<1.3")]
    #[case("~1", ">=1,<2")]
    #[case("~=1.2", "~=1.2")]
    #[case("1.x", "==1.*")]
    #[case("1.2.*", "==1.2.*")]
    #[case("2.31.0", "==2.31.0")]
    #[case("v2.31.0", "==2.31.0")]
    #[case("=2.31.0", "==2.31.0")]
    #[case("2024.1", "==2024.1.*")]
    #[case("2.0.0rc1", "==2.0.0rc1")]
    #[case(">=1.2 <2", ">=1.2,<2")]
    #[case(">= 1.2, < 2", ">=1.2,<2")]
    #[case("1.2 - 2.3", ">=1.2,<2.4")]
    #[case("1.2.0 - 2.3.4", ">=1.2.0,<=2.3.4")]
    fn means(#[case] npm: &str, #[case] python: &str) {
        assert_eq!(to_specifiers(npm).unwrap(), python);
    }

    #[rstest]
    #[case("1 || 2")]
    #[case("^")]
    #[case("~next")]
    #[case("^99999999999999999999999")]
    fn refused(#[case] npm: &str) {
        assert!(to_specifiers(npm).is_err());
    }
}
