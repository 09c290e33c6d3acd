use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use perennial_sdk::serde_json::json;

use crate::support::{Library, old, pretty};

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
