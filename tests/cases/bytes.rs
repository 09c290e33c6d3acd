//! What passes through is what the child sent, byte for byte: every tool, resource and prompt of the reference server,
//! asked for by an official SDK directly and through the host.

use std::{collections::HashMap, fs, path::Path};

use rstest::rstest;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::support::{TestHome, installed, tests_dir};

/// One request, made directly and through the host.
#[derive(Deserialize)]
struct Called {
    name: String,
    direct: Value,
    host: Value,
    /// Why the server itself refused it.
    refused: Option<String>,
    /// What the client was told through the host.
    told: Value,
}

/// The results that were written, each with its members as they stood there.
fn results(file: &Path) -> HashMap<String, HashMap<String, Box<RawValue>>> {
    #[derive(Deserialize)]
    struct Answer {
        id: Value,
        #[serde(default)]
        method: Option<Value>,
        result: Box<RawValue>,
    }
    let written = fs::read_to_string(file).unwrap();
    let answers = written.lines().filter_map(|line| serde_json::from_str::<Answer>(line).ok());
    let answers = answers.filter(|answer| answer.method.is_none());
    answers.map(|answer| (answer.id.to_string(), serde_json::from_str(answer.result.get()).unwrap())).collect()
}

#[rstest]
fn everything_of_the_reference_server_is_answered_the_same(#[values("legacy", "2026-07-28")] protocol: &str) {
    let home = TestHome::new().unconfined().env("PROTOCOL", protocol).env("NODE_PATH", installed("node/node_modules"));
    let everything = installed("node/node_modules/@modelcontextprotocol/server-everything");
    let server = home.path().join("everything.mjs");
    let code = include_str!("../fixtures/everything.mjs").replace("EVERYTHING", everything.to_str().unwrap());
    fs::write(&server, code).unwrap();
    let mut client = home.program("node");
    client.arg(tests_dir().join("clients/everything.cjs")).arg(&server).arg(home.path());
    let output = client.arg(TestHome::binary()).arg("serve").output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let report: Vec<Called> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.len() >= 16, "all its tools are there: {}", report.len());

    let (direct, through) = (results(&home.path().join("direct")), results(&home.path().join("host")));
    let mut compared = 0;
    for Called { name, direct: one, host: other, refused, told } in report {
        if let Some(refused) = refused {
            let told = told.to_string();
            assert!(told.contains(refused.split(": ").last().unwrap()), "{name}: {refused}; {told}\n{complaints}");
            continue;
        }
        let (one, other) = (&direct[&one.to_string()], &through[&other.to_string()]);
        for (member, sent) in one {
            let passed = other.get(member).unwrap_or_else(|| panic!("{name}: no `{member}`\n{complaints}"));
            assert_eq!(passed.get(), sent.get(), "`{member}` of {name}\n{complaints}");
        }
        let added: Vec<_> = other.keys().filter(|member| !one.contains_key(*member)).collect();
        assert!(
            added.iter().all(|member| ["resultType", "ttlMs", "cacheScope"].contains(&member.as_str())),
            "{name}: {added:?}"
        );
        compared += 1;
    }
    assert!(compared >= 30, "{compared} answers were compared");
}
