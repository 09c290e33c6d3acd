//! Mounts of our own, where this system lets a user make them.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime},
};

use perennial_sdk::{Expected, PutId, Retention, Version, serde_json::json};

use crate::support::{Library, old, pretty, server};

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

#[tokio::test]
async fn a_full_disk_can_be_collected() {
    let mounts = "mount -t tmpfs -o size=1m none .; cd \"$PWD\"";
    let Some(data) = mounted("a_full_disk_can_be_collected", mounts, |_| {}) else { return };
    let library = at(data);
    let host = library.open().await;
    let mut saved = 0;
    while host.put(&server("server-a", &format!("{saved} {}", "x".repeat(100 * 1024)))).await.is_ok() {
        saved += 1;
    }
    let mut small = 0;
    while host.put(&server("server-b", &format!("{small} {}", "x".repeat(2000)))).await.is_ok() {
        small += 1;
    }
    assert!(saved > 2 && host.count("server-a").await == saved && host.count("server-b").await == small);
    let folder = library.data.join("saved_servers.d/s/server-a");
    for file in fs::read_dir(&folder).unwrap() {
        let file = fs::File::options().write(true).open(file.unwrap().path()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(40 * 86_400)).unwrap();
    }
    let retention = Retention { versions: Some(1), ..Retention::default() };
    let collected = host.storage.collect(&host.cx, &retention).await.unwrap();
    assert_eq!(collected.servers[0].versions.len(), saved - 1);
    assert_eq!(host.code("server-a").await.unwrap().split(' ').next(), Some(&*(saved - 1).to_string()));
    host.save("server-b", "there is room again").await;
    host.opened.shutdown().await;
    assert_eq!(library.json()["server-b"]["code"], "there is room again");
    assert!(host.storage.check(&host.cx, false).await.unwrap().findings.is_empty());
}
