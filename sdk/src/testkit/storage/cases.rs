use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Bench, Check, ensure, fails, full, given, id, record};
use crate::{ErrorCode, Expected, Exported, Page, PutId, SavedServer, ServerId, Summary, Version};

pub(super) async fn a_record_comes_back_whole<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let record = record();
    let version = host.put(&record, Expected::New).await?;
    let found = host.get(&id(&record), None).await?;
    ensure!(given(&found) == record, "it came back as {found:?}");
    ensure!(version == Version(1) && found.version == version, "it is version {version}, then {}", found.version);
    let hash = found.sha256.unwrap_or_default();
    ensure!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "its sha256 is `{hash}`");
    Ok(())
}

pub(super) async fn versions_count_from_one<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let first = record();
    for number in 1..=3 {
        let version = host.put(&SavedServer { name: format!("name {number}"), ..first.clone() }, Expected::Any).await?;
        ensure!(version == Version(number), "put {number} gave version {version}");
    }
    for number in 1..=3 {
        let found = host.get(&id(&first), Some(Version(number))).await?;
        ensure!(found.name == format!("name {number}"), "version {number} is called `{}`", found.name);
        ensure!(found.version == Version(number), "version {number} calls itself {}", found.version);
    }
    let versions = host.versions(&id(&first)).await?;
    ensure!(versions == [1, 2, 3], "the versions are {versions:?}");
    Ok(())
}

pub(super) async fn the_stored_version_and_hash_are_the_storages_own<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let lie = SavedServer { version: Version(99), sha256: Some("0".repeat(64)), ..record() };
    host.put(&lie, Expected::New).await?;
    let found = host.get(&id(&lie), None).await?;
    ensure!(found.version == Version(1), "version 1 calls itself {}", found.version);
    ensure!(found.sha256 != lie.sha256, "it took the hash that the caller gave");
    Ok(())
}

pub(super) async fn new_means_that_there_is_none<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let record = record();
    host.put(&record, Expected::New).await?;
    let again = host.storage.put(&host.cx, &record, Expected::New, &PutId::random()).await;
    fails("a second New", again, &ErrorCode::Conflict, json!(1))?;
    host.storage.delete(&host.cx, &id(&record), Expected::Any).await.map_err(|e| e.to_string())?;
    let version = host.put(&record, Expected::New).await?;
    ensure!(version == Version(3), "New after a delete gave version {version}");
    Ok(())
}

pub(super) async fn an_expected_version_must_be_the_newest<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let record = record();
    let put = async |at| host.storage.put(&host.cx, &record, Expected::At(Version(at)), &PutId::random()).await;
    fails("At(1) of nothing", put(1).await, &ErrorCode::Conflict, Value::Null)?;
    host.put(&record, Expected::New).await?;
    host.put(&record, Expected::At(Version(1))).await?;
    for at in [0, 1, 3] {
        fails(&format!("At({at}) of version 2"), put(at).await, &ErrorCode::Conflict, json!(2))?;
    }
    let versions = host.versions(&id(&record)).await?;
    ensure!(versions == [1, 2], "the refused puts left {versions:?}");
    let stale = host.storage.delete(&host.cx, &id(&record), Expected::At(Version(1))).await;
    fails("a delete At(1) of version 2", stale, &ErrorCode::Conflict, json!(2))
}

pub(super) async fn the_same_put_happens_once<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    for expected in [Expected::New, Expected::Any, Expected::At(Version(1))] {
        let record = record();
        if let Expected::At(_) = expected {
            host.put(&record, Expected::New).await?;
        }
        let put_id = PutId::random();
        let first = host.storage.put(&host.cx, &record, expected, &put_id).await.map_err(|e| e.to_string())?;
        host.put(&SavedServer { name: "later".into(), ..record.clone() }, Expected::Any).await?;
        let other = bench.open().await?;
        for (who, host) in [("the same host", &host), ("another host", &other)] {
            match host.storage.put(&host.cx, &record, expected, &put_id).await {
                Ok(again) => ensure!(again == first, "{expected:?} repeated by {who} gave {again} instead of {first}"),
                Err(error) => return Err(format!("{expected:?} repeated by {who} failed: {error}")),
            }
        }
        let versions = host.versions(&id(&record)).await?;
        ensure!(versions.len() as u64 == first.0 + 1, "{expected:?} repeated left {versions:?}");
    }
    Ok(())
}

pub(super) async fn a_delete_hides_and_keeps<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let record = record();
    host.put(&record, Expected::New).await?;
    let grave =
        host.storage.delete(&host.cx, &id(&record), Expected::At(Version(1))).await.map_err(|e| e.to_string())?;
    ensure!(grave == Version(2), "the tombstone is version {grave}");
    let listed = host.listed(&BTreeSet::from([record.server_id.clone()]), 1000).await?;
    ensure!(listed.is_empty(), "it is still listed");
    let missing = &ErrorCode::NotFound;
    fails("a get", host.storage.get(&host.cx, &id(&record), None).await, missing, Value::Null)?;
    fails("a get of the tombstone", host.storage.get(&host.cx, &id(&record), Some(grave)).await, missing, Value::Null)?;
    fails("a second delete", host.storage.delete(&host.cx, &id(&record), Expected::Any).await, missing, Value::Null)?;
    let kept = host.get(&id(&record), Some(Version(1))).await?;
    ensure!(given(&kept) == record, "version 1 became {kept:?}");
    let versions = host.versions(&id(&record)).await?;
    ensure!(versions == [1, 2], "the versions are {versions:?}");
    let back = host.put(&kept, Expected::At(grave)).await?;
    ensure!(back == Version(3), "undoing the delete gave version {back}");
    ensure!(given(&host.get(&id(&record), None).await?) == record, "undoing the delete did not bring it back");
    Ok(())
}

/// A storage may do without: it then says that it cannot.
pub(super) async fn the_deleted_are_listed_as_they_were<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let mut records = [record(), record(), record()];
    records.sort_by(|a, b| a.server_id.cmp(&b.server_id));
    for record in &records {
        host.put(record, Expected::New).await?;
    }
    for record in &records[..2] {
        host.storage.delete(&host.cx, &id(record), Expected::Any).await.map_err(|e| e.to_string())?;
    }
    let (mut page, mut shown) = (Page { cursor: None, limit: 1 }, Vec::new());
    loop {
        let listing = match host.storage.deleted(&host.cx, &page).await {
            Err(error) if error.code == ErrorCode::Unsupported => return Ok(()),
            listing => listing.map_err(|e| format!("the deleted cannot be listed: {e}"))?,
        };
        ensure!(listing.items.len() <= 1, "a page of 1 has {} items", listing.items.len());
        shown.extend(listing.items);
        let Some(next) = listing.next else { break };
        ensure!(page.cursor.as_ref() != Some(&next), "the cursor stands still");
        page.cursor = Some(next);
    }
    shown.retain(|summary| records.iter().any(|record| record.server_id == summary.server_id));
    let wanted: Vec<_> =
        records[..2].iter().map(|record| Summary { version: Version(1), ..record.summary() }).collect();
    ensure!(shown == wanted, "{shown:?} is shown for {wanted:?}");
    Ok(())
}

pub(super) async fn what_is_not_there_is_not_found<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let (missing, nobody) = (&ErrorCode::NotFound, ServerId::random());
    fails("a get", host.storage.get(&host.cx, &nobody, None).await, missing, Value::Null)?;
    fails("a get of version 1", host.storage.get(&host.cx, &nobody, Some(Version(1))).await, missing, Value::Null)?;
    fails("versions", host.storage.versions(&host.cx, &nobody).await, missing, Value::Null)?;
    fails("a delete", host.storage.delete(&host.cx, &nobody, Expected::Any).await, missing, Value::Null)?;
    let record = record();
    host.put(&record, Expected::New).await?;
    for version in [0, 2, u64::MAX] {
        let get = host.storage.get(&host.cx, &id(&record), Some(Version(version))).await;
        fails(&format!("version {version} of 1"), get, missing, Value::Null)?;
    }
    Ok(())
}

pub(super) async fn the_list_shows_the_newest_by_id<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let records: Vec<_> = (0..4).map(|_| record()).collect();
    for record in records.iter().rev() {
        host.put(&SavedServer { name: "old".into(), ..record.clone() }, Expected::New).await?;
        host.put(record, Expected::Any).await?;
    }
    let ids = records.iter().map(|record| record.server_id.clone()).collect();
    let listed = host.listed(&ids, 1000).await?;
    let order: Vec<_> = listed.iter().map(|summary| &summary.server_id).collect();
    ensure!(order == ids.iter().collect::<Vec<_>>(), "it shows {order:?}");
    for summary in listed {
        let newest = host.get(&summary.server_id.parse().map_err(|_| "an odd id")?, None).await?;
        ensure!(summary == newest.summary(), "it shows {summary:?} for {newest:?}");
        ensure!(summary.version == Version(2), "it shows version {}", summary.version);
    }
    Ok(())
}

pub(super) async fn pages_show_everything_once<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        let record = record();
        host.put(&record, Expected::New).await?;
        ids.insert(record.server_id);
    }
    for limit in [1, 2, 5, 1000] {
        let listed = host.listed(&ids, limit).await?;
        ensure!(listed.len() == ids.len(), "pages of {limit} show {} of {} servers", listed.len(), ids.len());
    }
    Ok(())
}

pub(super) async fn an_alias_finds_its_server<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let (first, second) = (ServerId::random(), ServerId::random());
    let record = SavedServer { aliases: vec![first.clone()], ..record() };
    host.put(&record, Expected::New).await?;
    ensure!(host.get(&first, None).await?.server_id == record.server_id, "the alias finds another");
    host.put(&SavedServer { aliases: vec![first.clone(), second.clone()], ..record.clone() }, Expected::Any).await?;
    let other = bench.open().await?;
    for alias in [&first, &second] {
        let found = other.get(alias, None).await?;
        ensure!((&found.server_id, found.version) == (&record.server_id, Version(2)), "it finds {found:?}");
        ensure!(other.get(alias, Some(Version(1))).await?.version == Version(1), "version 1 by an alias is another");
        ensure!(other.versions(alias).await? == [1, 2], "the versions by an alias are others");
    }
    let listed = other.listed(&BTreeSet::from([record.server_id.clone()]), 1000).await?;
    ensure!(listed.iter().any(|summary| summary.aliases.len() == 2), "the list shows no aliases");
    other.storage.delete(&other.cx, &second, Expected::Any).await.map_err(|e| format!("a delete by alias: {e}"))?;
    let gone = host.storage.get(&host.cx, &first, None).await;
    fails("an alias of a deleted server", gone, &ErrorCode::NotFound, Value::Null)
}

pub(super) async fn odd_ids_stay_apart<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let stem = ServerId::random();
    let mut ids: BTreeSet<String> =
        ["-a", "_a", "a", "0", "-", "_", "--", "-0"].map(|end| format!("{stem}{end}")).into();
    ids.extend([stem.to_string(), format!("{stem}{}", "x".repeat(ServerId::MAX_LEN - stem.as_str().len()))]);
    ids.extend(["__proto__", "constructor", "CON", "-", "0", "10", "9007199254740993", "null"].map(String::from));
    for (number, id) in ids.iter().enumerate() {
        host.put(&SavedServer { code: number.to_string(), ..full(id) }, Expected::Any).await?;
    }
    for (number, id) in ids.iter().enumerate() {
        let found = host.get(&id.parse().map_err(|_| "an odd id")?, None).await?;
        ensure!((&found.server_id, &found.code) == (id, &number.to_string()), "`{id}` gives `{}`", found.server_id);
    }
    let listed = host.listed(&ids, 3).await?;
    ensure!(listed.iter().map(|summary| &summary.server_id).eq(ids.iter()), "the list shows {listed:?}");
    Ok(())
}

pub(super) async fn odd_names_survive<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let names =
        ["", "a/b", "../../etc", "a\nb\r", "\0\u{1}\u{1f}\u{7f}", "\u{202e}\u{200b}", "🎉\u{2028}", "\"\\</script>"];
    for name in names {
        let text = name.to_string();
        let record = SavedServer { name: text.clone(), code: text.clone(), saved_at: text, ..record() };
        host.put(&record, Expected::New).await?;
        let found = host.get(&id(&record), None).await?;
        ensure!(given(&found) == record, "{name:?} became {:?}, {:?}", found.name, found.code);
    }
    Ok(())
}

pub(super) async fn what_is_no_id_is_refused<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    for id in ["", "../x", "a/b", "a b", "é", &"x".repeat(65), "a\0"] {
        let put = host.storage.put(&host.cx, &full(id), Expected::Any, &PutId::random()).await;
        fails(&format!("a put under {id:?}"), put, &ErrorCode::Invalid, Value::Null)?;
    }
    Ok(())
}

pub(super) async fn records_of_any_size_survive<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let text = |size: usize| "0123456789abcd\u{e9}".repeat(size / 16);
    for size in [0, 256 * 1024, 256 * 1024 + 16, bench.suite.largest / 2] {
        let record = SavedServer { files: [("b".to_string(), text(size))].into(), code: text(size), ..record() };
        host.put(&record, Expected::New).await?;
        ensure!(given(&host.get(&id(&record), None).await?) == record, "one of twice {size} bytes came back different");
        let other = bench.open().await?;
        ensure!(
            given(&other.get(&id(&record), None).await?) == record,
            "another host finds one of {size} bytes different"
        );
    }
    Ok(())
}

pub(super) async fn many_servers_are_listed<P: Exported>(bench: &Bench<P>) -> Check {
    let (host, mut ids) = (bench.open().await?, BTreeSet::new());
    for _ in 0..bench.suite.records.div_ceil(50) {
        let records: Vec<_> = (0..50).map(|_| record()).collect();
        for put in join_all(records.iter().map(|record| host.put(record, Expected::New))).await {
            put?;
        }
        ids.extend(records.into_iter().map(|record| record.server_id));
    }
    let other = bench.open().await?;
    for limit in [1000, 10_000] {
        let listed = other.listed(&ids, limit).await?;
        let shown: BTreeSet<_> = listed.iter().map(|summary| summary.server_id.clone()).collect();
        ensure!(shown == ids, "pages of {limit} show {} of {} servers", shown.len(), ids.len());
        ensure!(shown.len() == listed.len(), "pages of {limit} show some servers twice");
    }
    Ok(())
}

pub(super) async fn order_is_by_number_and_not_by_clock<P: Exported>(bench: &Bench<P>) -> Check {
    let (host, first) = (bench.open().await?, record());
    for saved_at in ["2099-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z", "yesterday"] {
        host.put(&SavedServer { saved_at: saved_at.into(), ..first.clone() }, Expected::Any).await?;
    }
    let found = host.get(&id(&first), None).await?;
    ensure!((found.version, &*found.saved_at) == (Version(3), "yesterday"), "the newest is {found:?}");
    Ok(())
}

pub(super) async fn a_rollback_is_a_new_version<P: Exported>(bench: &Bench<P>) -> Check {
    let (host, first) = (bench.open().await?, record());
    host.put(&first, Expected::New).await?;
    host.put(&SavedServer { code: "a mistake".into(), ..first.clone() }, Expected::Any).await?;
    let old = host.get(&id(&first), Some(Version(1))).await?;
    let version = host.put(&old, Expected::At(Version(2))).await?;
    ensure!(version == Version(3), "it is version {version}");
    let other = bench.open().await?;
    ensure!(given(&other.get(&id(&first), None).await?) == first, "what was rolled back to is not what it was");
    ensure!(other.get(&id(&first), Some(Version(2))).await?.code == "a mistake", "the version between is another");
    Ok(())
}

pub(super) async fn another_life_finds_everything<P: Exported>(bench: &Bench<P>) -> Check {
    let (ended, abandoned) = (record(), record());
    let host = bench.open().await?;
    host.put(&ended, Expected::New).await?;
    host.opened.shutdown().await;
    drop(host);
    let host = bench.open().await?;
    host.put(&abandoned, Expected::New).await?;
    host.put(&abandoned, Expected::Any).await?;
    drop(host);
    let host = bench.open().await?;
    for (record, count) in [(&ended, 1), (&abandoned, 2)] {
        let found = host.get(&id(record), None).await?;
        ensure!(given(&found) == *record && found.version == Version(count), "it finds {found:?}");
    }
    let listed = host.listed(&[ended.server_id, abandoned.server_id].into(), 1000).await?;
    ensure!(listed.len() == 2, "it lists {listed:?}");
    Ok(())
}
