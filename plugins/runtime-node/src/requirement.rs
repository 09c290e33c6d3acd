//! Dependencies by npm's own grammar: names of the registry and ranges or tags of versions, nothing else.

use std::collections::BTreeMap;

use nodejs_semver::Range;
use perennial_sdk::prelude::*;

use crate::{packages, project::Project};

const MAX_REQUIREMENTS: usize = 200;
const MAX_RANGE: usize = 200;
/// <https://docs.npmjs.com/cli/configuring-npm/package-json#name>
const MAX_NAME: usize = 214;

/// What a server needs, checked: name → range or tag.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    ranges: BTreeMap<String, String>,
    /// What was changed on the way.
    pub(crate) notes: Vec<String>,
}

impl Requirements {
    /// Parses what a caller gave, and completes it with what the code imports.
    ///
    /// # Errors
    /// `invalid` for whatever is more than a package of the registry with a range of versions.
    pub(crate) fn of(dependencies: &Dependencies, project: &Project) -> Result<Self> {
        let imported = project.packages();
        let mut requirements = Self::default();
        // the caller's word counts more than the file's, so it comes last
        project.dependencies().try_for_each(|(name, range)| requirements.add(name, range, &imported))?;
        match dependencies {
            Dependencies::Map(map) => {
                map.iter().try_for_each(|(name, range)| requirements.add(name, range, &imported))?
            }
            Dependencies::List(list) => list.iter().try_for_each(|entry| {
                let (name, range) = split(entry);
                requirements.add(name, range, &imported)
            })?,
        }
        for (name, range) in packages::ADDED {
            if imported.contains(name) && !requirements.ranges.contains_key(*name) {
                requirements.notes.push(format!("`{name}` was added to the dependencies, since the code imports it"));
                requirements.ranges.insert((*name).into(), (*range).into());
            }
        }
        Ok(requirements)
    }

    /// Whether nothing is needed.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// In canonical form, one a line.
    pub(crate) fn to_text(&self) -> String {
        self.ranges.iter().map(|(name, range)| format!("{name}@{range}\n")).collect()
    }

    /// A `package.json` that needs just this.
    pub(crate) fn to_package(&self) -> String {
        package(&self.ranges)
    }

    fn add(&mut self, name: &str, range: &str, imported: &[&str]) -> Result<()> {
        if self.ranges.len() >= MAX_REQUIREMENTS {
            return Err(Error::invalid(format!("more than {MAX_REQUIREMENTS} dependencies")));
        }
        let (name, range) = (name.trim_matches(' '), range.trim_matches(' '));
        let shown = if range.is_empty() { name.to_string() } else { format!("{name}@{range}") };
        let built_in = packages::is_built_in(name) && !imported.contains(&name);
        if built_in && is_name(name.trim_start_matches("node:")) && is_range(range) {
            self.notes.push(format!("`{name}` is part of Node and needs no dependency"));
            return Ok(());
        }
        if let Some(why) = fault(name, range) {
            return Err(refusal(&shown, why));
        }
        if packages::is_for_compilers(name) && !imported.contains(&name) {
            self.notes.push(format!("`{name}` is not installed: types are stripped without it and not checked"));
            return Ok(());
        }
        self.ranges.insert(name.into(), if range.is_empty() { "*".into() } else { range.into() });
        Ok(())
    }
}

/// A `package.json` that needs these: name → range.
pub(crate) fn package(ranges: &BTreeMap<String, String>) -> String {
    let package = json!({ "name": "server", "version": "0.0.0", "private": true, "dependencies": ranges });
    format!("{package:#}\n")
}

/// A list's entry: `name`, `name@range`, or as other languages write it: `name ^1`, `name>=1`.
fn split(entry: &str) -> (&str, &str) {
    let entry = entry.trim_matches(' ');
    let end = entry.char_indices().skip(1).find(|(_, c)| "@ <>=^~".contains(*c)).map_or(entry.len(), |(at, _)| at);
    let (name, range) = entry.split_at(end);
    (name, range.strip_prefix('@').unwrap_or(range))
}

/// Why a dependency is none, if so.
fn fault(name: &str, range: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME || range.len() > MAX_RANGE {
        Some("is too long")
    } else if name.chars().chain(range.chars()).any(char::is_control) {
        Some("contains a control character")
    } else if name.starts_with('-') || range.starts_with('-') {
        Some("is an option of the installer")
    } else if range.starts_with("npm:") {
        Some("is an alias")
    } else if name.contains(':') || range.contains(':') {
        Some("is a URL or a path")
    } else if name.starts_with(['.', '/', '~'])
        || range.contains(['/', '\\'])
        || !name.starts_with('@') && name.contains('/')
    {
        Some("is a path or a repository")
    } else if !is_name(name) {
        Some("has a name that no package of npm has")
    } else if !is_range(range) {
        Some("has no version range that npm knows")
    } else {
        None
    }
}

/// The grammar of names, with the capitals that old packages have.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !part.is_empty() && !part.starts_with(['.', '_', '-']) && part.bytes().all(fits)
    };
    match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| part(scope) && part(name)),
        None => part(name) && !matches!(name, "node_modules" | "favicon.ico"),
    }
}

/// A range of versions or a tag such as `latest`.
fn is_range(range: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" .-+*^~<>=|_".contains(&byte);
    let is_tag = range.starts_with(|c: char| c.is_ascii_alphabetic())
        && range.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    range.is_empty() || range.bytes().all(fits) && (Range::parse(range).is_ok() || is_tag)
}

fn refusal(shown: &str, why: &str) -> Error {
    let shown: String = shown.chars().take(80).flat_map(char::escape_debug).collect();
    Error::invalid(format!("dependency `{shown}` {why}")).hint(
        "name packages of the registry with a version range, such as `{\"zod\": \"^4\"}` or `[\"zod@^4\"]`; paths, URLs, \
         aliases and options are not allowed",
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn requirements(dependencies: Dependencies, code: &str) -> Result<Requirements> {
        let spec = ServerSpec { language: "typescript".into(), code: code.into(), ..ServerSpec::default() };
        Requirements::of(&dependencies, &Project::parse(&spec)?)
    }

    #[rstest]
    #[case("zod", "zod", "*")]
    #[case("zod@^3", "zod", "^3")]
    #[case("zod ^3", "zod", "^3")]
    #[case("zod>=3 <4", "zod", ">=3 <4")]
    #[case("zod@1.2.3 - 2", "zod", "1.2.3 - 2")]
    #[case("zod@^1 || ^2", "zod", "^1 || ^2")]
    #[case("zod@1.x", "zod", "1.x")]
    #[case("zod@latest", "zod", "latest")]
    #[case("zod@4.0.0-beta.1", "zod", "4.0.0-beta.1")]
    #[case("@scope/x", "@scope/x", "*")]
    #[case("@scope/x@1", "@scope/x", "1")]
    #[case(" lodash.get ", "lodash.get", "*")]
    #[case("JSONStream@1.3.5", "JSONStream", "1.3.5")]
    fn reads(#[case] entry: &str, #[case] name: &str, #[case] range: &str) {
        let found = requirements(Dependencies::List(vec![entry.into()]), "").unwrap().ranges;
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(name.to_string(), range.to_string())]);
    }

    #[rstest]
    #[case("pkg@git+ssh://git@example.com/a.git", "URL")]
    #[case("pkg@file:../evil", "URL")]
    #[case("pkg@link:../evil", "URL")]
    #[case("pkg@https://example.com/a.tgz", "URL")]
    #[case("pkg@npm:other@1", "alias")]
    #[case("pkg@workspace:*", "URL")]
    #[case("pkg@github:user/repo", "URL")]
    #[case("pkg@user/repo", "repository")]
    #[case("user/repo", "repository")]
    #[case("user/repo#main", "repository")]
    #[case("./evil", "path")]
    #[case("/etc/passwd", "path")]
    #[case("~/evil", "path")]
    #[case("evil.tgz@../x.tgz", "path")]
    #[case("--registry=https://example.com", "option")]
    #[case("pkg@--registry=https://example.com", "option")]
    #[case("pkg@1\n2", "control")]
    #[case("a b c", "range")]
    #[case("pkg@$(id)", "range")]
    #[case("pkg@1.2.3.4.5", "range")]
    #[case("@scope", "name")]
    #[case("_x", "name")]
    #[case("node_modules", "name")]
    #[case("", "name")]
    fn refuses(#[case] entry: &str, #[case] why: &str) {
        let error = requirements(Dependencies::List(vec![entry.into()]), "").unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }

    #[rstest]
    #[case("import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'; import { z } from 'zod'", 2)]
    #[case("import { McpServer } from '@modelcontextprotocol/server'", 1)]
    #[case("import type { Tool } from '@modelcontextprotocol/sdk/types.js'", 0)]
    #[case("const { z } = require('zod/v3')", 1)]
    #[case("const z = await import('zod')", 1)]
    #[case("import express from 'express'; import './zod'; import 'node:fs'", 0)]
    fn adds_what_is_imported(#[case] code: &str, #[case] added: usize) {
        let found = requirements(Dependencies::default(), code).unwrap();
        assert_eq!((found.ranges.len(), found.notes.len()), (added, added), "{found:?}");
    }

    #[test]
    fn what_is_declared_is_not_added() {
        let given = Dependencies::List(vec!["zod@3.24".into(), "fs".into(), "node:path".into(), "@types/node".into()]);
        let found = requirements(given, "import { z } from 'zod'").unwrap();
        assert_eq!(found.ranges, BTreeMap::from([("zod".into(), "3.24".into())]));
        assert_eq!(found.notes.len(), 3);
    }

    #[rstest]
    #[case("import punycode from 'punycode/'", 1)]
    #[case("const { Buffer } = require('buffer/index.js')", 1)]
    #[case("import fs from 'fs/promises'; import 'node:punycode/'", 0)]
    #[case("import punycode from 'punycode'; import { Buffer } from 'buffer'", 0)]
    fn a_package_with_the_name_of_a_module_of_node_is_meant_by_its_path(#[case] code: &str, #[case] installed: usize) {
        let given = Dependencies::List(vec!["punycode".into(), "buffer@6".into(), "fs".into()]);
        let found = requirements(given, code).unwrap();
        assert_eq!((found.ranges.len(), found.notes.len()), (installed, 3 - installed), "{found:?}");
    }

    #[test]
    fn a_package_json_counts_and_is_as_suspect() {
        let of = |package: &str| {
            let mut spec = ServerSpec { language: "javascript".into(), ..ServerSpec::default() };
            spec.files.insert("package.json".into(), package.into());
            Requirements::of(&Dependencies::List(vec!["zod@4".into()]), &Project::parse(&spec)?)
        };
        let found = of(r#"{"dependencies": {"zod": "^3", "ms": "2"}}"#).unwrap();
        assert_eq!(found.ranges, BTreeMap::from([("ms".into(), "2".into()), ("zod".into(), "4".into())]));
        assert!(of(r#"{"dependencies": {"zod": "file:.."}}"#).is_err());
        assert!(of("{").is_err());
    }
}
