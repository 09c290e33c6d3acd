//! Puts what serde says into words for people.

use super::ConfigError;

/// The error for what serde said about the key `name`.
pub(super) fn explain(message: &str, name: Option<&str>) -> ConfigError {
    let message = message.trim_end();
    let quoted: Vec<_> = message.split('`').skip(1).step_by(2).collect();
    let subject = name.map_or_else(|| "the file".to_owned(), |name| format!("`{name}`"));
    if let (true, [key, known @ ..]) = (message.starts_with("unknown field"), quoted.as_slice()) {
        let table = name.and_then(|name| name.strip_suffix(key)?.strip_suffix('.'));
        let place = table.map(|table| format!(" in `[{table}]`")).unwrap_or_default();
        return ConfigError::new(format!("unknown key `{key}`{place}")).with_help(suggestion(key, known, "keys here"));
    }
    if let (true, [value, known @ ..]) = (message.starts_with("unknown variant"), quoted.as_slice()) {
        return ConfigError::new(format!("{subject} cannot be \"{value}\""))
            .with_help(suggestion(value, known, "values"));
    }
    if let (true, [key]) = (message.starts_with("missing field"), quoted.as_slice()) {
        return ConfigError::new(format!("{subject} lacks the key `{key}`"));
    }
    let unfit = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match unfit.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            ConfigError::new(format!("{subject} takes {}, not {}", plain(expected), plain(found)))
        }
        None => ConfigError::new(format!("{subject}: {message}")),
    }
}

/// The words of this file format for those of serde and Rust.
fn plain(words: &str) -> String {
    let plain = match words {
        "a sequence" | "sequence" => "a list",
        "a map" | "map" => "a table",
        "a string" | "string" => "a text",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" | "boolean" => "true or false",
        words => words,
    };
    let number = plain.strip_prefix("floating point `").or_else(|| plain.strip_prefix("integer `"));
    match number.and_then(|number| number.strip_suffix('`')) {
        Some(number) => number.to_owned(),
        None => plain.replace("string \"", "\""),
    }
}

/// The unknown key of serde's message, when it is about one.
pub(super) fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// What was probably meant by `word`, or else all that there is.
pub(crate) fn suggestion(word: &str, known: &[&str], what: &str) -> String {
    if let Some(meant) = closest(word, known) {
        return format!("did you mean `{meant}`?");
    }
    match known {
        [] => String::new(),
        known => format!("{what}: {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// The name that `word` most likely is a slip of.
pub(super) fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase());
    let (distance, name) = known.iter().map(|name| (distance(name), *name)).min()?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(name)
}
