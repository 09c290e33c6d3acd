use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use perennial_sdk::{CommandLine, Error, Result, Toolchain};

/// What the names in braces stand for.
///
/// Only command lines and paths of a plan are expanded, never the text of a file: what a user wrote stays as it is.
#[derive(Debug, Clone)]
pub(super) struct Placeholders {
    values: BTreeMap<String, String>,
}

impl Placeholders {
    /// The programs of a toolchain.
    pub(super) fn new(toolchain: &Toolchain) -> Result<Self> {
        let mut places = Self { values: BTreeMap::new() };
        for (name, tool) in &toolchain.tools {
            places.set(name, &tool.path)?;
        }
        Ok(places)
    }

    pub(super) fn set(&mut self, name: &str, path: &Path) -> Result<()> {
        let absolute = std::path::absolute(path)?;
        let text = absolute
            .to_str()
            .ok_or_else(|| Error::unsupported(format!("the path `{}` is not valid UTF-8", path.display())))?;
        self.values.insert(name.into(), text.into());
        Ok(())
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// What these names stand for, as far as they stand for anything.
    pub(super) fn folders(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().filter_map(|name| self.values.get(*name)).map(PathBuf::from).collect()
    }

    /// Replaces every `{name}`; other braces stay.
    pub(super) fn expand(&self, text: &str) -> Result<String> {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            expanded.push_str(&rest[..start]);
            rest = &rest[start..];
            match name(rest) {
                Some(name) => {
                    let value = self.values.get(name).ok_or_else(|| {
                        Error::internal(format!("the plan says `{{{name}}}` where there is no such thing"))
                    })?;
                    expanded.push_str(value);
                    rest = &rest[name.len() + 2..];
                }
                None => {
                    expanded.push('{');
                    rest = &rest[1..];
                }
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The program, which must be an absolute path by now, and the rest of a command.
    pub(super) fn command(&self, command: &CommandLine) -> Result<(PathBuf, Vec<String>, BTreeMap<String, String>)> {
        let program = PathBuf::from(self.expand(&command.program)?);
        if !program.is_absolute() {
            return Err(Error::internal(format!("the plan runs `{}`, which is no path", program.display())));
        }
        let args = command.args.iter().map(|arg| self.expand(arg)).collect::<Result<_>>()?;
        let env = command.env.iter().map(|(name, value)| Ok((name.clone(), self.expand(value)?)));
        Ok((program, args, env.collect::<Result<_>>()?))
    }
}

/// The name in a placeholder that a text starts with.
fn name(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn places() -> Placeholders {
        let mut places = Placeholders { values: BTreeMap::new() };
        places.set("env", Path::new("/cache/{work}/e")).unwrap();
        places.set("work", Path::new("/w")).unwrap();
        places
    }

    #[rstest]
    #[case("{env}/bin/python", "/cache/{work}/e/bin/python")]
    #[case("--a={work} {work}", "--a=/w /w")]
    #[case("{\"a\": 1}", "{\"a\": 1}")]
    #[case("{}", "{}")]
    #[case("{{work}", "{/w")]
    #[case("{Env}", "{Env}")]
    #[case("{env", "{env")]
    fn expands(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(places().expand(text).unwrap(), expected);
    }

    #[test]
    fn an_unknown_name_is_a_defect_of_the_plan() {
        assert!(places().expand("{server}/main.py").is_err());
        assert!(places().command(&CommandLine::new("python")).is_err());
    }
}
