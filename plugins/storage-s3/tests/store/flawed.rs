//! Stores that break one promise each, which the probe must name.

use std::{collections::BTreeMap, sync::Mutex, thread, time::Duration};

use perennial_sdk::{ErrorCode, Expected};
use serde_json::json;

use crate::{
    canned::{Asked, document, serving},
    host::{Host, shown},
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flaw {
    None,
    /// Looks first and writes later.
    Races,
    Unchecked,
    LateReads,
    LateListings,
}

type Objects = Mutex<BTreeMap<String, Vec<u8>>>;

fn store(flaw: Flaw) -> String {
    let objects = Objects::default();
    serving(move |asked| answer(flaw, &objects, &asked))
}

fn answer(flaw: Flaw, objects: &Objects, asked: &Asked) -> (String, String) {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let key = path.trim_start_matches("/servers").trim_start_matches('/').to_owned();
    let fails = |status: &str, code: &str| (status.to_owned(), document(code, "no", ""));
    let has = |key: &str| objects.lock().unwrap().contains_key(key);
    match asked.method.as_str() {
        "PUT" => {
            // what the probe sends, with its last bit turned over
            if flaw != Flaw::Unchecked && asked.body == b"damagd" {
                return fails("400 Bad Request", "BadDigest");
            }
            let creates = asked.head.contains("if-none-match: *");
            if flaw == Flaw::Races && creates && !has(&key) {
                thread::sleep(Duration::from_millis(100));
                objects.lock().unwrap().insert(key, asked.body.clone());
                return ("200 OK\r\nETag: \"e\"".into(), String::new());
            }
            let mut objects = objects.lock().unwrap();
            if creates && objects.contains_key(&key) {
                return fails("412 Precondition Failed", "PreconditionFailed");
            }
            objects.insert(key, asked.body.clone());
            ("200 OK\r\nETag: \"e\"".into(), String::new())
        }
        "GET" if !query.is_empty() => {
            let objects = objects.lock().unwrap();
            let shown = objects.keys().filter(|_| flaw != Flaw::LateListings);
            let entry = |key: &String| {
                format!(
                    "<Contents><Key>{key}</Key><Size>1</Size><ETag>\"e\"</ETag>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
                )
            };
            let listed: String = shown.map(entry).collect();
            let listing = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>");
            ("200 OK".into(), listing)
        }
        "GET" if flaw == Flaw::LateReads || !has(&key) => fails("404 Not Found", "NoSuchKey"),
        "GET" => {
            let body = String::from_utf8(objects.lock().unwrap()[&key].clone()).unwrap();
            ("200 OK\r\nETag: \"e\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT".into(), body)
        }
        _ => {
            objects.lock().unwrap().remove(&key);
            ("204 No Content".into(), String::new())
        }
    }
}

#[tokio::test]
async fn every_broken_promise_is_named() {
    for flaw in [Flaw::None, Flaw::Races, Flaw::Unchecked, Flaw::LateReads, Flaw::LateListings] {
        let endpoint = store(flaw);
        let config = json!({
            "bucket": "servers", "endpoint": endpoint, "access_key_id": "a", "secret_access_key": "s",
        });
        let host = Host::open(&config).await;
        let put = host.put("server-a", "a", Expected::New).await;
        if flaw == Flaw::None {
            assert_eq!(put.unwrap().0, 1);
            continue;
        }
        let error = put.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unsupported, "{flaw:?}: {error:?}");
        insta::assert_snapshot!(format!("{flaw:?}"), shown(&error, &endpoint));
        let again = host.put("server-a", "a", Expected::New).await.unwrap_err();
        assert_eq!(again, error, "it is not tried again at once");
    }
}
