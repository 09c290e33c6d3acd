//! One source file: whether it parses, how Node must load it, and what it loads.

use std::collections::BTreeSet;

use oxc_allocator::Allocator;
use oxc_ast_visit::Visit;
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::SemanticBuilder;
use oxc_span::{GetSpan, SourceType};
use perennial_sdk::{Error, Result};

use crate::{
    excerpt, paths,
    scan::{Load, Scan},
};

/// How Node loads a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An ECMAScript module.
    Module,
    /// CommonJS.
    Common,
}

/// A file that parses.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path, as the author calls it.
    pub(crate) path: String,
    /// What the author wrote.
    pub(crate) text: String,
    /// The dialect, with the kind of module that it turned out to be.
    pub(crate) dialect: SourceType,
    /// How Node must load it.
    pub(crate) format: Format,
    /// What it loads.
    pub(crate) loads: Vec<Load>,
    /// Names of CommonJS that it uses without declaring them.
    pub(crate) common_names: BTreeSet<&'static str>,
    /// Where the first statement begins.
    pub(crate) start: usize,
    /// Whether there is a decorator.
    pub(crate) decorated: bool,
    /// Where the first element of JSX is.
    pub(crate) jsx: Option<usize>,
    /// The package whose functions make the elements of JSX; the file names it no other way.
    pub(crate) jsx_package: Option<String>,
}

/// Names that every CommonJS file has.
const COMMON_NAMES: &[&str] = &["require", "module", "exports", "__filename", "__dirname"];

impl Source {
    /// Parses a file. Its dialect is known by its extension.
    ///
    /// # Errors
    /// `invalid` with the place and the line, when it does not parse.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self> {
        let dialect = dialect(path);
        let common_only = matches!(paths::split(path).1, "cjs" | "cts");
        let module = if common_only { Err(Vec::new()) } else { attempt(path, text, dialect.with_module(true)) };
        let errors = match module {
            Ok(source) => return source,
            Err(errors) => errors,
        };
        // what is no module may still be the older kind of script, with its `return` outside of functions
        match attempt(path, text, dialect.with_script(true)) {
            Ok(source) => source,
            Err(more) => Err(refusal(path, text, errors.first().or(more.first()))),
        }
    }

    /// Whether Node runs something else than what the author wrote.
    pub(crate) fn is_translated(&self) -> bool {
        self.dialect.is_typescript() || self.jsx.is_some()
    }
}

/// Whether a path is one of a source file.
pub(crate) fn is_source(path: &str) -> bool {
    let (stem, extension) = paths::split(path);
    !stem.ends_with(".d") && matches!(extension, "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx")
}

fn dialect(path: &str) -> SourceType {
    match paths::split(path).1 {
        "ts" | "mts" | "cts" => SourceType::ts(),
        "tsx" => SourceType::tsx(),
        "jsx" => SourceType::jsx(),
        _ => SourceType::mjs(),
    }
}

/// The errors of the parser, or what became of the file when there were none.
fn attempt(path: &str, text: &str, dialect: SourceType) -> Result<Result<Source>, Vec<OxcDiagnostic>> {
    let allocator = Allocator::default();
    let options = ParseOptions { allow_return_outside_function: dialect.is_script(), ..ParseOptions::default() };
    let parsed = Parser::new(&allocator, text, dialect).with_options(options).parse();
    if !parsed.errors.is_empty() || parsed.panicked {
        return Err(parsed.errors);
    }
    let semantic = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
    if !semantic.errors.is_empty() {
        return Err(semantic.errors);
    }
    let free = semantic.semantic.scoping().root_unresolved_references();
    let common_names: BTreeSet<&str> = COMMON_NAMES.iter().copied().filter(|name| free.contains_key(*name)).collect();
    let mut scan = Scan::default();
    scan.visit_program(&parsed.program);
    let explicit = match paths::split(path).1 {
        "mjs" | "mts" => Some(Format::Module),
        "cjs" | "cts" => Some(Format::Common),
        _ => None,
    };
    let module = (parsed.module_record.has_module_syntax && !scan.assigns_modules) || scan.awaits;
    let format = match explicit {
        Some(format) => format,
        None if dialect.is_script() || scan.assigns_modules => Format::Common,
        None if module || common_names.is_empty() => Format::Module,
        None => Format::Common,
    };
    if let (true, Some(place)) = (!dialect.is_typescript(), &scan.decorator) {
        let error = excerpt::at(path, text, Some(place.start), "decorators are no JavaScript yet");
        return Ok(Err(error.hint("use `language: typescript`, or call the function instead")));
    }
    let program = &parsed.program;
    let comments = program.comments.iter().map(|comment| comment.content_span().source_text(text));
    let jsx = scan.jsx.map(|place| place.start);
    let first = program.directives.first().map(|directive| directive.span.start);
    let start = first.or(program.body.first().map(|statement| statement.span().start));
    Ok(Ok(Source {
        path: path.into(),
        text: text.into(),
        dialect,
        format,
        loads: scan.loads,
        common_names,
        start: start.map_or(text.len(), |start| start as usize),
        decorated: scan.decorator.is_some(),
        jsx,
        jsx_package: jsx.and_then(|_| jsx_package(comments)),
    }))
}

/// The package that makes the elements, as the last comment about it has it.
fn jsx_package<'a>(comments: impl Iterator<Item = &'a str>) -> Option<String> {
    let (mut package, mut classic) = ("react", false);
    for comment in comments {
        let mut words = comment.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "@jsxImportSource" => package = words.next().unwrap_or(package),
                "@jsxRuntime" => classic = words.next() == Some("classic"),
                _ => {}
            }
        }
    }
    (!classic).then(|| package.to_owned())
}

fn refusal(path: &str, text: &str, error: Option<&OxcDiagnostic>) -> Error {
    let with_jsx = || match attempt(path, text, dialect(path).with_module(true).with_jsx(true)) {
        Ok(Ok(source)) => source.jsx,
        _ => None,
    };
    if !dialect(path).is_jsx()
        && let Some(place) = with_jsx()
    {
        return excerpt::at(path, text, Some(place), "JSX needs a file that ends in `.jsx` or `.tsx`")
            .hint("put it into `files`, such as `view.tsx`, and import that: `import { View } from './view'`");
    }
    let Some(error) = error else { return Error::invalid(format!("`{path}` cannot be parsed")) };
    let mut error = excerpt::refusal(path, text, error);
    let typed = || attempt(path, text, SourceType::ts().with_module(true)).is_ok();
    if !dialect(path).is_typescript() && typed() {
        error.hint = Some("this is TypeScript: use `language: typescript`".into());
    }
    error
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::import("a.js", "import fs from 'fs'", Format::Module)]
    #[case::require("a.js", "const fs = require('fs')", Format::Common)]
    #[case::exports("a.js", "exports.a = 1", Format::Common)]
    #[case::neither("a.js", "console.log(1)", Format::Module)]
    #[case::both("a.js", "import fs from 'fs'; const os = require('os')", Format::Module)]
    #[case::own_require(
        "a.js",
        "import {createRequire} from 'module'; const require = createRequire('/')",
        Format::Module
    )]
    #[case::awaits("a.js", "const os = require('os'); await 1", Format::Module)]
    #[case::awaits_inside("a.js", "const os = require('os'); (async () => { await 1 })()", Format::Common)]
    #[case::loops("a.js", "for await (const a of require('a')) {}", Format::Module)]
    #[case::returns("a.js", "if (1) return;", Format::Common)]
    #[case::sloppy("a.js", "with (Math) max(1, 2)", Format::Common)]
    #[case::extension("a.mjs", "console.log(1)", Format::Module)]
    #[case::typed("a.ts", "import type { A } from './a'; const a: A = 1", Format::Module)]
    #[case::assigned("a.ts", "import fs = require('fs'); export = fs", Format::Common)]
    #[case::typed_require("a.ts", "const fs: any = require('fs')", Format::Common)]
    #[case::mixed_comment("a.js", "// import x from 'y'\nmodule.exports = 1", Format::Common)]
    fn formats(#[case] path: &str, #[case] text: &str, #[case] format: Format) {
        assert_eq!(Source::parse(path, text).unwrap().format, format);
    }

    #[rstest]
    #[case("main.ts", "const a: number = ;\n", "`main.ts:1:19`")]
    #[case("main.ts", "let a = 1;\nlet a = 2;\n", "`main.ts:")]
    #[case("main.js", "function f( {\n", "`main.js:")]
    #[case("main.js", "const a: number = 1;\n", "`main.js:1:7`")]
    #[case("main.js", "class A { @b c() {} }", "`main.js:1:11`: decorators")]
    #[case("main.ts", "let a;\nconst b = <p>{a}</p>;", "`main.ts:2:11`: JSX")]
    #[case("main.js", "const a = () => <></>;", "`main.js:1:17`: JSX")]
    #[case("a.tsx", "const a = <p></q>;", "`a.tsx:1:")]
    fn refuses(#[case] path: &str, #[case] text: &str, #[case] place: &str) {
        let error = Source::parse(path, text).unwrap_err();
        assert!(error.message.starts_with(place), "{error}");
        assert_eq!(error.source.len(), 1);
    }

    #[rstest]
    #[case::none("const a = 1 < 2;", None)]
    #[case::usual("const a = <p/>;", Some("react"))]
    #[case::named("/** @jsxImportSource preact */\nconst a = <p/>;", Some("preact"))]
    #[case::by_itself("/* @jsxRuntime classic */\nimport React from 'react';\nconst a = <p/>;", None)]
    fn elements_need_a_package(#[case] text: &str, #[case] package: Option<&str>) {
        assert_eq!(Source::parse("a.jsx", text).unwrap().jsx_package.as_deref(), package);
    }

    #[test]
    fn types_in_javascript_are_told_apart() {
        assert!(Source::parse("a.js", "const a: number = 1;").unwrap_err().hint.unwrap().contains("typescript"));
    }
}
