//! What several tools take as arguments, parsed and bounded at the edge.

use std::collections::BTreeMap;

use perennial_sdk::{Dependencies, Error, Limits, Permissions, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// The parts of a server that create and update share.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    /// The whole source of the server: it speaks MCP over standard input and output. Without it a working example starts.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// Packages from the language's registry: {"requests": ">=2.31"} or ["requests>=2.31"].
    #[serde(default)]
    #[schemars(with = "Option<DependenciesShape>")]
    pub(super) dependencies: Option<Dependencies>,
    /// Further source files: relative path → text.
    #[serde(default)]
    pub(super) files: Option<BTreeMap<String, String>>,
    /// What the server asks to reach. It is kept with the server; this version enforces nothing yet.
    #[serde(default)]
    #[schemars(with = "Option<PermissionsShape>")]
    pub(super) permissions: Option<Permissions>,
    /// How much it may use.
    #[serde(default)]
    #[schemars(with = "Option<LimitsShape>")]
    pub(super) limits: Option<Limits>,
}

const MOST_FILES: usize = 200;
const LONGEST_NAME: usize = 200;

impl Parts {
    /// # Errors
    /// `invalid` for empty or oversized code and for file paths that leave the server's folder.
    pub(super) fn checked(self, most_bytes: usize) -> Result<Self> {
        if self.code.as_ref().is_some_and(|code| code.trim().is_empty()) {
            return Err(Error::invalid("`code` is empty")
                .hint("leave `code` out to start from the language's own working example"));
        }
        let files = self.files.iter().flatten();
        let bytes =
            self.code.as_ref().map_or(0, String::len) + files.clone().map(|(_, text)| text.len()).sum::<usize>();
        if bytes > most_bytes {
            return Err(Error::invalid(format!("the source has {bytes} bytes, the limit is {most_bytes}"))
                .hint("large data belongs into a package or a file that the server reads"));
        }
        if files.clone().count() > MOST_FILES {
            return Err(Error::invalid(format!("more than {MOST_FILES} files")));
        }
        for (path, _) in files {
            let inside = !path.is_empty()
                && path.len() <= 200
                && !path.contains(['\\', '\0', ':'])
                && path.chars().all(|c| !c.is_control())
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !inside {
                let shown: String = path.chars().take(80).collect();
                return Err(Error::invalid(format!(
                    "the file path `{shown}` is not a path inside the server's folder"
                ))
                .hint("use relative paths with `/`, such as `lib/tools.py`"));
            }
        }
        Ok(self)
    }
}

/// A name that a person gave, without space around it.
///
/// # Errors
/// `invalid` when it is empty, too long, or holds characters that cannot be seen.
pub(super) fn name(text: &str) -> Result<String> {
    let name = text.trim();
    if name.is_empty() {
        return Err(Error::invalid("the name is empty").hint("give a name that tells what the server is for"));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(Error::invalid(format!("the name is longer than {LONGEST_NAME} characters")));
    }
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
    };
    if let Some(c) = name.chars().find(|c| invisible(*c)) {
        return Err(Error::invalid(format!("the name holds the invisible character U+{:04X}", c as u32))
            .hint("use visible characters on one line"));
    }
    Ok(name.to_owned())
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum DependenciesShape {
    Map(BTreeMap<String, String>),
    List(Vec<String>),
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct PermissionsShape {
    /// "none", "all", or a list of "host:port".
    network: Option<NetworkShape>,
    /// Folders that it may read.
    read: Option<Vec<String>>,
    /// Folders that it may write.
    write: Option<Vec<String>>,
    /// Names of environment variables that it gets.
    env: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum NetworkShape {
    Word(String),
    Hosts(Vec<String>),
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct LimitsShape {
    /// MiB of memory.
    memory_mb: Option<u64>,
    /// Processor cores.
    cpu: Option<f64>,
    /// Processes and threads.
    pids: Option<u64>,
    /// Open files.
    files: Option<u64>,
    /// Seconds that one call may take.
    call_timeout_s: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_visible_and_short() {
        assert_eq!(name("  Mon serveur / v1.0 🎯 ").unwrap(), "Mon serveur / v1.0 🎯");
        for bad in ["", " ", "a\nb", "a\u{202E}b", "a\u{200B}b", &"x".repeat(5_000_000)] {
            assert!(name(bad).is_err(), "{:?}", bad.chars().take(10).collect::<String>());
        }
    }

    #[test]
    fn files_stay_in_their_folder() {
        let parts = |path: &str| Parts { files: Some([(path.to_owned(), String::new())].into()), ..Parts::default() };
        for bad in ["../a", "/a", "a/../b", "C:\\a", "", "a//b", "a\0b", "./a"] {
            assert!(parts(bad).checked(100).is_err(), "{bad}");
        }
        assert!(parts("lib/a.py").checked(100).is_ok());
    }
}
