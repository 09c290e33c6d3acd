//! What is broken, cut off, or in the way.

use std::fs;

use perennial_sdk::{Page, Version, serde_json::json};

use crate::support::{Library, old, pretty, server};

#[tokio::test]
async fn what_cannot_be_understood_is_carried_byte_for_byte() {
    let strange = [
        ("\"my server\"", "{\n    \"name\": \"x\",   \"code\": \"\\ud800\"\n  }"),
        ("\"\\ud800\"", "{\"a\": 1.50}"),
        ("\"../../etc\"", "[1, 2]"),
        ("\"server-no-object\"", "1e400"),
    ];
    let surrogate = ("\"server-surrogate\"", "{\n    \"name\": \"s\",\n    \"code\": \"\\ud800\"\n  }");
    let no_fields = ("\"server-no-fields\"", "{ \"code\": \"only\" }");
    let all = || strange.iter().chain([&surrogate, &no_fields]);
    let good = format!("\"server-good\": {}", old("server-good", "good"));
    let entries: Vec<_> = all().map(|(key, value)| format!("{key}: {value}")).chain([good]).collect();
    let library = Library::of(format!("{{\n  {}\n}}", entries.join(",\n  ")));
    let host = library.open().await;
    let listed = host.list().await;
    assert_eq!(listed.len(), 7, "{listed:?}");
    let well: Vec<_> = listed.iter().filter(|summary| summary.damage.is_none()).map(|s| s.server_id.as_str()).collect();
    assert_eq!(well, ["server-good"]);
    let mut paged = Vec::new();
    let mut page = Page { limit: 2, ..Page::default() };
    loop {
        let listing = host.storage.list(&host.cx, &page).await.unwrap();
        assert!(listing.items.len() <= 2);
        paged.extend(listing.items);
        page.cursor = listing.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, listed);
    for round in 0..3 {
        host.save("server-good", &format!("good {round}")).await;
        for (key, value) in all() {
            assert!(library.text().contains(&format!("{key}: {value}")), "{key} in {}", library.text());
        }
        assert_eq!(host.count("server-surrogate").await, 1);
        library.open().await.save("server-other", "other").await;
    }
    let error = host.storage.get(&host.cx, &"server-surrogate".parse().unwrap(), None).await.unwrap_err();
    assert!(error.message.contains("is not a saved server"), "{error}");
    fs::remove_file(library.path()).unwrap();
    host.save("server-good", "after the file was lost").await;
    for (key, value) in all() {
        assert!(library.text().contains(&format!("{key}: {value}")), "{key} in {}", library.text());
    }
}

#[tokio::test]
async fn a_broken_file_is_copied_and_written_again() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-a", "a").await;
    host.save("server-b", "b").await;
    let good = library.text();
    let new = format!("{{\n  \"server-new\": {},\n", old("server-new", "new"));
    let broken = [
        good[..good.len() - 30].to_owned(),
        good.replacen("\"b\"", "\"b\" oops", 1),
        good.replacen("{\n", &new, 1) + "}",
    ];
    for (number, text) in broken.iter().enumerate() {
        library.write(text);
        let ids = host.ids().await;
        assert!(ids.contains(&"server-a".into()) && ids.contains(&"server-b".into()), "{ids:?} of {text}");
        assert!(library.json()["server-b"]["code"] == "b", "it is whole again");
        assert!(library.aside().contains(&text.clone().into_bytes()));
        assert_eq!(library.aside().len(), number + 1);
    }
    assert_eq!(host.code("server-new").await.unwrap(), "new", "what was whole in the broken file is not lost");
    assert_eq!((host.count("server-a").await, host.count("server-b").await), (1, 1));
    library.write(&broken[0]);
    host.list().await;
    assert_eq!(library.aside().len(), 3, "the same wreck is kept once");
}

#[tokio::test]
async fn a_broken_file_of_the_old_program_gives_what_is_whole() {
    let text = pretty(&json!({ "server-a": old("server-a", "a"), "server-b": old("server-b", "b") }));
    let torn = &text[..text.len() - 20];
    let library = Library::of(torn);
    let host = library.open().await;
    assert_eq!(host.ids().await, ["server-a"]);
    assert_eq!(library.aside(), [torn.as_bytes()]);
    host.save("server-c", "c").await;
    assert_eq!(library.json().as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn a_damaged_version_is_listed_and_the_others_work() {
    let library = Library::new();
    let host = library.open().await;
    for id in ["server-a", "server-b", "server-c"] {
        host.save(id, "1").await;
        host.save(id, "2").await;
    }
    let object = |id: &str| library.data.join(format!("saved_servers.d/s/{id}/0000000002.json"));
    let text = fs::read_to_string(object("server-a")).unwrap();
    fs::write(object("server-a"), text.replace("\"code\":\"2\"", "\"code\":\"3\"")).unwrap();
    fs::write(object("server-b"), &fs::read(object("server-b")).unwrap()[..40]).unwrap();
    for host in [host, library.open().await] {
        let listed = host.list().await;
        let damaged: Vec<_> = listed.iter().map(|summary| summary.damage.is_some()).collect();
        assert_eq!(damaged, [true, true, false], "{listed:?}");
        assert!(listed[0].damage.as_ref().unwrap().contains("checksum"), "{listed:?}");
        let error = host.storage.get(&host.cx, &"server-a".parse().unwrap(), None).await.unwrap_err();
        assert!(error.message.contains("version 2 of `server-a` is damaged"), "{error}");
        assert_eq!(host.version("server-a", 1).await.code, "1");
        host.save("server-c", "3").await;
        assert_eq!(library.json()["server-a"]["code"], "2", "the file still has it");
    }
    let host = library.open().await;
    assert_eq!(host.save("server-a", "3").await, Version(3));
    assert_eq!(host.code("server-a").await.unwrap(), "3");
}

#[tokio::test]
async fn what_a_killed_host_did_not_come_to_write_is_written_by_the_next() {
    let library = Library::new();
    library.open().await.save("server-a", "a").await;
    let before: Vec<_> =
        [library.path(), library.data.join("saved_servers.d/view.json")].map(|p| (fs::read(&p).unwrap(), p)).into();
    library.open().await.save("server-b", "b").await;
    for (bytes, path) in before {
        fs::write(path, bytes).unwrap();
    }
    let host = library.open().await;
    host.list().await;
    let written = async {
        while !library.json()["server-b"].is_object() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), written).await.expect("it is never written");
    assert_eq!(host.count("server-b").await, 1);
}

#[tokio::test]
async fn what_is_in_the_way_is_said_plainly() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-a", "a").await;
    let before = library.text();
    let shelf = library.data.join("saved_servers.d/s/server-b");
    fs::write(&shelf, "in the way").unwrap();
    let error = host.put(&server("server-b", "b")).await.unwrap_err();
    assert!(error.message.starts_with("cannot list `") && error.message.contains("server-b"), "{error}");
    assert_eq!((library.text(), host.ids().await), (before, vec!["server-a".to_string()]));
    fs::remove_file(&shelf).unwrap();
    host.save("server-b", "b").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_no_failed_save() {
    let library = Library::new();
    fs::create_dir(library.path()).unwrap();
    let host = library.open().await;
    assert_eq!(host.save("server-a", "a").await, Version(1));
    assert_eq!(host.ids().await, ["server-a"]);
    fs::remove_dir(library.path()).unwrap();
    host.save("server-a", "b").await;
    assert_eq!(library.json()["server-a"]["code"], "b");
}
