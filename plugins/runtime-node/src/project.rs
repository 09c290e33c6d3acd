//! All files of a server together: under which name each is written, and what names it loads the others by.

use std::{collections::BTreeMap, ops::Range};

use perennial_sdk::{Error, File, Result, ServerSpec};
use serde_json::Value;

use crate::{
    packages, paths,
    scan::{Attributes, Load},
    source::{Format, Source, is_source},
    strip,
};

const PACKAGE: &str = "package.json";
const DECORATE: &str = include_str!("../node/decorate.js");

/// Extensions that are tried when a file is loaded without one.
const TRIED: &[&str] = &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs", "json"];

/// The files of a server.
#[derive(Debug)]
pub(crate) struct Project {
    sources: BTreeMap<String, Source>,
    others: BTreeMap<String, String>,
    /// Path → the path that it is written to.
    outputs: BTreeMap<String, String>,
    main: String,
    package: Option<Value>,
}

impl Project {
    /// Parses every source file.
    ///
    /// # Errors
    /// `invalid` at the first file that does not parse, and for files that would take each other's place.
    pub(crate) fn parse(spec: &ServerSpec) -> Result<Self> {
        let main = if spec.language == "typescript" { "main.ts" } else { "main.js" };
        let mut project = Self {
            sources: BTreeMap::from([(main.to_string(), Source::parse(main, &spec.code)?)]),
            others: BTreeMap::new(),
            outputs: BTreeMap::new(),
            main: main.into(),
            package: None,
        };
        for (path, text) in &spec.files {
            if path == main {
                return Err(Error::invalid(format!("`files` has a `{main}`, which is where `code` goes"))
                    .hint("give the file another name, or pass it as `code`"));
            }
            if path.split('/').next() == Some("node_modules") {
                return Err(Error::invalid(format!("`{path}` is where packages are installed"))
                    .hint("declare packages in `dependencies`, and put files of your own elsewhere"));
            }
            match is_source(path) {
                true => drop(project.sources.insert(path.clone(), Source::parse(path, text)?)),
                false => drop(project.others.insert(path.clone(), text.clone())),
            }
        }
        if let Some(text) = project.others.get(PACKAGE) {
            let package = serde_json::from_str(text)
                .map_err(|error| Error::invalid(format!("`{PACKAGE}` is no JSON: {error}")))?;
            project.package = Some(package);
        }
        project.name_outputs()?;
        Ok(project)
    }

    /// The file that Node starts with.
    pub(crate) fn entry(&self) -> &str {
        &self.outputs[&self.main]
    }

    /// Whether any file is translated, so that lines are mapped.
    pub(crate) fn is_translated(&self) -> bool {
        self.sources.values().any(Source::is_translated)
    }

    /// What a `package.json` among the files depends on.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (&str, &str)> {
        let declared = self.package.as_ref().and_then(|package| package["dependencies"].as_object());
        declared.into_iter().flatten().filter_map(|(name, range)| Some((name.as_str(), range.as_str()?)))
    }

    /// The packages that are loaded, each once; Node's own modules are not among them.
    pub(crate) fn packages(&self) -> Vec<&str> {
        let loads = self.sources.values().flat_map(|source| &source.loads);
        let implied = self.sources.values().filter_map(|source| source.jsx_package.as_deref());
        let names = loads.map(|load| load.specifier.as_str()).chain(implied);
        let mut packages: Vec<&str> = names.filter_map(package_of).collect();
        packages.sort_unstable();
        packages.dedup();
        packages
    }

    /// The files as they are written.
    ///
    /// # Errors
    /// `invalid` for what has no translation.
    pub(crate) fn files(&self) -> Result<Vec<File>> {
        let mut files = Vec::new();
        for (path, source) in &self.sources {
            let text = self.edited(source);
            let contents = if source.is_translated() { strip::strip(source, &text)? } else { text };
            files.push(File { path: self.outputs[path].clone(), contents });
        }
        files.extend(self.others.iter().map(|(path, text)| File { path: path.clone(), contents: text.clone() }));
        if self.package.is_none() {
            let kind = if self.kind() == Format::Module { "module" } else { "commonjs" };
            files.push(File { path: PACKAGE.into(), contents: format!("{{\"type\":\"{kind}\"}}\n") });
        }
        Ok(files)
    }

    /// What `.js` means to Node here.
    fn kind(&self) -> Format {
        match &self.package {
            Some(package) if package["type"] == "module" => Format::Module,
            Some(_) => Format::Common,
            None => self.sources[&self.main].format,
        }
    }

    fn name_outputs(&mut self) -> Result<()> {
        let mut taken: BTreeMap<String, &str> = self.others.keys().map(|path| (path.clone(), path.as_str())).collect();
        for (path, source) in &self.sources {
            let (stem, extension) = paths::split(path);
            let extension = match extension {
                "mjs" | "mts" => "mjs",
                "cjs" | "cts" => "cjs",
                _ if source.format == self.kind() => "js",
                _ if source.format == Format::Module => "mjs",
                _ => "cjs",
            };
            let output = format!("{stem}.{extension}");
            if let Some(other) = taken.insert(output.clone(), path) {
                return Err(Error::invalid(format!("`{other}` and `{path}` both become `{output}`"))
                    .hint("give one of them another name"));
            }
            self.outputs.insert(path.clone(), output);
        }
        Ok(())
    }

    /// A file's text with names that Node can load. No line is moved.
    fn edited(&self, source: &Source) -> String {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        for load in &source.loads {
            if let Some(name) = self.name_of(source, load) {
                edits.push((load.literal.clone(), format!("{name:?}")));
            }
            match &load.attributes {
                Attributes::Absent if load.specifier.ends_with(".json") && is_relative(&load.specifier) => {
                    edits.push((load.literal.end..load.literal.end, " with { type: \"json\" }".into()));
                }
                Attributes::Assert(word) => edits.push((word.clone(), " with ".into())),
                _ => {}
            }
        }
        edits.push((source.start..source.start, prelude(source)));
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = source.text.clone();
        for (range, replacement) in edits.into_iter().rev() {
            text.replace_range(range, &replacement);
        }
        text
    }

    /// The name that a load should have, when it is another one.
    fn name_of(&self, source: &Source, load: &Load) -> Option<String> {
        let name = &load.specifier;
        if !is_relative(name) {
            let inside = name.strip_prefix("@modelcontextprotocol/sdk/")?;
            // models leave out the extension, as compilers let them
            return (!inside.contains('.') && inside.contains('/')).then(|| format!("{name}.js"));
        }
        let folder = paths::folder(&source.path);
        let file = self.find(&paths::resolve(folder, name)?)?;
        let output = self.outputs.get(&file).unwrap_or(&file);
        let better = paths::relative(folder, output);
        (better != *name).then_some(better)
    }

    /// The file that is meant by a path, which may name what TypeScript would have made of it or leave the end out.
    fn find(&self, path: &str) -> Option<String> {
        let there = |path: &String| self.sources.contains_key(path) || self.others.contains_key(path);
        let (stem, extension) = paths::split(path);
        let typed: &[&str] = match extension {
            "js" => &["ts", "tsx", "jsx"],
            "jsx" => &["tsx"],
            "mjs" => &["mts"],
            "cjs" => &["cts"],
            _ => &[],
        };
        let index = if path.is_empty() { "index".into() } else { format!("{path}/index") };
        let exact = std::iter::once(path.to_string());
        exact
            .chain(typed.iter().map(|extension| format!("{stem}.{extension}")))
            .chain(TRIED.iter().map(|extension| format!("{path}.{extension}")))
            .chain(TRIED.iter().map(|extension| format!("{index}.{extension}")))
            .find(there)
    }
}

fn is_relative(specifier: &str) -> bool {
    specifier.starts_with("./") || specifier.starts_with("../") || specifier == "." || specifier == ".."
}

/// The package that a name means, if it means one.
fn package_of(specifier: &str) -> Option<&str> {
    let odd = specifier.starts_with(['.', '/', '#']) || specifier.contains(':') || specifier.is_empty();
    if odd || packages::is_built_in(specifier) {
        return None;
    }
    let parts = if specifier.starts_with('@') { 2 } else { 1 };
    let end = specifier.match_indices('/').nth(parts - 1).map_or(specifier.len(), |(at, _)| at);
    Some(&specifier[..end])
}

/// What an ECMAScript module must be given before it can use the names of CommonJS, and decorators their function.
fn prelude(source: &Source) -> String {
    let mut text = String::new();
    if source.dialect.is_typescript() && source.decorated {
        text.push_str(DECORATE);
    }
    if source.format == Format::Common {
        return text;
    }
    let uses = |name| source.common_names.contains(name);
    if uses("require") || uses("module") {
        text.push_str("import{createRequire as __createRequire}from\"node:module\";");
        text.push_str("var require=__createRequire(import.meta.url);");
    }
    if uses("module") || uses("exports") {
        // `require.main === module` holds in the file that Node started with
        text.push_str("var module={exports:{}};");
    }
    if uses("module") {
        text.push_str("if(process.argv[1]&&import.meta.url.endsWith(process.argv[1]))require.main=module;");
    }
    if uses("exports") {
        text.push_str("var exports=module.exports;");
    }
    if uses("__filename") || uses("__dirname") {
        text.push_str("import{fileURLToPath as __fileURLToPath}from\"node:url\";");
        text.push_str(
            "var __filename=__fileURLToPath(import.meta.url),__dirname=__filename.replace(/[\\\\/][^\\\\/]*$/,\"\");",
        );
    }
    text
}
