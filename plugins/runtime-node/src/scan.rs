//! What a syntax tree says about how a file wants to be loaded, and what it loads.

use std::ops::Range;

use oxc_ast::ast::{
    Argument, ArrowFunctionExpression, AwaitExpression, CallExpression, Decorator, ExportAllDeclaration,
    ExportNamedDeclaration, Expression, ForOfStatement, Function, ImportDeclaration, ImportExpression, JSXElement,
    JSXFragment, StringLiteral, TSExportAssignment, TSImportEqualsDeclaration, TSModuleReference, WithClause,
    WithClauseKeyword,
};
use oxc_ast_visit::{Visit, walk};
use oxc_semantic::ScopeFlags;
use oxc_span::Span;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What is loaded, by whatever means, types aside.
    pub(crate) loads: Vec<Load>,
    /// TypeScript's own words for CommonJS: `import a = require("a")` and `export =`.
    pub(crate) assigns_modules: bool,
    /// `await` outside of every function.
    pub(crate) awaits: bool,
    /// The first decorator.
    pub(crate) decorator: Option<Range<usize>>,
    /// The first element of JSX.
    pub(crate) jsx: Option<Range<usize>>,
    functions: usize,
}

/// A file or package that is loaded by its literal name.
#[derive(Debug)]
pub(crate) struct Load {
    /// The name.
    pub(crate) specifier: String,
    /// Its literal, with the quotes.
    pub(crate) literal: Range<usize>,
    /// What follows the literal.
    pub(crate) attributes: Attributes,
}

/// What is said about the kind of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// Nothing can be said: `require` and `import()`.
    Impossible,
    /// Nothing is said in a declaration.
    Absent,
    /// The part between the literal and the brace is `assert`, which Node no longer knows.
    Assert(Range<usize>),
    /// All is well.
    Given,
}

impl Scan {
    fn load(&mut self, literal: &StringLiteral<'_>, attributes: Attributes) {
        self.loads.push(Load { specifier: literal.value.to_string(), literal: range(literal.span), attributes });
    }

    fn declared(&mut self, literal: &StringLiteral<'_>, clause: Option<&WithClause<'_>>) {
        let attributes = match clause {
            None => Attributes::Absent,
            Some(clause) if clause.keyword == WithClauseKeyword::Assert => {
                Attributes::Assert(literal.span.end as usize..clause.span.start as usize)
            }
            Some(_) => Attributes::Given,
        };
        self.load(literal, attributes);
    }
}

pub(crate) fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

impl<'a> Visit<'a> for Scan {
    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        if it.import_kind.is_value() {
            self.declared(&it.source, it.with_clause.as_deref());
        }
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        if it.export_kind.is_value() {
            self.declared(&it.source, it.with_clause.as_deref());
        }
    }

    fn visit_export_named_declaration(&mut self, it: &ExportNamedDeclaration<'a>) {
        match &it.source {
            Some(source) if it.export_kind.is_value() => self.declared(source, it.with_clause.as_deref()),
            _ => walk::walk_export_named_declaration(self, it),
        }
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if let Expression::StringLiteral(literal) = &it.source {
            self.load(literal, Attributes::Impossible);
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        if let (true, Some(Argument::StringLiteral(literal))) =
            (it.callee.is_specific_id("require"), it.arguments.first())
        {
            self.load(literal, Attributes::Impossible);
        }
        walk::walk_call_expression(self, it);
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        if let (TSModuleReference::ExternalModuleReference(reference), true) =
            (&it.module_reference, it.import_kind.is_value())
        {
            self.assigns_modules = true;
            self.load(&reference.expression, Attributes::Impossible);
        }
    }

    fn visit_ts_export_assignment(&mut self, it: &TSExportAssignment<'a>) {
        self.assigns_modules = true;
        walk::walk_ts_export_assignment(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.functions += 1;
        walk::walk_function(self, it, flags);
        self.functions -= 1;
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.functions += 1;
        walk::walk_arrow_function_expression(self, it);
        self.functions -= 1;
    }

    fn visit_await_expression(&mut self, it: &AwaitExpression<'a>) {
        self.awaits |= self.functions == 0;
        walk::walk_await_expression(self, it);
    }

    fn visit_for_of_statement(&mut self, it: &ForOfStatement<'a>) {
        self.awaits |= it.r#await && self.functions == 0;
        walk::walk_for_of_statement(self, it);
    }

    fn visit_jsx_element(&mut self, it: &JSXElement<'a>) {
        self.jsx.get_or_insert_with(|| range(it.span));
        walk::walk_jsx_element(self, it);
    }

    fn visit_jsx_fragment(&mut self, it: &JSXFragment<'a>) {
        self.jsx.get_or_insert_with(|| range(it.span));
        walk::walk_jsx_fragment(self, it);
    }

    fn visit_decorator(&mut self, it: &Decorator<'a>) {
        self.decorator.get_or_insert_with(|| range(it.span));
        walk::walk_decorator(self, it);
    }
}
