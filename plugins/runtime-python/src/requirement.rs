use std::{collections::BTreeMap, str::FromStr};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{Requirement, VerbatimUrl, VersionOrUrl};
use perennial_sdk::prelude::*;

use crate::{modules, range};

const MAX_REQUIREMENTS: usize = 200;
const MAX_LENGTH: usize = 300;

/// What a server needs, checked and in canonical form: the same needs in another order or spelling are equal.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    /// Canonical line → requirement; the line starts with the normalised name.
    lines: BTreeMap<String, Requirement<VerbatimUrl>>,
    /// What was changed on the way.
    pub(crate) notes: Vec<String>,
}

impl Requirements {
    /// Parses what a caller gave.
    pub(crate) fn parse(dependencies: &Dependencies) -> Result<Self> {
        let mut requirements = Self::default();
        match dependencies {
            Dependencies::Map(map) => {
                map.iter().try_for_each(|(name, range)| requirements.add(name, Some(range.as_str())))?;
            }
            Dependencies::List(list) => list.iter().try_for_each(|entry| requirements.add(entry, None))?,
        }
        Ok(requirements)
    }

    /// Adds an entry: a whole requirement, or a name and what a map says about its versions.
    pub(crate) fn add(&mut self, entry: &str, version: Option<&str>) -> Result<()> {
        let shown = match version {
            Some(version) if !version.is_empty() => format!("{entry}: {version}"),
            _ => entry.to_string(),
        };
        if self.lines.len() >= MAX_REQUIREMENTS {
            return Err(Error::invalid(format!("more than {MAX_REQUIREMENTS} dependencies")));
        }
        refuse_hostile(entry, &shown)?;
        refuse_hostile(version.unwrap_or_default(), &shown)?;
        let mut requirement = parse(entry, version).map_err(|error| refusal(&shown, &error.message, error.hint))?;
        let name = requirement.name.to_string();
        if modules::is_standard(&name) {
            self.notes.push(format!("`{name}` is part of Python and needs no dependency"));
            return Ok(());
        }
        if let Some(package) = modules::meant_by(&name) {
            self.notes.push(format!("the module `{name}` comes from the package `{package}`, which is installed"));
            requirement.name = package.parse().map_err(|_| Error::internal(format!("`{package}` is no name")))?;
        }
        requirement.extras.sort();
        requirement.extras.dedup();
        self.lines.insert(canonical(&requirement), requirement);
        Ok(())
    }

    /// Whether nothing is needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a package is named.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines.values().any(|requirement| requirement.name.as_ref() == name)
    }

    /// Whether every requirement of a package allows this version.
    pub(crate) fn allows(&self, name: &str, version: [u64; 3]) -> bool {
        let version = Version::new(version);
        let mut named = self.lines.values().filter(|requirement| requirement.name.as_ref() == name);
        named.all(|requirement| match &requirement.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(&version),
            _ => true,
        })
    }

    /// A requirements file, one line each.
    pub(crate) fn to_text(&self) -> String {
        self.lines.keys().map(|line| format!("{line}\n")).collect()
    }
}

/// Whatever could be an option, a path, a URL or a second line; the grammar itself would let some of it through.
fn refuse_hostile(text: &str, shown: &str) -> Result<()> {
    let why = if text.len() > MAX_LENGTH {
        "is too long"
    } else if text.chars().any(char::is_control) {
        "contains a control character"
    } else if text.trim_start().starts_with('-') {
        "is an option of the installer"
    } else if text.contains("://") || text.contains('@') {
        "is a URL"
    } else if text.contains(['/', '\\']) || text.trim_start().starts_with('.') {
        "is a path"
    } else if text.contains(['$', '`', '{', '}', '#']) {
        "contains a character that no requirement has"
    } else {
        return Ok(());
    };
    Err(refusal(shown, why, None))
}

fn refusal(shown: &str, why: &str, hint: Option<String>) -> Error {
    let shown: String = shown.chars().take(80).flat_map(char::escape_debug).collect();
    Error::invalid(format!("dependency `{shown}` {why}")).hint(hint.unwrap_or_else(|| {
        "name packages of the registry with a version range, such as `{\"requests\": \">=2.31\"}` or \
         `[\"requests>=2.31\"]`; paths, URLs and options are not allowed"
            .into()
    }))
}

fn parse(entry: &str, version: Option<&str>) -> Result<Requirement<VerbatimUrl>> {
    let entry = entry.trim();
    let end = name_end(entry);
    let (name, rest) = entry.split_at(end);
    let (rest, version) = match version {
        Some(_) if !rest.trim().is_empty() => return Err(Error::invalid("has a name with a version in it")),
        Some(version) => extras_of(version),
        None => ("", rest),
    };
    let (version, marker) =
        version.split_once(';').map_or((version, None), |(version, marker)| (version, Some(marker)));
    let version = version.trim();
    let version = version.strip_prefix('(').and_then(|version| version.strip_suffix(')')).unwrap_or(version);
    let mut text = format!("{name}{rest}{}", range::to_specifiers(version)?);
    if let Some(marker) = marker {
        text = format!("{text} ; {marker}");
    }
    let requirement = Requirement::<VerbatimUrl>::from_str(&text)
        .map_err(|error| Error::invalid(format!("is not a requirement: {}", error.message)))?;
    match &requirement.version_or_url {
        Some(VersionOrUrl::Url(_)) => Err(Error::invalid("is a URL")),
        _ => Ok(requirement),
    }
}

/// Where the name and its extras end.
fn name_end(entry: &str) -> usize {
    let name = entry.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(entry.len());
    match entry[name..].starts_with('[') {
        true => entry.find(']').map_or(entry.len(), |end| end + 1),
        false => name,
    }
}

/// `[standard]>=0.30` as the value of a map: the extras and the rest.
fn extras_of(version: &str) -> (&str, &str) {
    let version = version.trim();
    match version.find(']') {
        Some(end) if version.starts_with('[') => version.split_at(end + 1),
        _ => ("", version),
    }
}

/// As pep508_rs shows it, with the specifiers sorted by their versions.
fn canonical(requirement: &Requirement<VerbatimUrl>) -> String {
    let mut sorted = requirement.clone();
    if let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url {
        let mut parts: Vec<_> = specifiers.iter().cloned().collect();
        parts.sort_by_key(ToString::to_string);
        parts.dedup();
        sorted.version_or_url = (!parts.is_empty())
            .then(|| VersionOrUrl::VersionSpecifier(parts.into_iter().collect::<VersionSpecifiers>()));
    }
    sorted.to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn list(entries: &[&str]) -> Result<String> {
        let list = Dependencies::List(entries.iter().map(ToString::to_string).collect());
        Requirements::parse(&list).map(|requirements| requirements.to_text())
    }

    fn map(name: &str, version: &str) -> Result<String> {
        let map = [(name.to_string(), version.to_string())].into_iter().collect();
        Requirements::parse(&Dependencies::Map(map)).map(|requirements| requirements.to_text())
    }

    #[rstest]
    #[case("requests", "", "requests\n")]
    #[case("requests", "*", "requests\n")]
    #[case("requests", "^2.31", "requests>=2.31,<3\n")]
    #[case("requests", ">=2.31", "requests>=2.31\n")]
    #[case("requests", "2.31.0", "requests==2.31.0\n")]
    #[case("uvicorn[standard]", ">=0.30", "uvicorn[standard]>=0.30\n")]
    #[case("uvicorn", "[standard]>=0.30", "uvicorn[standard]>=0.30\n")]
    #[case("Flask_Cors", ">=4, <5", "flask-cors>=4,<5\n")]
    #[case("json", "", "")]
    #[case("PIL", "", "pillow\n")]
    fn maps(#[case] name: &str, #[case] version: &str, #[case] line: &str) {
        assert_eq!(map(name, version).unwrap(), line);
    }

    #[rstest]
    #[case("requests", "requests\n")]
    #[case("requests>=2.31,<3", "requests>=2.31,<3\n")]
    #[case("requests (>=2.31)", "requests>=2.31\n")]
    #[case("requests ^2.31", "requests>=2.31,<3\n")]
    #[case("requests~=2.31", "requests~=2.31\n")]
    #[case("requests == 2.31.0", "requests==2.31.0\n")]
    #[case("uvicorn[standard] >= 0.30", "uvicorn[standard]>=0.30\n")]
    #[case("tomli; python_version < '3.11'", "tomli ; python_full_version < '3.11'\n")]
    fn lists(#[case] entry: &str, #[case] line: &str) {
        assert_eq!(list(&[entry]).unwrap(), line);
    }

    #[rstest]
    #[case(&["--index-url=https://example.com"])]
    #[case(&["-r /etc/passwd"])]
    #[case(&["-e ."])]
    #[case(&[" -e ."])]
    #[case(&["pkg @ file:///etc/passwd"])]
    #[case(&["pkg@https://example.com/a.whl"])]
    #[case(&["git+https://example.com/a"])]
    #[case(&["./here"])]
    #[case(&["../there"])]
    #[case(&["/etc/passwd"])]
    #[case(&["C:\\a"])]
    #[case(&["requests\n-r /etc/passwd"])]
    #[case(&["requests>=1\r\n--pre"])]
    #[case(&["requests --pre"])]
    #[case(&["requests>=1 --hash=sha256:00"])]
    #[case(&["requests; os_name == '${HOME}'"])]
    #[case(&["requests # comment"])]
    #[case(&["$(id)"])]
    #[case(&["{env}"])]
    #[case(&[""])]
    #[case(&["pkg\0"])]
    #[case(&["réquests"])]
    fn hostile_entries_are_refused_by_name(#[case] entries: &[&str]) {
        let error = list(entries).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains('`') && error.hint.is_some(), "{error:?}");
    }

    #[rstest]
    #[case("requests", "file:///etc/passwd")]
    #[case("requests", ">=1\n-r x")]
    #[case("requests", "--pre")]
    #[case("requests", "1 || 2")]
    #[case("requests>=2", ">=1")]
    #[case("requests", "git+ssh://example.com/a")]
    #[case("requests", "certainly")]
    fn hostile_versions_are_refused(#[case] name: &str, #[case] version: &str) {
        assert_eq!(map(name, version).unwrap_err().code, ErrorCode::Invalid);
    }

    #[test]
    fn order_and_spelling_do_not_matter() {
        let one = list(&["Foo_Bar>=1,<2", "requests[socks,security]"]).unwrap();
        let other = list(&["requests[security , SOCKS]", "foo-bar <2, >=1", "foo.bar>=1,<2"]).unwrap();
        assert_eq!(one, other);
    }
}
