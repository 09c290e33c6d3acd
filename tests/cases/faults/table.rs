//! `docs/faults.md` and the tests that there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde_json::Value;

use crate::support::tests_dir;

/// `module::fault_NN_name`, without the cases.
fn tests() -> BTreeSet<String> {
    let listed = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.lines().filter_map(|line| line.strip_suffix(": test")?.strip_prefix("cases::faults::"));
    let name = |path: &str| path.splitn(3, "::").take(2).collect::<Vec<_>>().join("::");
    paths.map(name).filter(|name| name.contains("::fault_")).collect()
}

#[test]
fn every_fault_has_a_test_and_the_table_names_them_all() {
    let table = fs::read_to_string(tests_dir().join("../docs/faults.md")).unwrap();
    let faults: Value = serde_json::from_slice(&fs::read(tests_dir().join("faults.json")).unwrap()).unwrap();
    let faults: Vec<&Value> =
        faults.as_array().unwrap().iter().flat_map(|part| part["faults"].as_array().unwrap()).collect();
    let rows: BTreeMap<usize, &str> = table
        .lines()
        .filter_map(|line| Some((line.strip_prefix("| ")?.split_once(" |")?.0.parse().ok()?, line)))
        .collect();
    let tests = tests();
    assert_eq!((faults.len(), rows.len()), (45, 45));
    for (number, fault) in (1..).zip(faults) {
        let row = rows[&number];
        let mark = format!("::fault_{number:02}_");
        let there: BTreeSet<&str> = tests.iter().map(String::as_str).filter(|test| test.contains(&mark)).collect();
        let named: BTreeSet<&str> = row.split('`').filter(|part| part.contains("::fault_")).collect();
        assert_eq!(named, there, "fault {number}: `tests/faults` writes the table anew");
        assert!(!there.is_empty() || fault["waits"].is_string(), "fault {number} has no test");
        assert!(row.contains(fault["expected"].as_str().unwrap()), "fault {number} is another one in the table: {row}");
    }
}
