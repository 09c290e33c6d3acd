//! The file that users know: what we write into it, and what becomes of what others write.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::PathBuf, sync::Arc};

use perennial_sdk::{
    Cx, DynStorage, Expected, Exported, Home, Opened, Page, PutId, SavedServer, ServerId, Summary, Version,
    serde_json::{Value, from_str, json},
};
use perennial_storage_json::JsonStorage;

struct Library {
    data: PathBuf,
    _folder: tempfile::TempDir,
}

struct Host {
    opened: Opened,
    storage: Arc<dyn DynStorage>,
    cx: Cx,
}

impl Library {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { data: folder.path().to_owned(), _folder: folder }
    }

    /// As only the old program wrote it.
    fn of(text: impl AsRef<[u8]>) -> Self {
        let library = Self::new();
        library.write(text);
        library
    }

    fn path(&self) -> PathBuf {
        self.data.join("saved_servers.json")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(self.path(), text).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn json(&self) -> Value {
        from_str(&self.text()).unwrap()
    }

    fn aside(&self) -> Vec<Vec<u8>> {
        let files = fs::read_dir(&self.data).unwrap().map(|entry| entry.unwrap().path());
        let aside = files.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(".corrupt-"));
        aside.map(|path| fs::read(path).unwrap()).collect()
    }

    async fn open(&self) -> Host {
        let opened = JsonStorage::open(Value::Null, Home { data_dir: self.data.clone() }).await.unwrap();
        Host { storage: opened.storage.clone().unwrap(), opened, cx: Cx::detached() }
    }
}

impl Host {
    async fn save(&self, id: &str, code: &str) -> Version {
        self.put(&server(id, code)).await.unwrap()
    }

    async fn put(&self, record: &SavedServer) -> perennial_sdk::Result<Version> {
        self.storage.put(&self.cx, record, Expected::Any, &PutId::random()).await
    }

    async fn code(&self, id: &str) -> Option<String> {
        self.storage.get(&self.cx, &id.parse().unwrap(), None).await.ok().map(|found| found.code)
    }

    async fn version(&self, id: &str, version: u64) -> SavedServer {
        self.storage.get(&self.cx, &id.parse().unwrap(), Some(Version(version))).await.unwrap()
    }

    async fn count(&self, id: &str) -> usize {
        self.storage.versions(&self.cx, &id.parse::<ServerId>().unwrap()).await.map_or(0, |versions| versions.len())
    }

    async fn list(&self) -> Vec<Summary> {
        self.storage.list(&self.cx, &Page::default()).await.unwrap().items
    }

    async fn ids(&self) -> Vec<String> {
        self.list().await.into_iter().map(|summary| summary.server_id).collect()
    }
}

fn server(id: &str, code: &str) -> SavedServer {
    SavedServer {
        name: format!("name of {id}"),
        code: code.into(),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: id.into(),
        ..SavedServer::default()
    }
}

/// As the old program writes a record.
fn old(id: &str, code: &str) -> Value {
    json!({ "name": id, "code": code, "language": "python", "savedAt": "2024-01-15T10:30:00.000Z", "serverId": id })
}

/// As the old program writes the file: `JSON.stringify(…, null, 2)`.
fn pretty(value: &Value) -> String {
    perennial_sdk::serde_json::to_string_pretty(value).unwrap()
}

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
    let mut page = Page { cursor: None, limit: 2 };
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

#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[tokio::test]
    async fn a_link_stays_a_link_and_a_mode_stays_a_mode() {
        let library = Library::new();
        let elsewhere = library.data.join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::write(elsewhere.join("real.json"), pretty(&json!({ "server-a": old("server-a", "a") }))).unwrap();
        fs::set_permissions(elsewhere.join("real.json"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("elsewhere/real.json", library.path()).unwrap();
        let host = library.open().await;
        host.save("server-b", "b").await;
        assert!(fs::symlink_metadata(library.path()).unwrap().is_symlink());
        assert_eq!(fs::metadata(elsewhere.join("real.json")).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(library.json().as_object().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_dangling_link_gets_its_file() {
        let library = Library::new();
        symlink("real.json", library.path()).unwrap();
        library.open().await.save("server-a", "a").await;
        assert!(fs::symlink_metadata(library.path()).unwrap().is_symlink());
        assert_eq!(library.json()["server-a"]["code"], "a");
    }
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

#[cfg(target_os = "linux")]
mod in_a_namespace {
    //! Mounts of our own, where this system lets a user make them.

    use std::process::Command;

    use super::*;

    const FOLDER: &str = "PERENNIAL_TEST_FOLDER";

    /// The folder to work in, when this is the process with the mounts; otherwise starts that, with `mounts` run first.
    #[expect(clippy::disallowed_methods, reason = "mounts need a process of their own")]
    fn mounted(test: &str, mounts: &str, prepare: impl FnOnce(&Library)) -> Option<PathBuf> {
        if let Some(folder) = std::env::var_os(FOLDER) {
            return Some(folder.into());
        }
        if !Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|output| output.status.success()) {
            eprintln!("no user namespaces here");
            return None;
        }
        let library = Library::new();
        prepare(&library);
        let output = Command::new("unshare")
            .args(["-Urm", "sh", "-ec", &format!("cd \"${FOLDER}\"; {mounts}; exec \"$0\" --exact \"$1\" --nocapture")])
            .arg(std::env::current_exe().unwrap())
            .arg(format!("in_a_namespace::{test}"))
            .env(FOLDER, &library.data)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        None
    }

    fn at(data: PathBuf) -> Library {
        Library { data, _folder: tempfile::tempdir().unwrap() }
    }

    #[tokio::test]
    async fn a_mounted_file_is_overwritten() {
        let prepare = |library: &Library| {
            library.write(pretty(&json!({ "server-a": old("server-a", "a") })));
            fs::copy(library.path(), library.data.join("elsewhere")).unwrap();
        };
        let mounts = "mount --bind elsewhere saved_servers.json";
        let Some(data) = mounted("a_mounted_file_is_overwritten", mounts, prepare) else { return };
        let library = at(data);
        let host = library.open().await;
        host.save("server-b", "b").await;
        host.save("server-c", "c").await;
        assert_eq!(library.json().as_object().unwrap().len(), 3);
        assert_eq!(fs::read(library.data.join("elsewhere")).unwrap(), library.text().into_bytes());
    }

    #[tokio::test]
    async fn a_read_only_disk_is_said_and_read() {
        let prepare = |library: &Library| library.write(pretty(&json!({ "server-a": old("server-a", "a") })));
        let mounts = "mount --bind . .; mount -o remount,bind,ro .; cd .";
        let Some(data) = mounted("a_read_only_disk_is_said_and_read", mounts, prepare) else { return };
        let library = at(data);
        let before = library.text();
        let host = library.open().await;
        for _ in 0..2 {
            assert_eq!((host.ids().await, host.code("server-a").await.unwrap()), (vec!["server-a".into()], "a".into()));
        }
        let error = host.put(&server("server-b", "b")).await.unwrap_err();
        assert!(error.message.contains("Read-only file system") && error.hint.is_some(), "{error:?}");
        assert_eq!((library.text(), host.ids().await), (before, vec!["server-a".into()]));
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_loses_nothing() {
        let mounts = "mount -t tmpfs -o size=256k none .; cd \"$PWD\"";
        let Some(data) = mounted("a_full_disk_is_said_and_loses_nothing", mounts, |_| {}) else { return };
        let library = at(data);
        let host = library.open().await;
        host.save("server-a", "a").await;
        let before = library.text();
        let put_id = PutId::random();
        let large = server("server-b", &"x".repeat(300 * 1024));
        let error = host.storage.put(&host.cx, &large, Expected::Any, &put_id).await.unwrap_err();
        assert!(error.hint.as_ref().unwrap().contains("free some space"), "{error:?}");
        assert_eq!((library.text(), host.ids().await), (before, vec!["server-a".to_string()]));
        let half = server("server-b", &"x".repeat(150 * 1024));
        assert_eq!(host.put(&half).await.unwrap(), Version(1), "the truth has room, the file has not");
        assert_eq!(library.json().as_object().unwrap().len(), 1, "the old file is whole");
        assert_eq!(host.code("server-b").await, Some(half.code));
        let leftovers = fs::read_dir(library.data.join("saved_servers.d/.unfinished")).unwrap().count();
        assert_eq!(leftovers, 0);
    }
}
