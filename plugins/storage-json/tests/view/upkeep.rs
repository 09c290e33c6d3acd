use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use perennial_sdk::{Checked, Expected, FindingKind, Retention, Version};

use crate::support::{Host, Library, server};

fn object(library: &Library, id: &str, version: u64) -> PathBuf {
    library.data.join(format!("saved_servers.d/s/{id}/{version:010}.json"))
}

fn damage(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap().replace("\"name\":\"", "\"name\":\"not ");
    fs::write(path, &text).unwrap();
    text.into_bytes()
}

fn age(path: &Path, days: u32) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400) * days).unwrap();
}

async fn check(host: &Host, repair: bool) -> Checked {
    host.storage.check(&host.cx, repair).await.unwrap()
}

fn kinds(checked: &Checked) -> Vec<(FindingKind, bool)> {
    checked.findings.iter().map(|finding| (finding.kind, finding.repaired.is_some())).collect()
}

#[tokio::test]
async fn a_repair_takes_what_the_file_still_has() {
    let library = Library::new();
    let host = library.open().await;
    for code in ["one", "two"] {
        host.save("server-a", code).await;
        host.save("server-b", code).await;
    }
    let damaged = damage(&object(&library, "server-a", 2));
    damage(&object(&library, "server-b", 2));
    let mut json = library.json();
    json["server-b"]["code"] = "edited meanwhile".into();
    library.write(perennial_sdk::serde_json::to_string_pretty(&json).unwrap());
    for host in [&host, &library.open().await] {
        assert_eq!(kinds(&check(host, false).await), [(FindingKind::DamagedVersion, false); 2]);
        assert_eq!(host.count("server-a").await, 2, "only a repair repairs");
    }
    let checked = check(&host, true).await;
    let repaired = |id: &str| {
        let finding =
            checked.findings.iter().find(|f| f.server_id.as_ref().is_some_and(|server| server.as_str() == id));
        finding.and_then(|finding| finding.repaired.clone())
    };
    assert!(repaired("server-a").is_some_and(|done| done.contains("saved again as version 3")), "{checked:?}");
    assert_eq!(repaired("server-b"), None, "an edit has replaced it already");
    assert_eq!(
        (host.code("server-a").await.unwrap(), host.version("server-a", 3).await.code),
        ("two".into(), "two".into())
    );
    assert_eq!(host.code("server-b").await.unwrap(), "edited meanwhile");
    assert_eq!(fs::read(object(&library, "server-a", 2)).unwrap(), damaged, "what is damaged is kept");
    assert_eq!(library.json()["server-a"]["version"], 3);
}

#[tokio::test]
async fn what_a_killed_writer_left_is_found_and_removed_by_a_repair_alone() {
    let library = Library::new();
    let host = library.open().await;
    host.save("server-a", "a").await;
    let folder = library.data.join("saved_servers.d");
    let (old, young) = (folder.join(".unfinished/left"), folder.join(".unfinished/young"));
    for path in [&old, &young, &folder.join(".tmpleft")] {
        fs::write(path, "half").unwrap();
    }
    age(&old, 1);
    age(&folder.join(".tmpleft"), 1);
    assert_eq!(kinds(&check(&host, false).await), [(FindingKind::StaleTemporary, false); 2]);
    assert!(old.exists());
    assert_eq!(kinds(&check(&host, true).await), [(FindingKind::StaleTemporary, true); 2]);
    assert!(!old.exists() && young.exists());
    assert!(check(&host, false).await.findings.is_empty());
}

#[tokio::test]
async fn nonsense_in_what_may_be_lost_harms_nothing() {
    let library = Library::new();
    let host = library.open().await;
    for number in 0..120 {
        host.save(&format!("server-{number}"), "x").await;
    }
    host.opened.shutdown().await;
    let list = library.open().await;
    assert_eq!(list.list().await.len(), 120);
    let (before, folder) = (library.json(), library.data.join("saved_servers.d"));
    for nonsense in ["", "null", "[[]]", "{\"stamp\": 5}", "\u{0}"] {
        for name in ["view.json", "index.json"] {
            fs::write(folder.join(name), nonsense).unwrap();
        }
        let host = library.open().await;
        assert_eq!(host.list().await.len(), 120);
        assert_eq!(host.count("server-7").await, 1, "nothing is taken over twice");
        assert!(check(&host, true).await.is_well());
        host.opened.shutdown().await;
    }
    assert_eq!(library.json(), before);
}

#[tokio::test]
async fn a_collection_leaves_the_file_alone() {
    let library = Library::new();
    let host = library.open().await;
    for code in ["one", "two", "three"] {
        host.save("server-a", code).await;
        host.save("server-b", code).await;
    }
    host.storage.delete(&host.cx, &"server-b".parse().unwrap(), Expected::Any).await.unwrap();
    for (id, count) in [("server-a", 3), ("server-b", 4)] {
        (1..=count).for_each(|version| age(&object(&library, id, version), 40));
    }
    let before = library.text();
    let retention = Retention { versions: Some(2), ..Retention::default() };
    let collected = host.storage.collect(&host.cx, &retention).await.unwrap();
    let went: Vec<_> =
        collected.servers.iter().map(|server| (server.server_id.as_str(), server.versions.len())).collect();
    assert_eq!(went, [("server-a", 1), ("server-b", 3)]);
    assert_eq!((library.text(), host.ids().await), (before.clone(), vec!["server-a".to_owned()]));
    let other = library.open().await;
    assert_eq!(other.ids().await, ["server-a"]);
    library.write(&before);
    assert_eq!((other.count("server-a").await, other.version("server-a", 2).await.code), (2, "two".into()));
    assert_eq!(other.put(&server("server-b", "again")).await.unwrap(), Version(5), "no number is given twice");
}
