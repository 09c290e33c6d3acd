//! What passes through is what the child sent, byte for byte: every tool, resource and prompt of the reference server and
//! of the one for the conformance suite, asked for by an official SDK directly and through the host.

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
    let everything = installed("node/node_modules/@modelcontextprotocol/server-everything");
    let code = include_str!("../fixtures/everything.mjs").replace("EVERYTHING", everything.to_str().unwrap());
    assert!(compared("everything.mjs", &code, "legacy", protocol) >= 30);
}

#[rstest]
fn everything_of_the_conformance_server_is_answered_the_same(
    #[values("legacy", "2026-07-28")] direct: &str,
    #[values("legacy", "2026-07-28")] protocol: &str,
) {
    // it repeats what it was answered, whose members have no order
    let code = include_str!("../fixtures/conformance_server.py");
    let code = code.replace("json.dumps(given)", "json.dumps(given, sort_keys=True)");
    let (code, least) = match direct {
        "legacy" => (code, 23),
        _ => (code.replace("ERA = \"2025-11-25\"", "ERA = \"2026-07-28\""), 28),
    };
    assert!(compared("conformance.py", &code, direct, protocol) >= least);
}

/// Compares what a server answers by `direct` with what comes through the host by `protocol`, and counts that.
fn compared(file: &str, code: &str, direct: &str, protocol: &str) -> usize {
    let home = TestHome::new().unconfined().env("PROTOCOL", protocol).env("DIRECT", direct);
    let home = home.env("NODE_PATH", installed("node/node_modules"));
    let server = home.path().join(file);
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
        let passed = through.get(&other.to_string());
        let other = passed.unwrap_or_else(|| panic!("{name} has no result through the host: {told}\n{complaints}"));
        let one = &direct[&one.to_string()];
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
    compared
}
