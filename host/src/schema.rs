//! Checks arguments against a tool's input schema before a child is asked.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use perennial_sdk::{Error, Result, ToolDefinition};
use serde_json::Value;

/// A compiled input schema. One that cannot be compiled lets everything through: the child checks for itself.
#[derive(Debug)]
pub struct InputSchema {
    validator: Option<Validator>,
    // saying why takes exponential time where a schema contains itself along several branches
    explains: bool,
}

/// Schemas above this size are not compiled, nor is a pattern above a tenth of it.
const MOST_BYTES: usize = 256 * 1024;
const MOST_FAULTS: usize = 5;
const LONGEST_FAULT: usize = 300;
const MOST_STEPS: u64 = 10_000;

impl InputSchema {
    /// Compiles a tool's schema. Remote references are never fetched; patterns run in linear time.
    pub fn compile(tool: &ToolDefinition) -> Self {
        let schema = &tool.input_schema;
        if schema.to_string().len() > MOST_BYTES || !references_end(schema) {
            return Self { validator: None, explains: false };
        }
        Self { validator: build(schema).ok(), explains: !contains_itself(schema) }
    }

    /// # Errors
    /// `invalid`, naming each field that does not fit, with the schema in the hint.
    pub fn check(&self, tool: &ToolDefinition, arguments: &Value) -> Result<()> {
        let Some(validator) = &self.validator else { return Ok(()) };
        if validator.is_valid(arguments) {
            return Ok(());
        }
        let mut message = format!("the arguments do not fit the schema of `{}`", tool.name);
        if self.explains {
            let faults = validator.iter_errors(arguments).take(MOST_FAULTS).map(|fault| {
                let what: String = fault.to_string().chars().take(LONGEST_FAULT).collect();
                match fault.instance_path().as_str() {
                    "" => what,
                    path => format!("`{}`: {what}", path.trim_start_matches('/').replace('/', ".")),
                }
            });
            message = format!("{message}: {}", faults.collect::<Vec<_>>().join("; "));
        }
        Err(Error::invalid(message).hint(format!("the schema of `{}` is {}", tool.name, tool.input_schema)))
    }
}

/// Why arguments cannot be checked against a schema; none when they can.
pub fn fault(schema: &Value) -> Option<String> {
    if schema.to_string().len() > MOST_BYTES {
        return Some(format!("it has more than {} KiB", MOST_BYTES / 1024));
    }
    if !references_end(schema) {
        return Some("its references do not end".into());
    }
    build(schema).err().map(|fault| fault.chars().take(LONGEST_FAULT).collect())
}

fn build(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex().size_limit(MOST_BYTES / 10 * 8))
        .should_validate_formats(false)
        .should_ignore_unknown_formats(true)
        .build(schema)
        .map_err(|error| error.to_string())
}

/// Whether every reference ends: following references without stepping into the value must neither come back to the
/// same place, which would fill the stack, nor branch without bound, which would take for ever.
fn references_end(schema: &Value) -> bool {
    let mut references = Vec::new();
    collect_references(schema, &mut references);
    let mut costs = HashMap::new();
    references.iter().all(|reference| cost(reference, schema, &mut costs).is_some_and(|cost| cost <= MOST_STEPS))
}

/// Whether some part of the schema can be reached from itself, by whatever way.
fn contains_itself(schema: &Value) -> bool {
    let inside = |reference: &str| {
        let mut found = Vec::new();
        if let Some(target) = reference.strip_prefix('#').and_then(|pointer| schema.pointer(pointer)) {
            collect_references(target, &mut found);
        }
        found
    };
    let mut all = Vec::new();
    collect_references(schema, &mut all);
    all.iter().any(|start| {
        let mut seen = inside(start);
        let mut next = 0;
        while next < seen.len() {
            if seen[next] == *start {
                return true;
            }
            for reference in inside(seen[next]) {
                if !seen.contains(&reference) {
                    seen.push(reference);
                }
            }
            next += 1;
        }
        false
    })
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
    fn a_schema_that_contains_itself_is_checked_in_a_moment() {
        let branch = |name: &str| {
            let sides = json!({ "left": { "$ref": "#/$defs/tree" }, "right": { "$ref": "#/$defs/tree" } });
            json!({ "type": "object", "properties": { name: { "type": "object", "properties": sides } } })
        };
        let kinds: Vec<_> = ["add", "sub", "mul", "div"].into_iter().map(branch).collect();
        let tree = json!({ "anyOf": [{ "type": "number" }, { "allOf": kinds }] });
        let schema = json!({ "properties": { "tree": { "$ref": "#/$defs/tree" } }, "$defs": { "tree": tree } });
        let deep = (0..40).fold(json!("bad leaf"), |inner, _| json!({ "add": { "left": inner, "right": 1 } }));
        assert_eq!(verdict(schema, json!({ "tree": deep })), "the arguments do not fit the schema of `add`");
    }

    #[test]
    fn fetches_nothing_and_does_not_backtrack() {
        assert_eq!(verdict(json!({ "$ref": "http://127.0.0.1:9/schema.json" }), json!({})), "fits");
        let slow = json!({ "properties": { "text": { "pattern": "^(a+)+$" } } });
        assert_ne!(verdict(slow, json!({ "text": format!("{}!", "a".repeat(50_000)) })), "fits");
    }
}
