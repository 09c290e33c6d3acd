//! Large texts, collections, checks and repairs of a library.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use perennial_sdk::{
    Finding, FindingKind,
    prelude::*,
    testkit::{Fault, Faults, FaultyObjects, MemoryObjects},
};

const DAY: Duration = Duration::from_secs(86_400);
const INDEX: &str = "index.json";

struct Bench {
    medium: MemoryObjects,
    library: ObjectLibrary<MemoryObjects>,
    cx: Cx,
}

impl Bench {
    fn new() -> Self {
        let medium = MemoryObjects::default();
        let library = ObjectLibrary::new(medium.clone()).with_blobs(10).with_index(INDEX);
        Self { medium, library, cx: Cx::detached() }
    }

    async fn save(&self, id: &str, code: &str) -> Version {
        let record = SavedServer { server_id: id.into(), code: code.into(), ..SavedServer::default() };
        self.put(&record).await
    }

    async fn put(&self, record: &SavedServer) -> Version {
        self.library.put(&self.cx, record, Expected::Any, &PutId::random()).await.unwrap()
    }

    async fn code(&self, id: &str, version: u64) -> Result<String> {
        self.library.get(&self.cx, &server(id), Some(Version(version))).await.map(|server| server.code)
    }

    async fn versions(&self, id: &str) -> Vec<u64> {
        let versions = self.library.versions(&self.cx, &server(id)).await.unwrap();
        versions.into_iter().map(|version| version.0).collect()
    }

    async fn collect(&self, retention: &Retention) -> Collected {
        let dry = Retention { dry_run: true, ..retention.clone() };
        let (before, planned) = (self.medium.keys(), self.library.collect(&self.cx, &dry).await.unwrap());
        assert_eq!(self.medium.keys(), before, "a dry run changes nothing");
        let collected = self.library.collect(&self.cx, retention).await.unwrap();
        assert_eq!(collected, planned, "a dry run tells what would be removed");
        collected
    }

    async fn check(&self, repair: bool) -> Vec<Finding> {
        let fresh = ObjectLibrary::new(self.medium.clone()).with_index(INDEX);
        fresh.check(&self.cx, repair, &["own/"]).await.unwrap().findings
    }

    fn blobs(&self) -> Vec<String> {
        self.medium.keys().into_iter().filter(|key| key.starts_with("blob/")).collect()
    }
}

fn server(id: &str) -> ServerId {
    id.parse().unwrap()
}

fn kinds(findings: &[Finding]) -> Vec<(FindingKind, bool)> {
    findings.iter().map(|finding| (finding.kind, finding.repaired.is_some())).collect()
}

#[tokio::test]
async fn large_texts_are_kept_once_and_come_back() {
    let bench = Bench::new();
    let text = "a large text".to_owned();
    let record = SavedServer {
        server_id: "server-a".into(),
        code: text.clone(),
        lock: Some("another large text".into()),
        files: [("a/b.py".to_owned(), text.clone()), ("small".to_owned(), "x".to_owned())].into(),
        ..SavedServer::default()
    };
    for _ in 0..2 {
        bench.put(&record).await;
    }
    bench.save("server-b", &text).await;
    assert_eq!(bench.blobs().len(), 2, "versions and servers share them");
    for library in [&bench.library, &ObjectLibrary::new(bench.medium.clone())] {
        for version in [1, 2] {
            let found = library.get(&bench.cx, &server("server-a"), Some(Version(version))).await.unwrap();
            assert_eq!((&found.code, &found.lock, &found.files), (&record.code, &record.lock, &record.files));
        }
    }
    bench.save("server-c", "ten bytes.").await;
    assert_eq!(bench.blobs().len(), 2, "what is not above the threshold stays in the record");
}

#[tokio::test]
async fn a_changed_text_is_noticed_and_a_save_of_it_heals_all() {
    let bench = Bench::new();
    bench.save("server-a", "a large text").await;
    let blob = bench.blobs().pop().unwrap();
    bench.medium.overwrite(&blob, b"a lArge text");
    let error = bench.code("server-a", 1).await.unwrap_err();
    assert!(error.message.contains("is damaged: its large text") && error.message.contains("changed"), "{error}");
    assert_eq!(kinds(&bench.check(true).await), [(FindingKind::DamagedBlob, false), (FindingKind::MissingBlob, false)]);
    bench.save("server-b", "a large text").await;
    assert_eq!(bench.code("server-b", 1).await.unwrap(), "a large text");
    assert_eq!(bench.code("server-a", 1).await.unwrap(), "a large text");
    assert_eq!(bench.medium.keys().iter().filter(|key| **key == blob).count(), 1, "nothing is removed");
    assert_eq!(kinds(&bench.check(true).await), [(FindingKind::DamagedBlob, false)]);
    bench.medium.remove(&blob).await.unwrap();
    assert_eq!(bench.code("server-a", 1).await.unwrap(), "a large text");
    assert!(bench.check(false).await.is_empty());
}

#[tokio::test]
async fn everything_is_kept_unless_somebody_says_otherwise() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.save("server-a", &format!("large text {number}")).await;
    }
    bench.medium.age(DAY * 1000);
    assert_eq!(bench.collect(&Retention::default()).await, Collected::default());
    assert_eq!(bench.versions("server-a").await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn old_versions_go_by_number_and_by_age() {
    let bench = Bench::new();
    for number in 0..4 {
        bench.save("server-a", &format!("large text {number}")).await;
        bench.medium.age(DAY * 10);
    }
    let by = |versions, days: Option<u32>| Retention {
        versions,
        replaced: days.map(|days| DAY * days),
        ..Retention::default()
    };
    assert!(bench.collect(&by(Some(3), Some(100))).await.servers.is_empty(), "one of both keeps it");
    assert!(bench.collect(&by(None, Some(31))).await.servers.is_empty(), "the first was replaced 30 days ago");
    let collected = bench.collect(&by(None, Some(29))).await;
    assert_eq!(collected.servers[0].versions, [Version(1)]);
    assert!(collected.blobs == 1 && collected.bytes > 12 && !collected.servers[0].deleted, "{collected:?}");
    assert_eq!(bench.versions("server-a").await, [2, 3, 4]);
    bench.collect(&by(Some(2), None)).await;
    assert_eq!(bench.versions("server-a").await, [3, 4]);
    bench.collect(&by(Some(0), Some(1))).await;
    assert_eq!((bench.versions("server-a").await, bench.blobs().len()), (vec![4], 1));
    assert_eq!(bench.code("server-a", 4).await.unwrap(), "large text 3");
    let error = bench.code("server-a", 1).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound, "{error}");
    assert_eq!(bench.save("server-a", "x").await, Version(5));
    assert!(bench.collect(&by(Some(1), None)).await.servers.is_empty(), "what was replaced today is never collected");
}

#[tokio::test]
async fn what_is_full_can_be_collected() {
    let bench = Bench::new();
    bench.save("server-a", "1").await;
    bench.save("server-a", "2").await;
    bench.medium.age(DAY * 2);
    bench.save("server-b", "x").await;
    let faults = Faults::default();
    let library = ObjectLibrary::new(FaultyObjects::new(bench.medium.clone(), faults.clone()));
    let retention = Retention { versions: Some(1), ..Retention::default() };
    faults.plan([Fault::Before]);
    library.collect(&bench.cx, &retention).await.unwrap();
    assert_eq!(bench.versions("server-a").await, [2]);
}

#[tokio::test]
async fn a_store_that_is_away_damages_nothing() {
    let bench = Bench::new();
    bench.save("server-a", "1").await;
    let faults = Faults::default();
    let library = ObjectLibrary::new(FaultyObjects::new(bench.medium.clone(), faults.clone()));
    faults.plan([Fault::None, Fault::Before]);
    let error = library.list(&bench.cx, &Page::default()).await.unwrap_err();
    assert!(error.retryable, "{error}");
    let listing = library.list(&bench.cx, &Page::default()).await.unwrap();
    assert_eq!((listing.items.len(), &listing.items[0].damage), (1, &None));
}

#[tokio::test]
async fn a_deleted_server_can_be_had_back_for_a_while() {
    let bench = Bench::new();
    bench.save("server-a", "large text 1").await;
    bench.save("server-a", "large text 2").await;
    bench.library.delete(&bench.cx, &server("server-a"), Expected::Any).await.unwrap();
    bench.medium.age(DAY * 29);
    assert_eq!(bench.collect(&Retention::default()).await, Collected::default());
    assert_eq!(bench.code("server-a", 2).await.unwrap(), "large text 2");
    bench.medium.age(DAY * 2);
    let collected = bench.collect(&Retention::default()).await;
    assert!(collected.servers[0].deleted && collected.blobs == 2, "{collected:?}");
    assert_eq!((bench.versions("server-a").await, bench.blobs().len()), (vec![3], 0), "the tombstone stays");
    let gone = bench.library.get(&bench.cx, &server("server-a"), None).await.unwrap_err();
    assert!(gone.code == ErrorCode::NotFound && !gone.hint.is_some_and(|hint| hint.contains("version 2")));
    assert_eq!(bench.save("server-a", "large text 1").await, Version(4));
    assert!(bench.check(false).await.is_empty(), "no version is missed that was collected");
}

#[tokio::test]
async fn the_newest_whole_version_outlives_a_damaged_one() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.save("server-a", &format!("large text {number}")).await;
    }
    for version in [4, 5] {
        bench.medium.overwrite(&format!("s/server-a/000000000{version}.json"), b"{}");
    }
    bench.medium.age(DAY * 2);
    bench.collect(&Retention { versions: Some(1), ..Retention::default() }).await;
    assert_eq!(bench.versions("server-a").await, [3, 4, 5]);
    assert_eq!(bench.code("server-a", 3).await.unwrap(), "large text 2");
}

#[tokio::test]
async fn a_text_is_spared_while_anything_may_need_it() {
    let bench = Bench::new();
    bench.save("server-a", "a large text").await;
    let object = "s/server-a/0000000001.json";
    let text = String::from_utf8(bench.medium.read(object).await.unwrap()).unwrap();
    bench.medium.overwrite(object, text.replace("record", "rEcord").as_bytes());
    bench.medium.age(DAY * 2);
    assert_eq!(bench.collect(&Retention::default()).await.blobs, 0, "a damaged version may be mended by hand");
    bench.medium.overwrite(object, text.as_bytes());
    assert_eq!(bench.code("server-a", 1).await.unwrap(), "a large text");
}

#[tokio::test]
async fn what_collectors_leave_behind_goes_with_the_next_day() {
    let bench = Bench::new();
    bench.save("server-a", "large text 1").await;
    bench.medium.remove("s/server-a/0000000001.json").await.unwrap();
    bench.medium.age(DAY * 2);
    assert_eq!(bench.collect(&Retention::default()).await.blobs, 1);
    assert!(bench.medium.keys().iter().any(|key| key.starts_with("gc/")), "a mark outlives its collector");
    assert!(bench.check(false).await.is_empty());
    bench.medium.age(DAY * 2);
    bench.collect(&Retention::default()).await;
    assert_eq!(bench.medium.keys(), [""; 0]);
}

#[tokio::test]
async fn a_check_names_everything_that_is_wrong_and_removes_nothing() {
    let bench = Bench::new();
    bench.save("server-d", "a large text").await;
    let blob = bench.blobs().remove(0);
    for id in ["server-a", "server-b", "server-c"] {
        bench.save(id, &format!("{id} large 1")).await;
        bench.save(id, &format!("{id} large 2")).await;
        bench.save(id, "small").await;
    }
    bench.medium.cache("own/probe", b"").await.unwrap();
    assert!(bench.check(true).await.is_empty());
    bench.medium.overwrite("s/server-a/0000000003.json", b"half an obj");
    bench.medium.remove("s/server-b/0000000002.json").await.unwrap();
    bench.medium.overwrite("s/server-c/notes.txt", b"");
    bench.medium.remove(&blob).await.unwrap();
    let before = bench.medium.keys();
    let found = bench.check(false).await;
    assert_eq!(bench.medium.keys(), before);
    let all =
        [FindingKind::DamagedVersion, FindingKind::MissingVersion, FindingKind::StrayObject, FindingKind::MissingBlob];
    let mut shown: Vec<_> = found.iter().map(|finding| finding.kind).collect();
    shown.sort_by_key(|kind| all.iter().position(|one| one == kind));
    assert_eq!(shown, all, "{found:#?}");
    assert!(found.iter().all(|finding| finding.hint.is_some()), "{found:#?}");
    bench.check(true).await;
    assert!(before.iter().all(|key| bench.medium.keys().contains(key)), "a repair removes nothing either");
}

#[tokio::test]
async fn a_repair_saves_the_newest_whole_version_again() {
    let bench = Bench::new();
    for number in 0..3 {
        bench.save("server-a", &format!("large text {number}")).await;
    }
    bench.medium.overwrite("s/server-a/0000000003.json", b"half an obj");
    let found = bench.check(true).await;
    assert_eq!(kinds(&found), [(FindingKind::DamagedVersion, true)]);
    assert!(found[0].repaired.as_ref().unwrap().contains("version 2 was saved again as version 4"), "{found:?}");
    let newest = bench.library.get(&bench.cx, &server("server-a"), None).await.unwrap();
    assert_eq!((newest.version, newest.code.as_str()), (Version(4), "large text 1"));
    assert_eq!(bench.medium.read("s/server-a/0000000003.json").await.unwrap(), b"half an obj", "it is kept");
    assert_eq!(kinds(&bench.check(true).await), [(FindingKind::DamagedVersion, false)], "nothing is left to do");
}

#[tokio::test]
async fn a_wrong_index_is_found_and_made_anew() {
    let bench = Bench::new();
    for number in 0..150 {
        bench.save(&format!("server-{number}"), "x").await;
    }
    let fresh = || ObjectLibrary::new(bench.medium.clone()).with_index(INDEX);
    fresh().list(&bench.cx, &Page::default()).await.unwrap();
    assert!(bench.check(false).await.is_empty());
    let text = String::from_utf8(bench.medium.read(INDEX).await.unwrap()).unwrap();
    for wrong in [text.replacen("\"name\":\"\"", "\"name\":\"another\"", 1), "[".into()] {
        bench.medium.overwrite(INDEX, wrong.as_bytes());
        assert_eq!(kinds(&bench.check(false).await), [(FindingKind::WrongIndex, false)]);
        assert_eq!(kinds(&bench.check(true).await), [(FindingKind::WrongIndex, true)]);
        assert!(bench.check(false).await.is_empty());
        let listed = fresh().list(&bench.cx, &Page::default()).await.unwrap().items;
        assert!(listed.len() == 150 && listed.iter().all(|summary| summary.name.is_empty()));
    }
}
