use std::collections::BTreeSet;

use perennial_sdk::ToolDefinition;

use crate::schema;

/// What is wrong with the definitions of tools.
pub(super) fn problems(tools: &[ToolDefinition]) -> Vec<String> {
    let (mut names, mut problems) = (BTreeSet::new(), Vec::new());
    if tools.is_empty() {
        problems.push("there is no tool".into());
    }
    for tool in tools {
        let name = tool.name.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
        if !(1..=128).contains(&name.len()) || !name.bytes().all(plain) {
            problems
                .push(format!("the tool `{name}`: its name is not 1 to 128 letters, digits, `_`, `-`, `.` and `/`"));
        }
        if !names.insert(name) {
            problems.push(format!("the tool `{name}` is there twice: the first one counts"));
        }
        if tool.description.as_ref().is_none_or(|text| text.trim().is_empty()) {
            problems.push(format!("the tool `{name}` has no description: no model knows what it is for"));
        }
        if tool.input_schema["type"] != "object" {
            problems.push(format!("the tool `{name}`: its `inputSchema` is not for an object"));
        } else if let Some(fault) = schema::fault(&tool.input_schema) {
            problems.push(format!("the tool `{name}`: its `inputSchema` cannot be used: {fault}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_is_what_models_can_use() {
        let tool = |tool| serde_json::from_value::<ToolDefinition>(tool).unwrap();
        let good = tool(json!({"name": "a.b", "description": "Does it", "inputSchema": {"type": "object"}}));
        assert_eq!(problems(std::slice::from_ref(&good)), Vec::<String>::new());
        let wrong = [
            good.clone(),
            good,
            tool(json!({"name": "a b", "description": " ", "inputSchema": {"type": "text"}})),
            tool(json!({"name": "c", "description": "c", "inputSchema": {"type": "object", "required": 5}})),
        ];
        assert_eq!(problems(&wrong).len(), 5, "{:#?}", problems(&wrong));
        assert_eq!(problems(&[]), ["there is no tool"]);
    }
}
