//! What a caller may say of a crate: a name, versions by cargo's grammar, and features in brackets.

use perennial_sdk::{Error, Result};
use semver::VersionReq;
use toml::{Table, Value};

use crate::dependency::{Dependencies, Dependency};

const MAX_CRATES: usize = 200;
const MAX_LENGTH: usize = 500;
const MAX_NAME: usize = 64;

/// Crates of the language itself.
const OWN: &[&str] = &["std", "core", "alloc", "proc_macro", "test"];

const HINT: &str = "name crates of crates.io with a version and, in brackets, features: `{\"serde\": \"1 [derive]\", \
                    \"tokio\": \"1.40 [rt, macros, -default]\"}` or `[\"serde@1 [derive]\"]`; paths, git repositories, \
                    URLs, other registries and options are not allowed";

/// Parses what a caller gave; the second part is what was changed on the way.
///
/// # Errors
/// `invalid`, naming the dependency, for whatever is more than a crate of the registry.
pub(crate) fn parse(given: &perennial_sdk::Dependencies) -> Result<(Dependencies, Vec<String>)> {
    let (mut dependencies, mut notes) = (Dependencies::new(), Vec::new());
    let mut add = |entry: &str, versions: Option<&str>| {
        let shown = match versions {
            Some(versions) if !versions.is_empty() => format!("{entry}: {versions}"),
            _ => entry.to_string(),
        };
        let (name, dependency) = one(entry, versions).map_err(|why| refusal(&shown, &why))?;
        if OWN.contains(&name.as_str()) {
            notes.push(format!("`{name}` is part of Rust and needs no dependency"));
        } else if dependencies.len() >= MAX_CRATES {
            return Err(refusal(&shown, &format!("is one of more than {MAX_CRATES}")));
        } else if dependencies.insert(name, dependency).is_some() {
            return Err(refusal(&shown, "is named twice"));
        }
        Ok(())
    };
    match given {
        perennial_sdk::Dependencies::Map(map) => {
            map.iter().try_for_each(|(name, versions)| add(name, Some(versions)))?;
        }
        perennial_sdk::Dependencies::List(list) => list.iter().try_for_each(|entry| add(entry, None))?,
    }
    Ok((dependencies, notes))
}

/// The value of a dependency in a manifest: a version, or a table of nothing but version and features.
pub(crate) fn from_manifest(value: &Value) -> Result<Dependency, String> {
    match value {
        Value::String(text) => Ok(Dependency { versions: versions(text)?, ..Dependency::any() }),
        Value::Table(table) => from_table(table),
        _ => Err("is no version".into()),
    }
}

/// A name that crates may have.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match text {
        "" => Err("has no name".into()),
        _ if text.len() > MAX_NAME => Err("has a name that is too long".into()),
        _ if !text.chars().all(fits) || !text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Err("has a name that no crate has".into())
        }
        _ => Ok(text.into()),
    }
}

fn one(entry: &str, value: Option<&str>) -> Result<(String, Dependency), String> {
    for text in [entry, value.unwrap_or_default()] {
        refuse_hostile(text)?;
    }
    let entry = entry.trim();
    let end = entry.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(entry.len());
    let (crate_name, rest) = entry.split_at(end);
    let crate_name = name(crate_name)?;
    let Some(value) = value else {
        return Ok((crate_name, from_entry(rest.trim())?));
    };
    let mut dependency = from_value(value.trim())?;
    if !rest.trim().is_empty() {
        let (versions, features) = brackets(rest.trim())?;
        if !versions.is_empty() {
            return Err("has a version in its name".into());
        }
        apply(&mut dependency, features)?;
    }
    Ok((crate_name, dependency))
}

/// What follows the name in a list: `@1 [derive]`, `[derive]@1`, `= "1"`, ` 1`.
fn from_entry(rest: &str) -> Result<Dependency, String> {
    if let Some(value) = rest.strip_prefix('=').map(str::trim)
        && value.starts_with(['"', '\'', '{'])
    {
        let line: Table = format!("x = {value}").parse().map_err(|_| "is not a line of a manifest".to_string())?;
        return from_manifest(&line["x"]);
    }
    let (features, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or("has a bracket that is never closed")?,
        None => ("", rest),
    };
    let mut dependency = from_value(rest.trim().trim_start_matches('@').trim())?;
    apply(&mut dependency, features)?;
    Ok(dependency)
}

/// The value in a map: `1 [derive]`, or what cargo would have there, `{ version = "1", features = ["derive"] }`.
fn from_value(value: &str) -> Result<Dependency, String> {
    if value.starts_with('{') {
        let line: Table = format!("x = {value}").parse().map_err(|_| "is not a table of a manifest".to_string())?;
        return from_manifest(&line["x"]);
    }
    let (text, features) = brackets(value)?;
    let mut dependency = Dependency { versions: versions(text)?, ..Dependency::any() };
    apply(&mut dependency, features)?;
    Ok(dependency)
}

/// Splits `1 [derive]` into `1` and `derive`.
fn brackets(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('[') {
        None => Ok((text, "")),
        Some((before, inside)) => match inside.trim_end().strip_suffix(']') {
            Some(features) => Ok((before.trim(), features)),
            None => Err("has a bracket that is never closed, or something behind it".into()),
        },
    }
}

fn apply(dependency: &mut Dependency, features: &str) -> Result<(), String> {
    for feature in features.split([',', ' ']).filter(|feature| !feature.is_empty()) {
        let feature = feature.trim_matches(['"', '\'']);
        if feature == "-default" {
            dependency.default_features = false;
            continue;
        }
        let fits = |c: char| c.is_alphanumeric() || "-_+./".contains(c);
        if !feature.starts_with(|c: char| c.is_alphanumeric() || c == '_') || !feature.chars().all(fits) {
            return Err("has a feature with a name that no feature has".into());
        }
        dependency.features.insert(feature.into());
    }
    Ok(())
}

fn from_table(table: &Table) -> Result<Dependency, String> {
    let mut dependency = Dependency::any();
    for (key, value) in table {
        match (key.as_str(), value) {
            ("version", Value::String(text)) => dependency.versions = versions(text)?,
            ("features", Value::Array(features)) => {
                for feature in features {
                    apply(&mut dependency, feature.as_str().ok_or("has a feature that is no text")?)?;
                }
            }
            ("default-features" | "default_features", Value::Boolean(on)) => dependency.default_features = *on,
            _ => return Err(format!("says `{}`, which is not allowed", key.escape_debug())),
        }
    }
    Ok(dependency)
}

/// Versions by cargo's grammar, with `latest` for any, and spaces where cargo wants commas.
fn versions(text: &str) -> Result<VersionReq, String> {
    let text = text.trim();
    if matches!(text, "" | "*" | "latest") {
        return Ok(VersionReq::STAR);
    }
    let text = text.strip_prefix('v').unwrap_or(text);
    VersionReq::parse(text)
        .or_else(|error| {
            let words = text.split_whitespace().collect::<Vec<_>>().join(", ");
            VersionReq::parse(&words).map_err(|_| error)
        })
        .map_err(|error| format!("is not a version: {error}"))
}

/// Whatever could be an option, a path, a URL or a second line. A feature may have a slash in it, nothing else.
fn refuse_hostile(text: &str) -> Result<(), String> {
    let outside = text.split(['[', '{']).next().unwrap_or_default();
    let why = if text.len() > MAX_LENGTH {
        "is too long"
    } else if text.chars().any(char::is_control) {
        "contains a control character"
    } else if text.trim_start().starts_with('-') || text.contains("--") {
        "is an option of the installer"
    } else if text.contains("://") || text.contains("git+") {
        "is a URL"
    } else if outside.contains(['/', '\\']) || text.trim_start().starts_with('.') {
        "is a path"
    } else if text.contains(['$', '`', '#']) {
        "contains a character that no requirement has"
    } else {
        return Ok(());
    };
    Err(why.into())
}

fn refusal(shown: &str, why: &str) -> Error {
    let shown: String = shown.chars().take(80).flat_map(char::escape_debug).collect();
    Error::invalid(format!("dependency `{shown}` {why}")).hint(HINT)
}

#[cfg(test)]
mod tests {
    use perennial_sdk::ErrorCode;
    use rstest::rstest;

    use super::*;

    fn shown(given: perennial_sdk::Dependencies) -> Result<String> {
        let (dependencies, _) = parse(&given)?;
        Ok(dependencies.iter().map(|(name, dependency)| format!("{name} = {dependency}")).collect())
    }

    fn map(name: &str, value: &str) -> Result<String> {
        shown(perennial_sdk::Dependencies::Map([(name.to_string(), value.to_string())].into_iter().collect()))
    }

    fn list(entry: &str) -> Result<String> {
        shown(perennial_sdk::Dependencies::List(vec![entry.into()]))
    }

    #[rstest]
    #[case("serde", "", r#"serde = { version = "*" }"#)]
    #[case("serde", "latest", r#"serde = { version = "*" }"#)]
    #[case("serde", "1", r#"serde = { version = "^1" }"#)]
    #[case("serde", "v1.0.2", r#"serde = { version = "^1.0.2" }"#)]
    #[case("serde", ">=1.0, <1.5", r#"serde = { version = ">=1.0, <1.5" }"#)]
    #[case("serde", ">=1.0 <1.5", r#"serde = { version = ">=1.0, <1.5" }"#)]
    #[case("serde", "=1.0.200", r#"serde = { version = "=1.0.200" }"#)]
    #[case("serde", "1.*", r#"serde = { version = "1.*" }"#)]
    #[case("serde", "1 [derive, rc]", r#"serde = { version = "^1", features = ["derive", "rc"] }"#)]
    #[case("serde", "[derive]", r#"serde = { version = "*", features = ["derive"] }"#)]
    #[case("tokio[full]", "1", r#"tokio = { version = "^1", features = ["full"] }"#)]
    #[case("tokio", "1 [-default, rt]", r#"tokio = { version = "^1", features = ["rt"], default-features = false }"#)]
    #[case("a", "1 [serde?/rc]", "")]
    #[case("a", "1 [serde/rc]", r#"a = { version = "^1", features = ["serde/rc"] }"#)]
    #[case(
        "serde",
        r#"{ version = "1", features = ["derive"], default-features = false }"#,
        r#"serde = { version = "^1", features = ["derive"], default-features = false }"#
    )]
    #[case("std", "*", "")]
    fn maps(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
        assert_eq!(map(name, value).unwrap_or_default(), expected);
    }

    #[rstest]
    #[case("serde", r#"serde = { version = "*" }"#)]
    #[case("serde@1", r#"serde = { version = "^1" }"#)]
    #[case("serde 1.0", r#"serde = { version = "^1.0" }"#)]
    #[case("serde >= 1.0", r#"serde = { version = ">=1.0" }"#)]
    #[case("serde=1.0.2", r#"serde = { version = "=1.0.2" }"#)]
    #[case("serde = \"1\"", r#"serde = { version = "^1" }"#)]
    #[case("serde@1 [derive]", r#"serde = { version = "^1", features = ["derive"] }"#)]
    #[case("serde[derive]@1", r#"serde = { version = "^1", features = ["derive"] }"#)]
    #[case(
        r#"serde = { version = "1", features = ["derive"] }"#,
        r#"serde = { version = "^1", features = ["derive"] }"#
    )]
    fn lists(#[case] entry: &str, #[case] expected: &str) {
        assert_eq!(list(entry).unwrap(), expected);
    }

    #[rstest]
    #[case("serde --features derive")]
    #[case("serde@1 --git https://example.com/a")]
    #[case("--git=https://example.com/a")]
    #[case("--path=/etc")]
    #[case("serde@https://example.com/a")]
    #[case("git+ssh://git@example.com/a")]
    #[case("./here")]
    #[case("../there")]
    #[case("/etc/passwd")]
    #[case("C:\\a")]
    #[case("serde\n[dependencies.a]")]
    #[case("serde = { path = \"there\" }")]
    #[case("serde = { git = \"there\" }")]
    #[case("serde = { version = \"1\", registry = \"ours\" }")]
    #[case("serde = { version = \"1\", package = \"other\" }")]
    #[case("serde = { version = \"1\" }, a = { path = \"b\" }")]
    #[case("serde = \"1\"\"")]
    #[case("serde@1 [derive")]
    #[case("serde@1 [derive] x")]
    #[case("serde@1 [\u{202e}]")]
    #[case("serde@one")]
    #[case("1serde")]
    #[case("sérde")]
    #[case("@serde/derive")]
    fn anything_else_is_refused(#[case] entry: &str) {
        let error = list(entry).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains('`') && error.hint.is_some() && !error.message.contains('\n'), "{error:?}");
    }

    #[test]
    fn a_crate_cannot_be_named_twice() {
        let list = perennial_sdk::Dependencies::List(vec!["serde".into(), "serde@1".into()]);
        assert!(parse(&list).unwrap_err().message.contains("twice"));
    }
}
