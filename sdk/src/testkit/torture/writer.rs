use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::{Line, Log, code};
use crate::{
    Cx, DynStorage, Error, ErrorCode, Expected, Exported, Home, Page, PutId, SavedServer, ServerId, testkit::Dice,
};

/// Up to how many bytes of code most saves have.
const USUAL: u64 = 20_000;

/// What a writer is to do.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) home: PathBuf,
    pub(super) log: PathBuf,
    pub(super) config: Value,
    pub(super) writer: u64,
    pub(super) servers: u64,
    pub(super) largest: u64,
    pub(super) seed: u64,
}

/// Saves until it is killed; first of all what its predecessor did not see acknowledged.
pub(super) async fn write<P: Exported>(order: Order) {
    let opened = P::open(order.config, Home { data_dir: order.home }).await.expect("the storage opens");
    let storage = opened.storage.clone().expect("it exports a storage");
    let (cx, mut dice, log) = (Cx::detached(), Dice::new(order.seed), Log::at(order.log));
    if let Some((id, token, put)) = log.unfinished() {
        save(&*storage, &log, &id, &token, &put, Expected::Any).await;
    }
    for number in 0.. {
        let id = server(dice.below(order.servers));
        match dice.below(10) {
            0 => match storage.list(&cx, &Page::default()).await {
                Err(error) if !error.retryable => panic!("the list failed: {error}"),
                _ => {}
            },
            1 => match storage.delete(&cx, &id, Expected::Any).await {
                Ok(version) => log.note(&Line::Deleted { id, version }),
                Err(error) if error.code == ErrorCode::NotFound || error.retryable => {}
                Err(error) => panic!("a delete failed: {error}"),
            },
            _ => {
                let most = if dice.below(50) == 0 { order.largest } else { order.largest.min(USUAL) };
                let token = format!("{}.{}.{number}.{}", order.writer, order.seed, dice.below(most));
                let put = PutId::random();
                log.note(&Line::Try { id: id.clone(), token: token.clone(), put: put.clone() });
                let newest = storage.versions(&cx, &id).await.ok().and_then(|all| all.last().copied());
                let expected = newest.filter(|_| dice.below(3) == 0).map_or(Expected::Any, Expected::At);
                save(&*storage, &log, &id, &token, &put, expected).await;
            }
        }
    }
}

/// The server with this number.
pub(super) fn server(number: u64) -> ServerId {
    format!("server-{number}").parse().expect("an id")
}

/// Saves, and tries again for as long as that may help.
async fn save(storage: &dyn DynStorage, log: &Log, id: &ServerId, token: &str, put: &PutId, expected: Expected) {
    let record = SavedServer {
        name: "torture".into(),
        code: code(token),
        language: "python".into(),
        saved_at: "2024-01-15T10:30:00.000Z".into(),
        server_id: id.to_string(),
        ..SavedServer::default()
    };
    loop {
        match storage.put(&Cx::detached(), &record, expected, put).await {
            Ok(version) => return log.note(&Line::Saved { id: id.clone(), token: token.into(), version }),
            Err(Error { code: ErrorCode::Conflict, .. }) => return log.note(&Line::Refused { token: token.into() }),
            Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("a save failed: {error}"),
        }
    }
}
