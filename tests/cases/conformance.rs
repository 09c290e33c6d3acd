//! The official conformance suite of MCP, against a host in front of the server that the suite asks for.
//!
//! `tests/conformance/scenarios.json` names what must pass: a scenario of it that fails, or is not run, is a fault. What the
//! suite scores beside that is named there with what it waits for, so that nothing new in the suite goes unseen.
//! `tests/conformance/report` writes `docs/conformance.md` from a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Stdio,
};

use rstest::rstest;
use serde::Deserialize;
use serde_json::json;

use crate::support::{HttpHost, TestHome, installed};

/// The scenarios that a revision requires.
#[derive(Deserialize)]
struct Required {
    passes: BTreeSet<String>,
    waits: BTreeMap<String, BTreeSet<String>>,
}

#[rstest]
fn what_a_revision_requires(#[values("2025-11-25", "2026-07-28")] revision: &str) {
    let mut all: BTreeMap<String, Required> =
        serde_json::from_str(include_str!("../conformance/scenarios.json")).unwrap();
    let required = all.remove(revision).unwrap();
    let said = run(revision);
    if let Some(folder) = std::env::var_os("PERENNIAL_CONFORMANCE_REPORT") {
        fs::write(Path::new(&folder).join(revision), &said).unwrap();
    }
    let results = results(&said);
    let failed: Vec<_> = required.passes.iter().filter(|scenario| results.get(*scenario) != Some(&true)).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{said}");

    let known: BTreeSet<_> = required.waits.into_values().flatten().chain(required.passes).collect();
    assert_eq!(known, scored(revision));
}

/// What the suite says when it runs all that a revision requires.
fn run(revision: &str) -> String {
    let home = TestHome::new();
    let fixture = include_str!("../fixtures/conformance_server.py");
    let mut chat = home.start();
    let server = chat.create_python(&fixture.replace("ERA = \"2025-11-25\"", &format!("ERA = {revision:?}")));
    chat.call("save-server", json!({ "serverId": server, "name": "conformance" })).ok();
    assert!(chat.close().success());

    // the suite brings no token
    let host = HttpHost::spawn(&home, &["--only", "conformance", "--without-token"]);
    let mut suite = suite(&home);
    suite.args(["server", "--url", &host.url(), "--requirements", revision, "--timeout", "20000"]);
    let output = suite.stdin(Stdio::null()).output().unwrap();
    assert!(host.terminate().success());
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// For each scenario whether it passed.
fn results(said: &str) -> BTreeMap<String, bool> {
    let (_, summary) = said.split_once("=== SUMMARY ===").unwrap_or_else(|| panic!("the suite did not end\n{said}"));
    let result = |line: &str| {
        let (mark, rest) = line.split_once(' ')?;
        let passed = ["✓", "✗"].contains(&mark).then_some(mark == "✓")?;
        Some((rest.split_once(": ")?.0.to_owned(), passed))
    };
    summary.lines().filter_map(result).collect()
}

/// The scenarios for servers that the suite itself says a revision requires.
fn scored(revision: &str) -> BTreeSet<String> {
    let output = suite(&TestHome::new()).args(["list", "--requirements", revision]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let (_, servers) = listed.split_once("Server scenarios").unwrap();
    let (servers, _) = servers.split_once("Client scenarios").unwrap();
    servers.lines().filter_map(|line| line.strip_prefix("  - ")).map(str::to_owned).collect()
}

fn suite(home: &TestHome) -> std::process::Command {
    let mut suite = home.program(installed("node/node_modules/node/bin/node"));
    suite.arg(installed("conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js"));
    suite
}
