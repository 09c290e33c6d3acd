use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Cx, Exported, Home, ToolDefinition};

/// Runs the whole suite against a plugin's tools, opened with this configuration. None of them is called: only their
/// author knows what a call does.
///
/// # Panics
/// At the first promise of [`ToolProvider`](crate::ToolProvider) that is broken.
pub fn assert_tools<P: Exported>(config: Value) {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the test");
    let folder = tempfile::tempdir().expect("a folder for the test");
    executor.block_on(async {
        let home = Home { data_dir: folder.path().into() };
        let opened = P::open(config, home).await.expect("the plugin opens");
        let tools = opened.tools.clone().expect("the plugin provides tools");
        let definitions = tools.tools();
        are_sane(&definitions);
        assert_eq!(definitions, tools.tools(), "the tools are the same for the plugin's whole life");
        let unknown = "no-such-tool-of-this-plugin";
        match tools.call(&Cx::detached(), unknown, Map::new()).await {
            Err(error) => assert!(!error.message.is_empty(), "a tool that is not there is refused without a word"),
            Ok(result) => assert_eq!(result["isError"], true, "a tool that is not there answers: {result}"),
        }
        opened.shutdown().await;
    });
}

fn are_sane(definitions: &[ToolDefinition]) {
    let mut names = BTreeSet::new();
    for tool in definitions {
        let name = &tool.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        assert!(
            (1..=128).contains(&name.len()) && name.bytes().all(plain),
            "`{name}` is no name of a tool: it has 1 to 128 letters, digits, `_`, `-` and `.`"
        );
        assert!(names.insert(name), "the tool `{name}` is there twice");
        assert!(
            tool.description.as_ref().is_some_and(|text| !text.trim().is_empty()),
            "no model knows what the tool `{name}` is for: it has no description"
        );
        assert_eq!(tool.input_schema["type"], "object", "the schema of the tool `{name}` is for no object");
        let text = serde_json::to_string(tool).expect("plain data");
        let again: ToolDefinition = serde_json::from_str(&text).expect("plain data");
        assert_eq!(*tool, again, "changed on its way through JSON");
    }
}
