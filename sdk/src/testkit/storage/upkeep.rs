use std::time::Duration;

use futures_util::future::join;

use super::{Bench, Check, Host, ensure, given, id, record};
use crate::{ErrorCode, Expected, Exported, Retention, SavedServer, Version};

/// Keeps as little as can be asked for.
const STRICT: Retention =
    Retention { versions: Some(1), replaced: Some(Duration::ZERO), deleted: Duration::ZERO, dry_run: false };

pub(super) async fn a_check_finds_nothing_wrong<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let (kept, deleted) = (record(), record());
    let large = SavedServer { code: "x".repeat(600 * 1024), ..record() };
    for record in [&kept, &kept, &deleted, &large] {
        host.put(record, Expected::Any).await?;
    }
    delete(&host, &deleted).await?;
    for repair in [false, true] {
        let checked = host.storage.check(&host.cx, repair).await.map_err(|error| format!("a check failed: {error}"))?;
        ensure!(checked.versions >= 3, "it has looked at {} versions", checked.versions);
        let ours = [&kept, &deleted, &large].map(|record| Some(id(record)));
        let wrong: Vec<_> = checked.findings.iter().filter(|finding| ours.contains(&finding.server_id)).collect();
        ensure!(wrong.is_empty(), "it found {wrong:?}");
    }
    ensure!(host.versions(&id(&kept)).await? == [1, 2], "a check has changed what is saved");
    ensure!(given(&host.get(&id(&large), None).await?) == large, "a check has changed a large record");
    Ok(())
}

pub(super) async fn a_collection_keeps_what_is_in_use<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    let (kept, deleted) = (record(), record());
    let large = SavedServer { code: "x".repeat(600 * 1024), ..record() };
    for record in [&kept, &kept, &large, &large, &deleted, &deleted] {
        host.put(record, Expected::Any).await?;
    }
    let grave = delete(&host, &deleted).await?;
    for retention in [Retention { dry_run: true, ..STRICT }, Retention::default(), STRICT] {
        match host.storage.collect(&host.cx, &retention).await {
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::Unsupported => return Ok(()),
            Err(error) => return Err(format!("a collection failed: {error}")),
        }
        if retention != STRICT {
            for record in [&kept, &large] {
                let versions = host.versions(&id(record)).await?;
                ensure!(versions == [1, 2], "{retention:?} leaves the versions {versions:?}");
            }
            let old = host.get(&id(&deleted), Some(Version(2))).await?;
            ensure!(given(&old) == deleted, "{retention:?} leaves a deleted server as {old:?}");
        }
        for (host, who) in [(&host, "the same host"), (&bench.open().await?, "another host")] {
            for record in [&kept, &large] {
                let found = host.get(&id(record), None).await?;
                ensure!(given(&found) == *record && found.version == Version(2), "{who} finds {found:?}");
            }
        }
    }
    let next = host.put(&deleted, Expected::New).await?;
    ensure!(next == grave.next(), "a number of a deleted server was given twice: {next} after {grave}");
    ensure!(host.put(&kept, Expected::At(Version(2))).await? == Version(3), "the next version is not 3");
    Ok(())
}

pub(super) async fn saves_and_collections_do_not_meet<P: Exported>(bench: &Bench<P>) -> Check {
    let (host, other) = (bench.open().await?, bench.open().await?);
    let (first, count) = (record(), 12);
    let code = |number: u64| format!("{number} {}", "x".repeat(if number.is_multiple_of(2) { 300 * 1024 } else { 10 }));
    let save = async {
        for number in 1..=count {
            let version = host.put(&SavedServer { code: code(number), ..first.clone() }, Expected::Any).await?;
            ensure!(version == Version(number), "save {number} is version {version}");
            let found = host.get(&id(&first), Some(version)).await?;
            ensure!(found.code == code(number), "version {number} is another");
        }
        Ok::<_, String>(())
    };
    let collect = async {
        for _ in 0..4 {
            let (one, two) =
                join(host.storage.collect(&host.cx, &STRICT), other.storage.collect(&other.cx, &STRICT)).await;
            for collected in [one, two] {
                match collected {
                    Err(error) if error.code != ErrorCode::Unsupported => {
                        return Err(format!("a collection failed: {error}"));
                    }
                    _ => {}
                }
            }
        }
        Ok::<_, String>(())
    };
    let (saved, collected) = join(save, collect).await;
    saved.and(collected)?;
    ensure!(other.get(&id(&first), None).await?.code == code(count), "the newest version is another");
    Ok(())
}

async fn delete(host: &Host, record: &SavedServer) -> Result<Version, String> {
    let deleted = host.storage.delete(&host.cx, &id(record), Expected::Any).await;
    deleted.map_err(|error| format!("a delete failed: {error}"))
}
