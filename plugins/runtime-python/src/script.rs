//! Inline script metadata, <https://peps.python.org/pep-0723/>.

use perennial_sdk::{Error, Result};
use serde::Deserialize;

/// What a `# /// script` block says.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Script {
    /// Requirements in PEP 508's grammar.
    pub(crate) dependencies: Vec<String>,
    /// Specifiers in PEP 440's.
    pub(crate) requires_python: Option<String>,
}

/// Reads the block, if there is one.
///
/// # Errors
/// `invalid` when its contents are no TOML, or there are two.
pub(crate) fn parse(source: &str) -> Result<Script> {
    let mut blocks = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim_end() != "# /// script" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| line.starts_with('#')).collect();
        // The block ends at the last `# ///`: its contents may hold such lines too.
        if let Some(end) = block.iter().rposition(|line| line.trim_end() == "# ///") {
            let lines = block[..end].iter().map(|line| line.trim_start_matches('#').strip_prefix(' ').unwrap_or(""));
            blocks.push(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    match blocks.as_slice() {
        [] => Ok(Script::default()),
        [block] => toml::from_str(block).map_err(|error| {
            Error::invalid(format!("the `# /// script` block is not valid TOML: {}", error.message()))
                .hint("correct the block, or remove it and pass `dependencies` instead")
        }),
        _ => Err(Error::invalid("the code has more than one `# /// script` block").hint("leave one of them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_example_of_the_pep() {
        let source = "#!/usr/bin/env python3\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n\
                      #   \"requests<3\",\n#   \"rich\",\n# ]\n#\n# [tool.x]\n# a = 1\n# ///\n\nimport requests\n";
        let script = parse(source).unwrap();
        assert_eq!(script.dependencies, ["requests<3", "rich"]);
        assert_eq!(script.requires_python.as_deref(), Some(">=3.11"));
    }

    #[test]
    fn a_block_that_is_never_closed_is_none() {
        assert_eq!(parse("# /// script\n# dependencies = [\"a\"]\nimport a").unwrap(), Script::default());
    }

    #[test]
    fn broken_toml_is_said() {
        let error = parse("# /// script\n# dependencies = [\n# ///\n").unwrap_err();
        assert!(error.message.contains("TOML"), "{error}");
    }
}
