//! A library that is damaged, shared, killed in the middle, or on a disk that takes no more.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::ExitStatus};

use perennial_sdk::testkit::Dice;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    cases::library::{copies, load, read_file, save_on_top, write_old_file},
    support::{TestHome, TestHost, echo_server, misbehaving_server, with_mounts},
};

#[test]
fn fault_33_links_that_a_server_made_are_not_followed() {
    let home = TestHome::new();
    let secret = home.path().join("home/keys/secret");
    fs::create_dir(secret.parent().unwrap()).unwrap();
    fs::write(&secret, "the-secret-behind-the-link").unwrap();
    let mut host = home.start();
    let id = host.create_python(&misbehaving_server("links"));
    assert_eq!(host.execute(&id, "echo", json!({"message": secret})).ok().text(), secret.display().to_string());
    host.call("save-server", json!({"serverId": id, "name": "with links"})).ok();
    host.call("delete-server", json!({"serverId": id})).ok();
    host.close();
    let exported = home.run(&["export", &id]).stdout;
    assert!(!exported.is_empty());
    for content in copies(&home).into_iter().chain([exported]) {
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("the-secret-behind-the-link") && !text.contains("XDG_DATA_HOME="), "{text}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "the-secret-behind-the-link", "what a link leads to is removed");
}

#[rstest]
#[case::truncated(|whole: Vec<u8>| whole[..whole.len() / 2].into())]
#[case::empty(|_| Vec::new())]
#[case::a_bit_flipped(|mut whole: Vec<u8>| { let at = whole.len() / 2; whole[at] ^= 4; whole })]
#[case::zeros(|whole: Vec<u8>| vec![0; whole.len()])]
#[case::edited(|whole| String::from_utf8(whole).unwrap().replace("second", "secone").into())]
#[case::of_a_newer_program(|_| of_a_newer_program())]
fn fault_35_a_damaged_version_is_set_aside_with_a_reason(#[case] damage: fn(Vec<u8>) -> Vec<u8>) {
    let home = TestHome::new();
    let mut host = home.start();
    let (id, other) = (host.create_python(echo_server()), host.create_python(echo_server()));
    for name in ["first", "second"] {
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
    }
    host.call("save-server", json!({"serverId": other, "name": "other"})).ok();
    host.close();
    let newest = version_file(&home, &id, 2);
    let damaged = damage(fs::read(&newest).unwrap());
    fs::write(&newest, &damaged).unwrap();

    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 other (") && listed.contains(&id), "{listed}");
    let error = host.call("load-saved-server", json!({"savedServerId": id, "version": 2})).error();
    assert!(error.contains("damaged") || error.contains("checksum") || error.contains("read"), "{error}");
    load(&mut host, json!({"savedServerId": id, "version": 1}));
    load(&mut host, json!({"savedServerId": other}));
    let loaded = load(&mut host, json!({"savedServerId": id, "version": 1}));
    save_on_top(&mut host, &loaded, "first");
    host.close();
    assert_eq!(fs::read(&newest).unwrap(), damaged, "a save wrote over what it could not read");
    assert!(version_file(&home, &id, 3).exists());
    let fsck = home.run(&["fsck", "--json"]);
    let told = String::from_utf8_lossy(&fsck.stdout);
    assert!(told.contains("damaged_version") || told.contains("unusable_version"), "{told}");
}

#[test]
fn fault_35_a_corrupt_file_is_set_aside_and_nothing_saved_is_lost() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "precious"})).ok();
    host.close();
    let whole = fs::read(home.saved_servers()).unwrap();
    let torn = &whole[..whole.len() / 2];
    fs::write(home.saved_servers(), torn).unwrap();

    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 precious ("), "{listed}");
    host.close();
    assert_eq!(read_file(&home)[&id]["name"], "precious");
    assert!(copies(&home).contains(&torn.to_vec()), "the torn file was not kept");
}

#[test]
fn fault_35_a_corrupt_file_of_the_old_system_is_never_replaced_by_an_empty_one() {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    let torn = b"{\n  \"server-abc123\": {\n    \"name\": \"Mon serv";
    fs::write(home.saved_servers(), torn).unwrap();
    let mut host = home.start();
    host.call("list-saved-servers", json!({}));
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "new"})).ok();
    host.close();
    assert!(copies(&home).contains(&torn.to_vec()), "the torn file was not kept");
}

#[test]
fn fault_35_one_bad_record_takes_no_other_down() {
    let home = TestHome::new();
    write_old_file(&home);
    let text = fs::read_to_string(home.saved_servers()).unwrap();
    let broken = text.replacen("{\n", "{\n  \"server-bad\": {\"name\": 5, \"code\": [\"\\ud83d\"]},\n", 1);
    fs::write(home.saved_servers(), broken).unwrap();
    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("Mon serveur de calcul v1.0") && listed.contains("API Calculator Python"), "{listed}");
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "new"})).ok();
    host.close();
    let text = fs::read_to_string(home.saved_servers()).unwrap();
    assert!(text.contains("server-bad") && text.contains("\\ud83d"), "the bad record is not carried: {text}");
}

#[test]
fn fault_35_a_damaged_newest_version_is_built_upon() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    for name in ["first", "second"] {
        host.call("save-server", json!({"serverId": id, "name": name})).ok();
    }
    let newest = home.data_dir().join(format!("saved_servers.d/s/{id}/0000000002.json"));
    let whole = fs::read_to_string(&newest).unwrap();
    assert!(whole.contains("second"), "{whole}");
    fs::write(&newest, whole.replace("second", "secone")).unwrap();
    let third = host.call("save-server", json!({"serverId": id, "name": "third"})).ok().facts();
    assert_eq!(third["version"], 3, "{third}");
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("📄 third ("));
}

#[test]
fn fault_36_every_acknowledged_save_outlives_a_kill_in_the_middle_of_the_next() {
    for acknowledged in [1, 4, 9] {
        let home = TestHome::new();
        let mut host = home.start();
        let id = host.create_python(echo_server());
        let saves: Vec<Value> = (1..=20)
            .map(|number| host.begin_call("save-server", json!({"serverId": id, "name": format!("number {number}")})))
            .collect();
        for save in &saves[..acknowledged] {
            host.reply(save).ok();
        }
        host.kill();

        let mut host = home.start();
        let listed = host.call("list-saved-servers", json!({})).ok().text();
        assert_eq!(listed.matches("📄").count(), 1, "{listed}");
        for version in 1..=acknowledged {
            let arguments = json!({"savedServerId": id, "version": version});
            let loaded =
                host.call("load-saved-server", arguments).ok().facts()["serverId"].as_str().unwrap().to_owned();
            let answer = host.execute(&loaded, "echo", json!({"message": "back"})).ok();
            assert_eq!(answer.text(), "back", "version {version} of {acknowledged}");
        }
    }
}

#[test]
fn fault_36_two_hosts_that_save_at_once_lose_nothing() {
    let home = TestHome::new();
    let mut hosts = [home.start(), home.start()];
    let ids = hosts.each_mut().map(|host| host.create_python(echo_server()));
    let mut saves = Vec::new();
    for number in 1..=10 {
        for (index, host) in hosts.iter_mut().enumerate() {
            let arguments = json!({"serverId": ids[index], "name": format!("host {index} number {number}")});
            saves.push((index, host.begin_call("save-server", arguments)));
        }
    }
    for (index, save) in saves {
        hosts[index].reply(&save).ok();
    }
    for host in &mut hosts {
        let listed = host.call("list-saved-servers", json!({})).ok().text();
        assert!(listed.contains(&ids[0]) && listed.contains(&ids[1]), "{listed}");
    }
    assert!(hosts.map(TestHost::close).iter().all(ExitStatus::success));
    let mut host = home.start();
    for id in &ids {
        for version in [1, 10] {
            load(&mut host, json!({"savedServerId": id, "version": version}));
        }
    }
    host.close();
    let records = read_file(&home);
    assert!(ids.iter().all(|id| records[id]["name"].as_str().unwrap().ends_with("number 10")), "{records}");
}

#[test]
fn fault_36_two_hosts_that_save_one_server_lose_no_version() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "shared"})).ok();
    let mut hosts = [host, home.start()];
    let loaded = hosts.each_mut().map(|host| load(host, json!({"savedServerId": id})));
    for _ in 0..5 {
        let saves = [0, 1]
            .map(|index| hosts[index].begin_call("save-server", json!({"serverId": loaded[index], "name": "shared"})));
        for (index, save) in saves.iter().enumerate() {
            let reply = hosts[index].reply(save);
            if reply.raw()["isError"] == true {
                assert!(reply.text().contains("meanwhile"), "{}", reply.text());
                save_on_top(&mut hosts[index], &loaded[index], "shared");
            }
        }
    }
    load(&mut hosts[0], json!({"savedServerId": id, "version": 11}));
    hosts[0].call("load-saved-server", json!({"savedServerId": id, "version": 12})).error();
}

/// Two hosts save as fast as they can, servers of their own and one that they share, and are killed again and again.
#[test]
fn fault_36_a_thousand_saves_of_two_hosts_that_are_killed_are_all_there() {
    const SAVES: usize = 1000;
    let home = TestHome::new();
    let mut dice = Dice::new(36);
    let mut host = home.start();
    let shared = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": shared, "name": "shared"})).ok();
    host.close();
    let mut acknowledged: Vec<(String, u64)> = Vec::new();
    let mut hosts: [Option<(TestHost, Vec<String>)>; 2] = [None, None];
    while acknowledged.len() < SAVES {
        for slot in &mut hosts {
            let (host, servers) = slot.get_or_insert_with(|| {
                let mut host = home.start();
                let servers =
                    vec![host.create_python(echo_server()), load(&mut host, json!({"savedServerId": shared}))];
                (host, servers)
            });
            let saves: Vec<Value> = (0..50)
                .map(|number| {
                    let server = &servers[usize::from(number % 8 == 0)];
                    host.begin_call("save-server", json!({"serverId": server, "name": format!("save {number}")}))
                })
                .collect();
            let dies = dice.below(6) == 0;
            let heard = if dies { dice.below(50) as usize } else { 50 };
            for save in &saves[..heard] {
                let reply = host.reply(save);
                // whoever comes second is told, and comes again
                match reply.raw()["isError"] == true {
                    true => assert!(reply.text().contains("meanwhile"), "{}", reply.text()),
                    false => acknowledged.push(saved(&reply.facts())),
                }
            }
            if dies {
                slot.take().unwrap().0.kill();
            }
        }
    }
    hosts.into_iter().flatten().for_each(|(host, _)| assert!(host.close().success()));
    for (id, version) in &acknowledged {
        assert!(version_file(&home, id, *version).exists(), "version {version} of {id} is gone");
    }
    let numbers: std::collections::HashSet<_> = acknowledged.iter().collect();
    assert_eq!(numbers.len(), acknowledged.len(), "two saves were given one number");
    let fsck = home.run(&["fsck", "--json"]);
    let report: Value = serde_json::from_slice(&fsck.stdout).unwrap();
    let torn = report["findings"].as_array().unwrap().iter().any(|finding| finding["kind"] == "damaged_version");
    assert!(!torn && report["versions"].as_u64().unwrap() >= SAVES as u64, "{report}");
    let mut host = home.start();
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains(&shared), "{listed}");
}

#[test]
fn fault_37_a_full_disk_is_told_and_loses_nothing() {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    let mounts = format!("mount -t tmpfs -o size=512k none '{}'", home.data_dir().display());
    let mut host = home.start_as(|command| with_mounts(command, &mounts));
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    let file = PathBuf::from(format!("/proc/{}/root{}", host.pid(), home.saved_servers().display()));
    let before = fs::read(&file).unwrap();
    let large = host.create_python(&format!("{}\n# {}\n", echo_server(), "x".repeat(600 << 10)));
    let error = host.call("save-server", json!({"serverId": large, "name": "too large"})).error();
    assert!(error.contains("space"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let listed = host.call("list-saved-servers", json!({})).ok().text();
    assert!(listed.contains("📄 kept (") && !listed.contains("too large"), "{listed}");
    let loaded = load(&mut host, json!({"savedServerId": id}));
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "whole"})).ok().text(), "whole");
    host.call("save-server", json!({"serverId": id, "name": "there is room for a small one"})).ok();
    assert!(host.close().success());
}

#[test]
fn fault_37_a_read_only_disk_is_told_and_still_read() {
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    host.close();
    let before = fs::read(home.saved_servers()).unwrap();
    let data = home.data_dir().display().to_string();
    let mounts = format!("mount --bind '{data}' '{data}'; mount -o remount,bind,ro '{data}'");
    let mut host = home.start_as(|command| with_mounts(command, &mounts));
    let loaded = load(&mut host, json!({"savedServerId": id}));
    assert_eq!(host.execute(&loaded, "echo", json!({"message": "read"})).ok().text(), "read");
    let error = host.call("save-server", json!({"serverId": loaded, "name": "kept"})).error();
    assert!(error.contains("Read-only") && error.contains("saved_servers"), "{error}");
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("📄 kept ("));
    assert!(host.close().success());
    assert_eq!(fs::read(home.saved_servers()).unwrap(), before);
}

#[test]
fn fault_37_a_save_that_cannot_be_written_says_so_and_loses_nothing() {
    if rustix::process::geteuid().is_root() {
        return save_onto_a_file_in_the_place_of_the_folder();
    }
    let home = TestHome::new();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    host.call("save-server", json!({"serverId": id, "name": "kept"})).ok();
    let folder = home.data_dir().join("saved_servers.d/s").join(&id);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let error = host.call("save-server", json!({"serverId": id, "name": "lost"})).error();
    assert!(error.contains("saved_servers.d"), "{error}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(host.call("list-saved-servers", json!({})).ok().text().contains("📄 kept ("));
}

/// Permissions do not stop root: a file where a folder must be does.
fn save_onto_a_file_in_the_place_of_the_folder() {
    let home = TestHome::new();
    fs::create_dir_all(home.data_dir()).unwrap();
    fs::write(home.data_dir().join("saved_servers.d"), "in the way").unwrap();
    let mut host = home.start();
    let id = host.create_python(echo_server());
    let error = host.call("save-server", json!({"serverId": id, "name": "lost"})).error();
    assert!(error.contains("saved_servers.d"), "{error}");
    assert_eq!(fs::read_to_string(home.data_dir().join("saved_servers.d")).unwrap(), "in the way");
}

fn version_file(home: &TestHome, id: &str, version: u64) -> PathBuf {
    home.data_dir().join(format!("saved_servers.d/s/{id}/{version:010}.json"))
}

/// The id and the version that a save was given.
fn saved(facts: &Value) -> (String, u64) {
    let id = facts["savedServerId"].as_str().or(facts["serverId"].as_str()).unwrap();
    (id.to_owned(), facts["version"].as_u64().unwrap())
}

/// A version whose checksum fits, and whose record means something that this program does not know.
fn of_a_newer_program() -> Vec<u8> {
    let record = r#"{"name":{"en":"second"},"parts":["a"]}"#;
    let digest: String = Sha256::digest(record).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{{"sha256":"{digest}","putId":"newer","record":{record}}}"#).into_bytes()
}
