use clap::CommandFactory;
use perennial_sdk::{Dependencies, Permissions, SavedServer, Summary, ToolDefinition, Version};
use serde_json::json;

use super::*;

fn record() -> SavedServer {
    let tool = |name: &str| -> ToolDefinition { serde_json::from_value(json!({ "name": name })).unwrap() };
    SavedServer {
        name: "Mon serveur de calcul v1.0".into(),
        code: "#!/usr/bin/env python3\nprint('\u{1b}[31mred')\n".into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: "server-abc123".into(),
        version: Version(2),
        dependencies: Dependencies::List(vec!["requests>=2.31".into()]),
        files: [("lib.py".to_owned(), "x = 1\n".to_owned())].into(),
        permissions: Permissions { env: vec!["TOKEN".into()], ..Permissions::default() },
        tools: vec![tool("echo"), tool("add")],
        ..SavedServer::default()
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn config_is_taken_before_and_after_every_subcommand() {
    let commands: [&[&str]; 8] = [
        &["serve"],
        &["tour"],
        &["list"],
        &["show", "x"],
        &["call", "x", "echo"],
        &["rm", "x"],
        &["config", "check"],
        &["plugin", "list"],
    ];
    for command in commands {
        let before = [&["perennial", "--config", "a.toml"], command].concat();
        let after = [&["perennial"], command, &["--config", "a.toml"]].concat();
        for line in [before, after] {
            let arguments = Arguments::try_parse_from(&line).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(arguments.common.config.as_deref(), Some(std::path::Path::new("a.toml")), "{line:?}");
        }
    }
}

#[test]
fn the_help_is_worth_reading() {
    let mut shown = String::new();
    let mut command = Arguments::command();
    command.build();
    for name in ["", "serve", "call", "show", "config"] {
        let command = if name.is_empty() { &mut command } else { command.find_subcommand_mut(name).unwrap() };
        shown += &format!("{}\n=====\n", command.clone().term_width(100).render_long_help());
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_listing_is_one_line_each_whatever_the_names() {
    let damaged = Summary {
        name: "名前\u{1b}[2J\n\u{202e}evil".into(),
        server_id: "server-x".into(),
        version: Version(1),
        damage: Some("not JSON".into()),
        ..Summary::default()
    };
    let long = Summary { name: "n".repeat(5_000), server_id: "server-y".into(), ..Summary::default() };
    let text = list::render(&[record().summary(), damaged, long]);
    assert_eq!(text.lines().count(), 4);
    insta::assert_snapshot!(text);
    assert_eq!(list::render(&[]), "no saved servers\n");
}

#[test]
fn a_saved_server_is_shown_whole() {
    insta::assert_snapshot!(show::render(&record(), &[Version(1), Version(2)]));
}

#[test]
fn a_deletion_names_what_is_gone() {
    let text = rm::render(&record().summary(), Version(3));
    assert_eq!(text, "deleted \"Mon serveur de calcul v1.0\" (server-abc123) as of version 3\n");
}

#[test]
fn a_result_is_shown_as_text() {
    let result =
        json!({"content": [{"type": "text", "text": "a\nb"}, {"type": "image", "data": "aGk=", "mimeType": "x"}]});
    assert_eq!(call::render(&result), "a\nb\n{\"type\":\"image\",\"data\":\"aGk=\",\"mimeType\":\"x\"}\n");
    assert_eq!(call::render(&json!({"content": [], "structuredContent": {"a": 1}})), "{\"a\":1}\n");
}

#[test]
fn plugins_that_cannot_be_loaded_are_listed_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("perennial.toml");
    std::fs::write(&file, "[plugins.deno]\npath = \"deno.so\"\n[plugins.notes]\ncommand = [\"notes\", \"serve\"]\n")
        .unwrap();
    let request = Request { file: Some(file), variables: Variables::default(), resolve: true };
    let config = crate::config::load(&request).unwrap();
    let text = plugin::render(&plugin::rows(&config, &[]));
    let text = text.replace(&folder.path().display().to_string(), "FOLDER");
    assert!(text.contains("FOLDER/deno.so") && text.contains("not loaded: FOLDER/perennial.toml:2:8: "), "{text}");
    assert!(text.contains("notes serve") && text.contains("not loaded: FOLDER/perennial.toml:4:11: "), "{text}");
}
