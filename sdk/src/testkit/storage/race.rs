use std::collections::BTreeSet;

use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use serde_json::json;

use super::{Bench, Check, Host, ensure, fails, given, id, record};
use crate::{ErrorCode, Expected, Exported, PutId, Result, SavedServer, Version};

const WRITERS: usize = 8;

pub(super) async fn writers_of_one_server_lose_nothing<P: Exported>(bench: &Bench<P>) -> Check {
    let hosts = [bench.open().await?, bench.open().await?];
    let record = record();
    let write = async |writer: usize| {
        let mut made = Vec::new();
        for number in 0..4 {
            let name = format!("{writer}-{number}");
            let version =
                hosts[writer % 2].put(&SavedServer { name: name.clone(), ..record.clone() }, Expected::Any).await?;
            made.push((version, name));
        }
        Ok::<_, String>(made)
    };
    let mut all = Vec::new();
    for made in join_all((0..WRITERS).map(write)).await {
        all.extend(made?);
    }
    let distinct: BTreeSet<_> = all.iter().map(|(version, _)| version.0).collect();
    let count = (WRITERS * 4) as u64;
    ensure!(distinct == (1..=count).collect(), "{count} puts were told the versions {distinct:?}");
    for (version, name) in all {
        let found = hosts[0].get(&id(&record), Some(version)).await?.name;
        ensure!(found == name, "version {version} is `{found}`, and `{name}` was told it is its own");
    }
    Ok(())
}

pub(super) async fn one_of_many_creators_wins<P: Exported>(bench: &Bench<P>) -> Check {
    one_wins(bench, Expected::New).await
}

pub(super) async fn one_of_many_updaters_wins<P: Exported>(bench: &Bench<P>) -> Check {
    one_wins(bench, Expected::At(Version(1))).await
}

async fn one_wins<P: Exported>(bench: &Bench<P>, expected: Expected) -> Check {
    let hosts = [bench.open().await?, bench.open().await?];
    let record = record();
    let before = if let Expected::At(_) = expected { host_put(&hosts[0], &record).await? } else { Version(0) };
    let puts = (0..WRITERS).map(async |writer| {
        let (host, name) = (&hosts[writer % 2], writer.to_string());
        let put = host.storage.put(&host.cx, &SavedServer { name, ..record.clone() }, expected, &PutId::random()).await;
        (writer, put)
    });
    let mut winners = Vec::new();
    for (writer, put) in join_all(puts).await {
        match put {
            Ok(version) => winners.push((writer, version)),
            lost => fails("a lost race", lost, &ErrorCode::Conflict, json!(before.0 + 1))?,
        }
    }
    ensure!(winners.len() == 1, "{} of {WRITERS} won: {winners:?}", winners.len());
    let found = hosts[0].get(&id(&record), None).await?;
    ensure!((found.name, found.version) == (winners[0].0.to_string(), winners[0].1), "another one's record is there");
    Ok(())
}

async fn host_put(host: &Host, record: &SavedServer) -> Result<Version, String> {
    host.put(record, Expected::New).await
}

pub(super) async fn racing_repeats_of_one_put_happen_once<P: Exported>(bench: &Bench<P>) -> Check {
    let hosts = [bench.open().await?, bench.open().await?];
    for expected in [Expected::New, Expected::Any] {
        let (record, put_id) = (record(), PutId::random());
        let puts = (0..WRITERS).map(|n| hosts[n % 2].storage.put(&hosts[n % 2].cx, &record, expected, &put_id));
        for put in join_all(puts).await {
            let version = put.map_err(|error| format!("a repeat failed: {error}"))?;
            ensure!(version == Version(1), "a repeat gave version {version}");
        }
        let versions = hosts[0].versions(&id(&record)).await?;
        ensure!(versions == [1], "there are the versions {versions:?}");
    }
    Ok(())
}

pub(super) async fn an_abandoned_put_can_be_repeated<P: Exported>(bench: &Bench<P>) -> Check {
    let host = bench.open().await?;
    for polls in 0..12 {
        let (record, put_id) = (record(), PutId::random());
        let mut put = Box::pin(host.storage.put(&host.cx, &record, Expected::New, &put_id));
        for _ in 0..polls {
            if (&mut put).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(put);
        let again = host.storage.put(&host.cx, &record, Expected::New, &put_id).await;
        let version = again.map_err(|error| format!("after {polls} polls the repeat failed: {error}"))?;
        ensure!(version == Version(1), "after {polls} polls the repeat gave version {version}");
        ensure!(given(&host.get(&id(&record), None).await?) == record, "after {polls} polls it is another");
        let versions = host.versions(&id(&record)).await?;
        ensure!(versions == [1], "after {polls} polls there are the versions {versions:?}");
    }
    Ok(())
}

pub(super) async fn two_hosts_see_each_other<P: Exported>(bench: &Bench<P>) -> Check {
    let (here, there) = (bench.open().await?, bench.open().await?);
    let (mine, theirs) = (record(), record());
    let ids: BTreeSet<_> = [mine.server_id.clone(), theirs.server_id.clone()].into();
    here.put(&mine, Expected::New).await?;
    there.put(&theirs, Expected::New).await?;
    for host in [&here, &there] {
        let listed = host.listed(&ids, 1000).await?;
        ensure!(listed.len() == 2, "a host lists {} of 2", listed.len());
    }
    there.put(&SavedServer { name: "theirs now".into(), ..mine.clone() }, Expected::At(Version(1))).await?;
    let found = here.get(&id(&mine), None).await?;
    ensure!(found.name == "theirs now", "a host does not see the other's new version");
    let listed = here.listed(&ids, 1000).await?;
    ensure!(listed.iter().any(|summary| summary.name == "theirs now"), "a host does not list the other's new version");
    let stale = here.storage.put(&here.cx, &mine, Expected::At(Version(1)), &PutId::random()).await;
    fails("a put on what the other replaced", stale, &ErrorCode::Conflict, json!(2))?;
    there.storage.delete(&there.cx, &id(&theirs), Expected::Any).await.map_err(|error| error.to_string())?;
    let listed = here.listed(&ids, 1000).await?;
    ensure!(listed.len() == 1, "a host still lists what the other deleted");
    Ok(())
}

pub(super) async fn many_hosts_list_while_others_save<P: Exported>(bench: &Bench<P>) -> Check {
    let hosts = [bench.open().await?, bench.open().await?];
    let records: Vec<_> = (0..24).map(|_| record()).collect();
    let save = async {
        for record in &records {
            hosts[0].put(record, Expected::New).await?;
            let seen = hosts[1].listed(&[record.server_id.clone()].into(), 1000).await?;
            ensure!(seen.len() == 1, "another host does not list what was just saved");
        }
        Ok::<_, String>(())
    };
    let look = async {
        let mut most = 0;
        for _ in 0..24 {
            let ids = records.iter().map(|record| record.server_id.clone()).collect();
            let seen = hosts[1].listed(&ids, 7).await?.len();
            ensure!(seen >= most, "{most} servers were listed, and then {seen}");
            most = seen;
        }
        Ok::<_, String>(())
    };
    let (saved, looked) = join(save, look).await;
    saved.and(looked)
}
