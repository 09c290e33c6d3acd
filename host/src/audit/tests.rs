use std::{fs, os::unix::fs::PermissionsExt};

use perennial_sdk::{ClientIdentity, Error};
use serde_json::{Value, json};

use super::*;
use crate::{
    identity::Client,
    mcp::{Reply, Said},
};

fn asked(event: Event, arguments: Value) -> Asked {
    let Value::Object(arguments) = arguments else { panic!("an object") };
    Asked::new(event, &arguments, &Client::local(ClientIdentity::new("chat", "1.2")))
}

#[test]
fn an_entry_has_names_and_sizes_and_nothing_that_was_passed() {
    let arguments = json!({ "serverId": "s".repeat(5000), "toolName": "login", "args": { "password": "hunter2" } });
    let error = Said::failure("call the tool", &Error::not_found("there is no hunter2"));
    let entry = asked(Event::Execute, arguments).answered(&Reply::Said(error), false).remove(0);
    let mut line = Vec::new();
    entry.append_to(&mut line);
    let line = String::from_utf8(line).unwrap();
    assert!(!line.contains("hunter2") && line.ends_with("}\n") && line.len() < 600, "{line}");
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&read["event"], &read["outcome"], &read["error"]),
        (&json!("execute"), &json!("failed"), &json!("not_found"))
    );
    assert_eq!((&read["tool"], &read["bytesIn"], &read["client"]), (&json!("login"), &json!(15), &json!("chat 1.2")));
}

#[test]
fn what_a_call_made_is_named() {
    let facts = json!({ "serverId": "server-1", "savedServerId": "server-0", "version": 3 });
    let entry = asked(Event::Save, json!({ "serverId": "mine", "name": "Mine" }))
        .answered(&Reply::Said(Said::new("saved", facts)), false)
        .remove(0);
    assert_eq!((entry.server.as_deref(), entry.saved.as_deref()), (Some("server-1"), Some("server-0")));
    assert_eq!((entry.version, entry.outcome, entry.bytes_in), (Some(3), Outcome::Ok, None));
}

#[test]
fn a_grant_and_a_denial_are_told_beside_what_they_belong_to() {
    let asking = json!({ "language": "python", "permissions": { "network": ["10.0.0.1:80"] } });
    let denied = Error::new(perennial_sdk::ErrorCode::Denied, "no");
    let told =
        asked(Event::Create, asking.clone()).answered(&Reply::Said(Said::failure("create the server", &denied)), false);
    assert_eq!(told.iter().map(|entry| entry.event).collect::<Vec<_>>(), [Event::Create, Event::Denial]);
    assert_eq!(told[1].permissions, Some(json!({ "network": ["10.0.0.1:80"] })));
    let granted = json!({ "network": ["a.example:443"], "read": [], "write": [], "env": [] });
    for (granted, events) in [(granted, 2), (json!({ "network": "none", "read": [] }), 1)] {
        let facts = json!({ "serverId": "server-1", "granted": granted });
        let told = asked(Event::Create, asking.clone()).answered(&Reply::Said(Said::new("up", facts)), false);
        assert_eq!(told.len(), events);
        assert!(told.iter().all(|entry| entry.server.as_deref() == Some("server-1")));
    }
}

#[test]
fn entries_are_read_in_order_and_stay_private() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Audit::new(folder.path()), Audit::new(folder.path()));
    for count in 0..200 {
        one.record(Entry { count: Some(count), ..Entry::new(Event::Create) });
    }
    one.flush();
    other.record(Entry::new(Event::Grant));
    other.flush();
    let entries = read(folder.path()).unwrap();
    let counts: Vec<_> = entries.iter().filter_map(|entry| entry.count).collect();
    assert_eq!((counts, entries.last().unwrap().event), ((0..200).collect(), Event::Grant));
    let file = folder.path().join("audit/audit.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // a line that was torn takes no other with it
    fs::write(&file, [b"{\"event\":\"cre\n".as_slice(), &fs::read(&file).unwrap()].concat()).unwrap();
    assert_eq!(read(folder.path()).unwrap().len(), 201);
}

#[test]
fn files_that_are_full_go_and_the_last_entries_stay() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path().join("audit")).full_at(2000);
    for count in 0..1000 {
        let mut line = Vec::new();
        Entry { count: Some(count), ..Entry::new(Event::Load) }.append_to(&mut line);
        journal.append(&line).unwrap();
    }
    let counts: Vec<_> = journal.read().unwrap().iter().filter_map(|entry| entry.count).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&999) && counts.len() < 200, "{counts:?}");
    assert_eq!(fs::read_dir(folder.path().join("audit")).unwrap().count(), 6, "five files and the lock");
}

#[test]
fn a_folder_that_cannot_be_written_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("audit"), "a file").unwrap();
    let audit = Audit::new(folder.path());
    audit.record(Entry::new(Event::Create));
    audit.flush();
    assert!(read(folder.path()).is_err());
}
