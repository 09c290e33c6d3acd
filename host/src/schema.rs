//! Checks arguments against a tool's input schema before a child is asked.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use perennial_sdk::{Error, Result, ToolDefinition};
use serde_json::Value;

/// A compiled input schema. One that cannot be compiled lets everything through: the child checks for itself.
#[derive(Debug)]
pub struct InputSchema(Option<Validator>);

/// Schemas above this size are not compiled, nor is a pattern above a tenth of it.
const MOST_BYTES: usize = 256 * 1024;
const MOST_FAULTS: usize = 5;
const MOST_STEPS: u64 = 10_000;

impl InputSchema {
    /// Compiles a tool's schema. Remote references are never fetched; patterns run in linear time.
    pub fn compile(tool: &ToolDefinition) -> Self {
        let schema = &tool.input_schema;
        if schema.to_string().len() > MOST_BYTES || !references_end(schema) {
            return Self(None);
        }
        let options = jsonschema::options()
            .with_pattern_options(PatternOptions::regex().size_limit(MOST_BYTES / 10 * 8))
            .should_validate_formats(false)
            .should_ignore_unknown_formats(true);
        Self(options.build(schema).ok())
    }

    /// # Errors
    /// `invalid`, naming each field that does not fit, with the schema in the hint.
    pub fn check(&self, tool: &ToolDefinition, arguments: &Value) -> Result<()> {
        let Some(validator) = &self.0 else { return Ok(()) };
        if validator.is_valid(arguments) {
            return Ok(());
        }
        let faults: Vec<String> = validator
            .iter_errors(arguments)
            .take(MOST_FAULTS)
            .map(|fault| match fault.instance_path().as_str() {
                "" => fault.to_string(),
                path => format!("`{}`: {fault}", path.trim_start_matches('/').replace('/', ".")),
            })
            .collect();
        let message = format!("the arguments do not fit the schema of `{}`: {}", tool.name, faults.join("; "));
        Err(Error::invalid(message).hint(format!("the schema of `{}` is {}", tool.name, tool.input_schema)))
    }
}

/// Whether every reference ends: following references without stepping into the value must neither come back to the
/// same place, which would fill the stack, nor branch without bound, which would take for ever.
fn references_end(schema: &Value) -> bool {
    let mut references = Vec::new();
    collect_references(schema, &mut references);
    let mut costs = HashMap::new();
    references.iter().all(|reference| cost(reference, schema, &mut costs).is_some_and(|cost| cost <= MOST_STEPS))
}

fn collect_references<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) => found.push(target),
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// How many references are followed for one value; none when they never end, or lead out of this schema.
fn cost<'a>(reference: &'a str, root: &'a Value, costs: &mut HashMap<&'a str, Option<u64>>) -> Option<u64> {
    if let Some(known) = costs.get(reference) {
        return *known;
    }
    // until it is known, meeting it again means that it never ends
    costs.insert(reference, None);
    let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
    let total = target.and_then(|target| {
        let next = in_place_references(target);
        next.into_iter().try_fold(1_u64, |sum, next| cost(next, root, costs)?.checked_add(sum))
    });
    costs.insert(reference, total);
    total
}

/// The references that apply to the same value as `schema` itself.
fn in_place_references(schema: &Value) -> Vec<&str> {
    let Value::Object(fields) = schema else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) => found.push(target.as_str()),
            ("allOf" | "anyOf" | "oneOf", Value::Array(branches)) => {
                branches.iter().for_each(|branch| found.extend(in_place_references(branch)));
            }
            ("not" | "if" | "then" | "else", branch) => found.extend(in_place_references(branch)),
            ("dependentSchemas", Value::Object(branches)) => {
                branches.values().for_each(|branch| found.extend(in_place_references(branch)));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(schema: Value, arguments: Value) -> String {
        let tool: ToolDefinition = serde_json::from_value(json!({ "name": "add", "inputSchema": schema })).unwrap();
        match InputSchema::compile(&tool).check(&tool, &arguments) {
            Ok(()) => "fits".into(),
            Err(error) => error.message,
        }
    }

    #[test]
    fn names_the_fields_that_do_not_fit() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": "integer", "minimum": 1 },
                "kind": { "enum": ["x", "y"] },
                "inner": { "type": "object", "properties": { "name": { "type": "string", "pattern": "^[a-z]+$" } } },
            },
            "required": ["a"],
        });
        insta::assert_snapshot!(verdict(schema.clone(), json!({ "kind": "z", "inner": { "name": "A1" } })));
        assert_eq!(verdict(schema, json!({ "a": 2, "kind": "x" })), "fits");
    }

    #[test]
    fn survives_schemas_that_never_end() {
        assert_eq!(verdict(json!({ "$ref": "#" }), json!({})), "fits");
        let mutual = json!({
            "$ref": "#/$defs/a",
            "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/b" }] }, "b": { "allOf": [{ "$ref": "#/$defs/a" }] } },
        });
        assert_eq!(verdict(mutual, json!({ "a": 1 })), "fits");
        let tree =
            json!({ "type": "object", "properties": { "next": { "$ref": "#" } }, "additionalProperties": false });
        assert_eq!(verdict(tree.clone(), json!({ "next": { "next": {} } })), "fits");
        assert_ne!(verdict(tree, json!({ "next": { "other": 1 } })), "fits");
    }

    #[test]
    fn fetches_nothing_and_does_not_backtrack() {
        assert_eq!(verdict(json!({ "$ref": "http://127.0.0.1:9/schema.json" }), json!({})), "fits");
        let slow = json!({ "properties": { "text": { "pattern": "^(a+)+$" } } });
        assert_ne!(verdict(slow, json!({ "text": format!("{}!", "a".repeat(50_000)) })), "fits");
    }
}
