use std::collections::BTreeMap;

use crate::{Dependencies, Error, Result};

const MOST: usize = 200;
const LONGEST: usize = 214;

impl Dependencies {
    /// Every package with what is required of its version, `*` where nothing is: both forms, checked by a grammar that is
    /// narrow enough for any ecosystem. A name is made of letters, digits, `.`, `_` and `-`, with an `@scope/` or without; a
    /// requirement of these, of spaces, and of `^ ~ < > = ! * | , +`. So neither can be an option, a path or a URL.
    ///
    /// A runtime whose ecosystem has a grammar of its own parses by that.
    ///
    /// # Errors
    /// `invalid` for whatever does not fit, and for a name that is there twice.
    pub fn packages(&self) -> Result<BTreeMap<String, String>> {
        let given: Vec<(&str, &str)> = match self {
            Self::Map(map) => map.iter().map(|(name, range)| (name.as_str(), range.as_str())).collect(),
            Self::List(list) => list.iter().map(|entry| split(entry)).collect(),
        };
        if given.len() > MOST {
            return Err(Error::invalid(format!("more than {MOST} dependencies")).hint("ask for fewer packages"));
        }
        let mut packages = BTreeMap::new();
        for (name, range) in given {
            let (name, range) = (name.trim_matches(' '), range.trim_matches(' '));
            if !is_name(name) || !is_range(range) {
                return Err(refusal(name, range, "is no package with versions"));
            }
            let range = if range.is_empty() { "*" } else { range };
            if packages.insert(name.to_owned(), range.to_owned()).is_some() {
                return Err(refusal(name, "", "is there twice"));
            }
        }
        Ok(packages)
    }
}

/// `name`, `name@range`, `name ^1`, `name>=1`
fn split(entry: &str) -> (&str, &str) {
    let entry = entry.trim_matches(' ');
    let end = entry.char_indices().skip(1).find(|(_, c)| "@ <>=^~!".contains(*c)).map_or(entry.len(), |(at, _)| at);
    let (name, range) = entry.split_at(end);
    (name, range.strip_prefix('@').unwrap_or(range))
}

fn is_name(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let scoped = name.strip_prefix('@').map(|name| name.split_once('/'));
    name.len() <= LONGEST
        && match scoped {
            Some(parts) => parts.is_some_and(|(scope, name)| is_word(scope) && is_word(name)),
            None => is_word(name),
        }
}

fn is_range(range: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._- ^~<>=!*|,+".contains(&byte);
    range.len() <= LONGEST && !range.starts_with(['-', '.']) && range.bytes().all(fits)
}

fn refusal(name: &str, range: &str, why: &str) -> Error {
    let shown = if range.is_empty() { name.to_owned() } else { format!("{name}@{range}") };
    let shown: String = shown.chars().take(80).flat_map(char::escape_debug).collect();
    Error::invalid(format!("the dependency `{shown}` {why}")).hint(
        "name packages of the registry with a version or a range, such as `{\"name\": \"^1.2\"}` or `[\"name@^1.2\"]`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Result<Vec<(String, String)>> {
        let entries = entries.iter().map(ToString::to_string).collect();
        Ok(Dependencies::List(entries).packages()?.into_iter().collect())
    }

    #[test]
    fn both_forms_mean_the_same() {
        let pairs = [("@scope/a.b", "^1.2 || 3"), ("c_d", "*"), ("e", ">=1,<2"), ("f", "1.0.0-rc.1")];
        let pairs = pairs.map(|(name, range)| (name.to_owned(), range.to_owned())).to_vec();
        assert_eq!(list(&["f@1.0.0-rc.1", "e>=1,<2", " c_d ", "@scope/a.b ^1.2 || 3"]).unwrap(), pairs);
        let map = Dependencies::Map(pairs.iter().cloned().collect()).packages().unwrap();
        assert_eq!(map.into_iter().collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn what_is_more_than_a_package_is_refused() {
        for odd in
            ["-r x", "a@-x", "a@npm:b", "a b/c", "../a", "@a", "@a/b/c", "a@..", "", "a\n", "a@1\0", "é", "{env}"]
        {
            let error = list(&[odd]).unwrap_err();
            assert!(error.hint.is_some() && !error.message.contains(['\n', '\0']), "{odd:?}: {error:?}");
        }
        assert_eq!(list(&["a", "a@1"]).unwrap_err().message, "the dependency `a` is there twice");
    }
}
