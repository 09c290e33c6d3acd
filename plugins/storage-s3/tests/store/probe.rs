use perennial_sdk::{ErrorCode, Expected};
use serde_json::{Value, json};

use crate::{
    host::{Host, shown},
    s3::{Fault, Proxy, Store},
};

fn through(proxy: &Proxy, store: &Store) -> Value {
    let mut config = store.config();
    config["endpoint"] = proxy.endpoint().into();
    config
}

fn probes(log: &[String]) -> usize {
    log.iter().filter(|request| request.starts_with("PUT") && request.contains("/probe/")).count()
}

#[tokio::test]
async fn a_store_is_tried_out_before_the_first_write_and_then_known() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let config = through(&proxy, &store);
    let host = Host::open(&config).await;
    assert!(proxy.take_log().is_empty(), "nothing is asked before it is needed");
    host.list().await.unwrap();
    assert_eq!(probes(&proxy.take_log()), 0, "reading needs no probe");
    host.put("server-a", "a", Expected::New).await.unwrap();
    assert!(probes(&proxy.take_log()) > 8);
    host.put("server-b", "b", Expected::New).await.unwrap();
    let again = Host::open_in(host.home, &config).await;
    again.put("server-c", "c", Expected::New).await.unwrap();
    let log = proxy.take_log();
    assert!(!log.iter().any(|request| request.contains("probe")), "a start later it is known: {log:?}");
    let elsewhere = Host::open(&config).await;
    elsewhere.put("server-d", "d", Expected::New).await.unwrap();
    assert_eq!(probes(&proxy.take_log()), 0, "another host hears of it from the bucket");
    let mut other = config.clone();
    other["prefix"] = "other".into();
    Host::open_in(again.home, &other).await.put("server-a", "a", Expected::New).await.unwrap();
    assert!(probes(&proxy.take_log()) > 8, "another library is another matter");
}

#[tokio::test]
async fn a_probe_leaves_nothing_but_its_result() {
    let store = Store::seaweedfs();
    let host = Host::open(&store.config()).await;
    host.put("server-a", "a", Expected::New).await.unwrap();
    let mut above = store.config();
    above["prefix"] = "probe".into();
    let proxy = Proxy::before(store.address());
    above["endpoint"] = proxy.endpoint().into();
    assert!(Host::open(&above).await.list().await.unwrap().is_empty());
    let kept = std::fs::read_dir(host.home.path().join("s3")).unwrap().count();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_refused_by_name() {
    let store = Store::rclone();
    let host = Host::open(&store.config()).await;
    let error = host.put("server-a", "a", Expected::New).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unsupported);
    insta::assert_snapshot!("refused_store", shown(&error, &store.endpoint()));
    assert_eq!(host.list().await.unwrap(), Vec::<String>::new(), "nothing was saved");
    let mut alone = store.config();
    alone["conditional_writes"] = json!("unsafe-single-writer");
    let host = Host::open(&alone).await;
    assert!(!host.storage.capabilities().shared);
    for (version, code) in (1..=3).zip(["a", "b", "c"]) {
        assert_eq!(host.put("server-a", code, Expected::Any).await.unwrap().0, version);
    }
    assert_eq!((host.code("server-a").await.unwrap(), host.versions("server-a").await), ("c".into(), vec![1, 2, 3]));
    let large = "x".repeat(600 * 1024);
    for version in 1..=2 {
        assert_eq!(host.put("server-large", &large, Expected::Any).await.unwrap().0, version);
    }
    assert_eq!(host.code("server-large").await.unwrap(), large);
    assert_eq!(host.list().await.unwrap(), ["server-a", "server-large"]);
}

#[tokio::test]
async fn a_store_in_trouble_is_neither_refused_nor_believed() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let mut config = through(&proxy, &store);
    config["timeout_s"] = json!(0.3);
    config["deadline_s"] = json!(0.5);
    let host = Host::open(&config).await;
    proxy.weather(|method| (method == "PUT").then_some(Fault::BlackHole));
    let error = host.put("server-a", "a", Expected::New).await.unwrap_err();
    assert!(error.retryable, "{error:?}");
    proxy.clear();
    config["deadline_s"] = json!(20);
    config["timeout_s"] = json!(10);
    Host::open_in(host.home, &config).await.put("server-a", "a", Expected::New).await.unwrap();
    assert!(probes(&proxy.take_log()) > 8);
}

#[tokio::test]
async fn two_who_were_told_to_be_one_overwrite_nothing() {
    let store = Store::rclone();
    let mut config = store.config();
    config["conditional_writes"] = json!("unsafe-single-writer");
    let hosts = [Host::open(&config).await, Host::open(&config).await];
    let mut acknowledged = Vec::new();
    for round in 0..10 {
        let puts = hosts.iter().enumerate().map(|(number, host)| async move {
            let code = format!("{round} {number}");
            host.put("server-a", &code, Expected::Any).await.map(|version| (version, code))
        });
        acknowledged.extend(futures_util::future::join_all(puts).await.into_iter().map(Result::unwrap));
    }
    for (version, code) in acknowledged {
        let id = "server-a".parse().unwrap();
        let found = hosts[0].storage.get(&perennial_sdk::Cx::detached(), &id, Some(version)).await.unwrap();
        assert_eq!(found.code, code, "version {version}");
    }
}
