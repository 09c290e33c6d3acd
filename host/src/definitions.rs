//! Makes the definitions of tools that a child wrote fit to be shown to a model and a person.
//!
//! Texts lose what cannot be seen and are cut to a bounded length: descriptions, titles, comments, defaults and examples,
//! wherever a schema has them. What validation goes by stays as it came: names of tools and properties, `enum`, `const`,
//! `pattern`, references. Cleaning what is clean changes nothing.

use perennial_sdk::ToolDefinition;
use serde_json::{Map, Value};

use crate::library::shortened;

/// Characters of a tool's own description.
const LONGEST_DESCRIPTION: usize = 8000;
/// Characters of any other text.
const LONGEST_TEXT: usize = 2000;
/// Characters of all texts of one tool together; what comes after that is left out.
const MOST_OF_ONE: usize = 64_000;
/// Characters of all texts of all tools together.
const MOST_OF_ALL: usize = 1_000_000;
/// Bytes of a field beside those that MCP gives texts to, such as `_meta` or `icons`.
const LARGEST_FIELD: usize = 16 * 1024;
/// How many tools the notes name.
const MOST_NOTES: usize = 20;

/// Definitions as they may be shown, and what was done to them.
#[derive(Debug, Clone, Default)]
pub struct Cleaned {
    /// The definitions, in their order.
    pub definitions: Vec<ToolDefinition>,
    /// A line for each tool that is not as it came.
    pub notes: Vec<String>,
}

/// What is left for texts, and what happened to them.
#[derive(Default)]
struct Cleaner {
    left: usize,
    left_of_all: usize,
    hidden: usize,
    cut: usize,
    dropped: usize,
    kept_hidden: bool,
}

/// Cleans the definitions of one server.
pub fn clean(definitions: Vec<ToolDefinition>) -> Cleaned {
    let mut cleaned = Cleaned::default();
    let mut left_of_all = MOST_OF_ALL;
    let mut noted = 0;
    for mut tool in definitions {
        let mut cleaner = Cleaner { left: MOST_OF_ONE, left_of_all, ..Cleaner::default() };
        cleaner.tool(&mut tool);
        left_of_all = cleaner.left_of_all;
        if let Some(what) = cleaner.told() {
            noted += 1;
            if noted <= MOST_NOTES {
                cleaned.notes.push(format!("tool `{}`: {what}", shortened(&tool.name)));
            }
        }
        cleaned.definitions.push(tool);
    }
    if noted > MOST_NOTES {
        cleaned.notes.push(format!("and {} more tools", noted - MOST_NOTES));
    }
    cleaned
}

/// Cleans the definitions of one server's prompts or resources: what they are called by stays as it came.
pub fn clean_others(definitions: &mut Vec<Value>) {
    let mut left_of_all = MOST_OF_ALL;
    for definition in definitions {
        let mut cleaner = Cleaner { left: MOST_OF_ONE, left_of_all, ..Cleaner::default() };
        if let Value::Object(fields) = definition {
            cleaner.fields(fields, |cleaner, key, value| match key {
                "name" | "uri" | "uriTemplate" | "mimeType" | "size" => true,
                "arguments" => {
                    for argument in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                        cleaner.fields(argument, |cleaner, key, value| key == "name" || cleaner.value(value));
                    }
                    true
                }
                "description" | "title" | "annotations" => cleaner.value(value),
                _ if value.to_string().len() > LARGEST_FIELD => false,
                _ => {
                    cleaner.reveal(value);
                    true
                }
            });
        }
        left_of_all = cleaner.left_of_all;
    }
}

impl Cleaner {
    fn tool(&mut self, tool: &mut ToolDefinition) {
        self.kept_hidden |= tool.name.chars().any(is_hidden);
        tool.description = tool.description.take().and_then(|text| self.text(&text, LONGEST_DESCRIPTION));
        self.schema(&mut tool.input_schema);
        self.fields(&mut tool.rest, |cleaner, key, value| match key {
            "outputSchema" => {
                cleaner.schema(value);
                true
            }
            "title" | "annotations" => cleaner.value(value),
            _ if value.to_string().len() > LARGEST_FIELD => {
                cleaner.dropped += 1;
                false
            }
            _ => {
                cleaner.reveal(value);
                true
            }
        });
    }

    fn fields(&mut self, fields: &mut Map<String, Value>, keep: impl Fn(&mut Self, &str, &mut Value) -> bool) {
        fields.retain(|key, value| {
            self.kept_hidden |= key.chars().any(is_hidden);
            keep(self, key, value)
        });
    }

    fn schema(&mut self, schema: &mut Value) {
        if let Value::Object(fields) = schema {
            self.fields(fields, Self::keyword);
        }
    }

    /// Cleans what stands under a keyword of a schema; whether it stays.
    fn keyword(&mut self, key: &str, value: &mut Value) -> bool {
        match (key, &mut *value) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies",
                Value::Object(named),
            ) => {
                self.fields(named, |cleaner, _, schema| {
                    cleaner.schema(schema);
                    true
                });
                true
            }
            (
                "enum" | "const" | "required" | "dependentRequired" | "pattern" | "format" | "type" | "$ref"
                | "$dynamicRef" | "$recursiveRef" | "$id" | "id" | "$schema" | "$anchor" | "$dynamicAnchor"
                | "$vocabulary" | "contentEncoding" | "contentMediaType",
                kept,
            ) => {
                self.kept_hidden |= holds_hidden(kept);
                true
            }
            ("default" | "examples", Value::String(_) | Value::Array(_) | Value::Object(_)) => self.value(value),
            (_, Value::String(_)) => self.value(value),
            (_, Value::Array(items)) => {
                items.retain_mut(|item| match item {
                    Value::String(_) => self.value(item),
                    _ => {
                        self.schema(item);
                        true
                    }
                });
                true
            }
            (_, Value::Object(_)) => {
                self.schema(value);
                true
            }
            _ => true,
        }
    }

    /// Cleans every text in a value that validation does not go by; false when there is no room for one of them.
    fn value(&mut self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.text(text, LONGEST_TEXT) {
                Some(cleaned) => {
                    *text = cleaned;
                    true
                }
                None => false,
            },
            Value::Array(items) => {
                items.retain_mut(|item| self.value(item));
                true
            }
            Value::Object(fields) => {
                self.fields(fields, |cleaner, _, value| cleaner.value(value));
                true
            }
            _ => true,
        }
    }

    /// The same without cutting: the text may be data.
    fn reveal(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.visible(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.reveal(item)),
            Value::Object(fields) => self.fields(fields, |cleaner, _, value| {
                cleaner.reveal(value);
                true
            }),
            _ => {}
        }
    }

    /// A text as it may be shown; none when there is no room for it any more.
    fn text(&mut self, text: &str, longest: usize) -> Option<String> {
        let mut text = self.visible(text);
        let length = text.chars().count();
        let mut shown = length;
        if length > longest {
            // the note counts too, so that what was cut is not cut again
            let room = longest - 40;
            let end = text.char_indices().nth(room).map_or(text.len(), |(end, _)| end);
            text.truncate(end);
            text.push_str(&format!("… ({} more characters)", length - room));
            shown = text.chars().count();
            self.cut += 1;
        }
        if shown > self.left.min(self.left_of_all) {
            self.dropped += 1;
            return None;
        }
        self.left -= shown;
        self.left_of_all -= shown;
        Some(text)
    }

    fn visible(&mut self, text: &str) -> String {
        if !text.chars().any(is_hidden) {
            return text.to_owned();
        }
        let (mut kept, mut characters) = (String::with_capacity(text.len()), text.chars().peekable());
        while let Some(character) = characters.next() {
            if !is_hidden(character) {
                kept.push(character);
                continue;
            }
            self.hidden += 1;
            // the rest of a terminal's sequence means nothing without its beginning
            if character == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
                while characters.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                let _ = characters.next_if(|c| matches!(c, '@'..='~'));
            }
        }
        kept
    }

    fn told(&self) -> Option<String> {
        let mut parts = Vec::new();
        for (count, what) in [
            (self.hidden, "characters that cannot be seen were removed"),
            (self.cut, "texts were cut"),
            (self.dropped, "texts or fields were left out, since there is too much of them"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if self.kept_hidden {
            parts.push("names or values hold characters that cannot be seen".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn holds_hidden(value: &Value) -> bool {
    match value {
        Value::String(text) => text.chars().any(is_hidden),
        Value::Array(items) => items.iter().any(holds_hidden),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.chars().any(is_hidden) || holds_hidden(value)),
        _ => false,
    }
}

/// Whether a person cannot see it, or it moves what they see: control characters but newline and tab, zero-width and
/// bidirectional ones, tags and the selectors that can carry a text unseen.
pub(crate) fn is_hidden(character: char) -> bool {
    !character.is_ascii()
        && matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || (character.is_control() && !matches!(character, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cleaned(definition: Value) -> (Value, Vec<String>) {
        let Cleaned { definitions, notes } = clean(vec![serde_json::from_value(definition).unwrap()]);
        let again = clean(definitions.clone()).definitions;
        assert_eq!(again, definitions, "what is clean stays as it is");
        (serde_json::to_value(&definitions[0]).unwrap(), notes)
    }

    const WICKED: &str = "see\u{1b}[31;1m this\u{200b}\u{202e}\u{e0041}\u{7}\n\tok";
    const PLAIN: &str = "see this\n\tok";

    #[test]
    fn texts_lose_what_cannot_be_seen_wherever_a_schema_has_them() {
        let schema = |text: &str| {
            json!({
                "type": "object",
                "title": text,
                "$comment": text,
                "x-notes": [text, { "description": text }],
                "properties": {
                    "description": { "type": "string", "description": text, "default": text, "examples": [text] },
                    "title": { "anyOf": [{ "const": 1, "title": text }, { "items": { "description": text } }] },
                },
                "$defs": { "enum": { "description": text } },
            })
        };
        let tool = |text: &str| {
            json!({
                "name": "t", "description": text, "inputSchema": schema(text), "title": text, "outputSchema": schema(text),
                "annotations": { "title": text, "readOnlyHint": true }, "_meta": { "a": [text] },
            })
        };
        let (shown, notes) = cleaned(tool(WICKED));
        assert_eq!(shown, tool(PLAIN));
        assert!(notes.len() == 1 && notes[0].starts_with("tool `t`: ") && notes[0].contains("removed"), "{notes:?}");
        assert!(cleaned(tool(PLAIN)).1.is_empty());
    }

    #[test]
    fn what_validation_goes_by_stays_as_it_came() {
        let definition = json!({
            "name": "na\u{200b}me",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "a\u{200b}": { "enum": ["x\u{202e}", "\u{1b}[0m"], "pattern": "^\u{200b}+$" },
                    "pattern": { "const": { "k\u{feff}": "\u{7}" } },
                    "enum": { "$ref": "#/$defs/b\u{200b}" },
                },
                "$defs": { "b\u{200b}": { "type": "string" } },
                "required": ["a\u{200b}"],
            },
        });
        let (shown, notes) = cleaned(definition.clone());
        assert_eq!(shown, definition);
        assert!(notes[0].ends_with("names or values hold characters that cannot be seen"), "{notes:?}");
    }

    #[test]
    fn long_texts_are_cut_and_too_many_are_left_out() {
        let properties: Map<String, Value> = (0..500)
            .map(|n| (format!("p{n}"), json!({ "type": "string", "description": "d".repeat(50_000) })))
            .collect();
        let (shown, notes) = cleaned(json!({
            "name": "t",
            "description": "A".repeat(1_000_000),
            "inputSchema": { "type": "object", "properties": properties },
            "icons": [{ "src": "x".repeat(LARGEST_FIELD) }],
        }));
        assert!(shown.to_string().len() < 100_000, "{}", shown.to_string().len());
        let properties = shown["inputSchema"]["properties"].as_object().unwrap();
        assert!(properties.len() == 500 && properties.values().all(|property| property["type"] == "string"));
        assert!(shown["description"].as_str().unwrap().ends_with("… (992040 more characters)"));
        assert!(shown.get("icons").is_none() && notes[0].contains("cut") && notes[0].contains("left out"), "{notes:?}");
    }

    #[test]
    fn all_tools_together_are_bounded() {
        let tool = |n: usize| -> ToolDefinition {
            serde_json::from_value(json!({ "name": format!("t{n}"), "description": "d".repeat(7000) })).unwrap()
        };
        let Cleaned { definitions, notes } = clean((0..1000).map(tool).collect());
        assert_eq!((definitions.len(), notes.len()), (1000, MOST_NOTES + 1));
        assert!(serde_json::to_string(&definitions).unwrap().len() < 1_200_000);
    }
}
