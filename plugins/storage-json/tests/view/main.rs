//! The file that users know: what we write into it, and what becomes of what others write.

#![expect(clippy::unwrap_used, reason = "a test")]

#[cfg(target_os = "linux")]
mod in_a_namespace;
#[cfg(unix)]
mod on_unix;
mod support;
mod upkeep;
mod wreckage;

use std::{fs, sync::Arc};

use perennial_sdk::{Cx, Expected, Exported, Home, PutId, Version, serde_json::json};
use perennial_storage_json::JsonStorage;

use self::support::{Library, old, pretty, server};

#[tokio::test]
async fn the_file_is_what_the_guide_shows() {
    let library = Library::new();
    let host = library.open().await;
    assert!(host.list().await.is_empty());
    assert_eq!(fs::read_dir(&library.data).unwrap().count(), 0, "opening and listing write nothing");
    host.save("server-b", "é\n\"").await;
    host.save("42", "x").await;
    host.save("server-a", "y").await;
    let record = |id: &str, code: &str| {
        format!(
            "  \"{id}\": {{\n    \"name\": \"name of {id}\",\n    \"code\": \"{code}\",\n    \"language\": \"python\",\n    \
             \"savedAt\": \"2024-01-15T10:30:00.000Z\",\n    \"serverId\": \"{id}\",\n    \"version\": 1\n  }}"
        )
    };
    let records = [record("42", "x"), record("server-b", "é\\n\\\""), record("server-a", "y")];
    assert_eq!(library.text(), format!("{{\n{}\n}}", records.join(",\n")));
    host.storage.delete(&host.cx, &"server-b".parse().unwrap(), Expected::Any).await.unwrap();
    assert_eq!(library.text(), format!("{{\n{},\n{}\n}}", records[0], records[2]));
    for id in ["42", "server-a"] {
        host.storage.delete(&host.cx, &id.parse().unwrap(), Expected::Any).await.unwrap();
    }
    assert_eq!(library.text(), "{}");
}

#[tokio::test]
async fn what_the_old_program_saved_is_version_one() {
    let text = pretty(&json!({ "server-abc123": old("server-abc123", "a"), "0b1c-uuid": old("0b1c-uuid", "b") }));
    let library = Library::of(&text);
    for _ in 0..2 {
        let host = library.open().await;
        assert_eq!(host.ids().await, ["0b1c-uuid", "server-abc123"]);
        assert_eq!((host.count("server-abc123").await, host.code("server-abc123").await.unwrap()), (1, "a".into()));
        assert_eq!(library.text(), text, "looking does not change the file");
    }
    let host = library.open().await;
    host.save("server-new", "c").await;
    let json = library.json();
    assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["server-abc123", "0b1c-uuid", "server-new"]);
    assert_eq!(json["0b1c-uuid"]["code"], "b");
}

#[tokio::test]
async fn a_hand_edit_is_a_new_version() {
    let library = Library::new();
    let host = library.open().await;
    let permissions = json!({ "network": ["example.org:443"] });
    let mut record = server("server-a", "one");
    record.permissions = perennial_sdk::serde_json::from_value(permissions).unwrap();
    record.lock = Some("lock".into());
    host.put(&record).await.unwrap();
    host.save("server-b", "b").await;
    let mut json = library.json();
    json["server-a"]["code"] = "two".into();
    library.write(perennial_sdk::serde_json::to_string(&json).unwrap());
    let found = host.storage.get(&host.cx, &"server-a".parse().unwrap(), None).await.unwrap();
    assert_eq!((found.version, found.code.as_str(), found.lock.as_deref()), (Version(2), "two", Some("lock")));
    assert_eq!(found.permissions, record.permissions);
    assert_eq!(host.version("server-a", 1).await.code, "one");
    assert_eq!(host.count("server-b").await, 1, "the other record only looks different");
    assert_eq!(library.json()["server-a"]["version"], 2);
    host.list().await;
    assert_eq!(host.count("server-a").await, 2);
}

#[tokio::test]
async fn a_save_by_the_old_program_keeps_what_it_does_not_know() {
    let library = Library::new();
    let host = library.open().await;
    let mut record = server("server-a", "one");
    record.lock = Some("lock".into());
    record.permissions.env = vec!["TOKEN".into()];
    host.put(&record).await.unwrap();
    let mut json = library.json();
    json["server-a"] = old("server-a", "two");
    json["server-new"] = old("server-new", "new");
    library.write(pretty(&json));
    let found = host.storage.get(&host.cx, &"server-a".parse().unwrap(), None).await.unwrap();
    assert_eq!((found.version, found.code.as_str(), found.lock.as_deref()), (Version(2), "two", Some("lock")));
    assert!(found.permissions.is_default(), "nobody granted them to the new code");
    assert_eq!(host.code("server-new").await.unwrap(), "new");
    json["server-a"] = old("server-a", "two");
    library.write(pretty(&json));
    host.list().await;
    assert_eq!(host.count("server-a").await, 2, "the same without our fields is the same");
}

#[tokio::test]
async fn one_vanished_record_is_deleted_and_can_be_had_back() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-a", "a").await;
    host.save("server-b", "b").await;
    let mut json = library.json();
    json.as_object_mut().unwrap().shift_remove("server-b");
    library.write(pretty(&json));
    assert_eq!(host.ids().await, ["server-a"]);
    assert_eq!((host.count("server-b").await, host.version("server-b", 1).await.code), (2, "b".into()));
    host.save("server-b", "b again").await;
    assert_eq!(host.ids().await, ["server-a", "server-b"]);
}

#[tokio::test]
async fn what_vanishes_otherwise_stays() {
    let library = Library::new();
    let host = library.open().await;
    for id in ["server-a", "server-b", "server-c"] {
        host.save(id, id).await;
    }
    let full = library.json();
    let mut one_of_three = full.clone();
    one_of_three.as_object_mut().unwrap().retain(|id, _| id == "server-a");
    let mut with_a_new_one = full.clone();
    with_a_new_one.as_object_mut().unwrap().shift_remove("server-c");
    with_a_new_one["server-new"] = old("server-new", "new");
    let mut with_an_edit = full.clone();
    with_an_edit.as_object_mut().unwrap().shift_remove("server-c");
    with_an_edit["server-a"]["code"] = "edited".into();
    for text in [pretty(&one_of_three), pretty(&with_a_new_one), pretty(&with_an_edit), "{}".into(), String::new()] {
        library.write(&text);
        let ids = host.ids().await;
        assert!(["server-a", "server-b", "server-c"].iter().all(|id| ids.contains(&(*id).into())), "{ids:?} of {text}");
        assert!(library.json()["server-c"].is_object(), "it is in the file again");
    }
    fs::remove_file(library.path()).unwrap();
    assert_eq!(host.ids().await.len(), 4);
    assert_eq!(library.json().as_object().unwrap().len(), 4);
    assert_eq!(host.code("server-a").await.unwrap(), "edited");
}

#[tokio::test]
async fn two_hosts_and_the_old_program_share_one_file() {
    let library = Library::new();
    let (one, two) = (library.open().await, library.open().await);
    one.save("server-1", "one").await;
    two.save("server-2", "two").await;
    let mut stale = library.json();
    one.save("server-1", "one again").await;
    one.save("server-3", "three").await;
    stale["server-old"] = old("server-old", "old");
    library.write(pretty(&stale));
    for host in [&two, &one] {
        assert_eq!(host.ids().await, ["server-1", "server-2", "server-3", "server-old"]);
        assert_eq!(host.code("server-1").await.unwrap(), "one again", "a stale copy takes nothing back");
    }
    assert_eq!(one.count("server-1").await, 2);
    assert_eq!(library.json()["server-1"]["code"], "one again");
}

#[tokio::test]
async fn six_hundred_saves_at_once_do_not_wait_for_each_other_for_ever() {
    let library = Library::new();
    let host = Arc::new(library.open().await);
    let saves = (0..600).map(|number| {
        let host = host.clone();
        tokio::spawn(async move { host.save(&format!("server-{}", number % 10), "x").await })
    });
    for save in saves.collect::<Vec<_>>() {
        save.await.unwrap();
    }
    assert_eq!(library.json().as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn an_older_copy_that_is_put_back_later_is_wanted_back() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-a", "one").await;
    let copy = library.text();
    host.save("server-a", "two").await;
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    for version in 1..=2 {
        let object = library.data.join(format!("saved_servers.d/s/server-a/000000000{version}.json"));
        fs::File::options().write(true).open(object).unwrap().set_modified(yesterday).unwrap();
    }
    library.write(&copy);
    fs::File::options().write(true).open(library.path()).unwrap().set_modified(yesterday).unwrap();
    assert_eq!((host.code("server-a").await.unwrap(), host.count("server-a").await), ("one".into(), 3));
    assert_eq!(host.version("server-a", 2).await.code, "two");
}

#[tokio::test]
async fn the_file_can_be_elsewhere() {
    let library = Library::new();
    let path = library.data.join("team/library.json");
    let home = || Home { data_dir: library.data.clone() };
    let opened = JsonStorage::open(json!({ "path": path }), home()).await.unwrap();
    let storage = opened.storage.unwrap();
    assert_eq!(storage.location(), path.display().to_string());
    storage.put(&Cx::detached(), &server("server-a", "a"), Expected::New, &PutId::random()).await.unwrap();
    assert!(path.is_file() && library.data.join("team/library.d/s/server-a/0000000001.json").is_file());
    assert!(!library.path().exists());
    let error = JsonStorage::open(json!({ "pth": path }), home()).await.err().unwrap();
    assert!(error.message.contains("unknown field `pth`"), "{error}");
}

#[tokio::test]
async fn a_shut_down_host_has_written_its_file() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-large", &"x".repeat(600 * 1024)).await;
    for number in 0..3 {
        host.save("server-small", &number.to_string()).await;
    }
    host.opened.shutdown().await;
    assert_eq!(library.json()["server-small"]["code"], "2");
}

#[tokio::test]
async fn a_large_file_is_written_soon() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-large", &"x".repeat(600 * 1024)).await;
    host.save("server-small", "soon").await;
    let written = async {
        while library.json()["server-small"]["code"] != "soon" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), written).await.expect("it is never written");
}
