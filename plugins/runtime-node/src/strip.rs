//! TypeScript → JavaScript in process: types go; enums, namespaces, parameter properties, decorators and JSX become code.

use std::path::Path;

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::SemanticBuilder;
use oxc_transformer::{DecoratorOptions, HelperLoaderMode, Module, TransformOptions, Transformer};
use perennial_sdk::{Error, Result};

use crate::{
    excerpt,
    source::{Format, Source},
};

/// The JavaScript of a file, with a map of its lines inside. `text` is the file's own text with other specifiers.
///
/// # Errors
/// `invalid`, with the place, for the few things that have no translation.
pub(crate) fn strip(source: &Source, text: &str) -> Result<String> {
    let allocator = Allocator::default();
    let options = ParseOptions { allow_return_outside_function: source.dialect.is_script(), ..ParseOptions::default() };
    let mut parsed = Parser::new(&allocator, text, source.dialect).with_options(options).parse();
    if let Some(error) = parsed.errors.first() {
        return Err(Error::internal(excerpt::refusal(&source.path, text, error).message));
    }
    let scoping = SemanticBuilder::new().with_excess_capacity(2.0).build(&parsed.program).semantic.into_scoping();
    let mut options = TransformOptions {
        decorator: DecoratorOptions { legacy: source.decorated, ..DecoratorOptions::default() },
        ..TransformOptions::default()
    };
    options.helper_loader.mode = HelperLoaderMode::External;
    options.env.module = if source.format == Format::Common { Module::CommonJS } else { Module::Esm };
    let path = Path::new(&source.path);
    let done = Transformer::new(&allocator, path, &options).build_with_scoping(scoping, &mut parsed.program);
    if let Some(error) = done.errors.first() {
        return Err(excerpt::refusal(&source.path, text, error));
    }
    // the map is beside its source
    let name = path.file_name().map(Into::into);
    let options = CodegenOptions { source_map_path: name, ..CodegenOptions::default() };
    let printed = Codegen::new().with_options(options).build(&parsed.program);
    let mut code = printed.code;
    if !code.ends_with('\n') {
        code.push('\n');
    }
    if let Some(map) = printed.map {
        code.push_str(&format!("//# sourceMappingURL={}\n", map.to_data_url()));
    }
    Ok(code)
}
