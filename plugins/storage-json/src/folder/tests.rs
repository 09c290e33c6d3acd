use std::{fs, time::SystemTime};

use perennial_sdk::{Created, Objects};

use super::{Folder, disk::ABANDONED, listing::TICK};

async fn keys(folder: &Folder, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    folder.list(prefix, after, limit).await.unwrap().into_iter().map(|meta| meta.key).collect()
}

#[tokio::test]
async fn a_listing_is_in_the_order_of_keys() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::new(home.path().join("d"));
    let all = ["a.json", "s/a-b/1", "s/a-b/2", "s/a/1", "s/a/2", "s/a0/1", "t"];
    for key in all.iter().rev() {
        assert_eq!(folder.create(key, b"x").await.unwrap(), Created::New);
    }
    assert_eq!(folder.create("s/a/1", b"y").await.unwrap(), Created::Exists);
    assert_eq!(folder.read("s/a/1").await.unwrap(), b"x");
    assert_eq!(keys(&folder, "", None, 99).await, all);
    assert_eq!(keys(&folder, "s/a/", None, 99).await, ["s/a/1", "s/a/2"]);
    assert_eq!(keys(&folder, "s/a", None, 2).await, ["s/a-b/1", "s/a-b/2"]);
    for (place, after) in all.iter().enumerate() {
        assert_eq!(keys(&folder, "", Some(after), 99).await, all[place + 1..]);
    }
    assert_eq!(keys(&folder, "s/", Some("s/a-c"), 1).await, ["s/a/1"]);
    assert!(keys(&folder, "u/", None, 99).await.is_empty());
}

#[tokio::test]
async fn a_remembered_folder_shows_what_is_new() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::new(home.path().join("d"));
    folder.create("s/a/1", b"x").await.unwrap();
    let past = SystemTime::now() - TICK * 2;
    fs::File::open(home.path().join("d/s/a")).unwrap().set_modified(past).unwrap();
    assert_eq!(keys(&folder, "s/", None, 9).await, ["s/a/1"]);
    assert_eq!(folder.shelf.listing.remembered(), 1, "it is remembered");
    Folder::new(home.path().join("d")).create("s/a/2", b"x").await.unwrap();
    assert_eq!(keys(&folder, "s/", None, 9).await, ["s/a/1", "s/a/2"]);
    fs::remove_dir_all(home.path().join("d/s/a")).unwrap();
    assert!(keys(&folder, "s/", None, 9).await.is_empty());
}

#[tokio::test]
async fn no_key_leaves_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::new(home.path().join("d"));
    for key in ["", "/etc/passwd", "../x", "s/../../x", "s//x", "s/.x", "s/a b"] {
        assert!(folder.create(key, b"x").await.is_err(), "{key}");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let left = home.path().join("d/.unfinished/left");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    fs::write(&left, "half").unwrap();
    fs::File::open(&left).unwrap().set_modified(SystemTime::now() - ABANDONED * 2).unwrap();
    fs::write(home.path().join("d/.unfinished/young"), "half").unwrap();
    Folder::new(home.path().join("d")).create("a", b"x").await.unwrap();
    let rest: Vec<_> = fs::read_dir(left.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(rest, ["young"]);
}
