use serde_json::Value;

/// The result of a tool call.
#[derive(Debug)]
pub struct Reply(Value);

impl Reply {
    pub fn new(result: Value) -> Self {
        Self(result)
    }

    /// The result as it came.
    pub fn raw(&self) -> &Value {
        &self.0
    }

    /// Asserts that it is no error.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_ne!(self.0["isError"], true, "an error came:\n{}", self.text());
        self
    }

    /// Asserts that it is an error, and returns its text.
    #[track_caller]
    pub fn error(self) -> String {
        assert_eq!(self.0["isError"], true, "no error came:\n{}", self.text());
        self.text()
    }

    /// Every text of its content, a line feed between them.
    pub fn text(&self) -> String {
        let content = self.0["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        content.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
    }

    pub fn first_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// The first line, as the JSON that it is.
    #[track_caller]
    pub fn first_line_json(&self) -> Value {
        serde_json::from_str(&self.first_line()).unwrap_or_else(|error| panic!("{error}:\n{}", self.text()))
    }

    /// The structured content.
    #[track_caller]
    pub fn facts(&self) -> Value {
        let facts = &self.0["structuredContent"];
        assert!(facts.is_object(), "no structured content: {}", self.0);
        facts.clone()
    }
}
