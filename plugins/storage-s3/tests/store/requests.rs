use perennial_sdk::{Expected, Version};

use crate::{
    host::Host,
    s3::{Proxy, Store},
};

#[tokio::test]
async fn a_save_is_one_put() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let mut config = store.config();
    config["endpoint"] = proxy.endpoint().into();
    let host = Host::open(&config).await;
    host.put("server-first", "tries the store out", Expected::New).await.unwrap();
    proxy.take_log();
    for version in 1..=5 {
        let expected = if version == 1 { Expected::New } else { Expected::At(Version(version - 1)) };
        host.put("server-a", "a", expected).await.unwrap();
        let log = proxy.take_log();
        let puts: Vec<_> = log.iter().filter(|request| request.starts_with("PUT")).collect();
        assert_eq!(puts.len(), 1, "{log:?}");
        assert!(puts[0].contains(&format!("/s/server-a/{version:010}.json")), "{log:?}");
        assert!(log.len() <= 2, "a save asks for more than it needs: {log:?}");
    }
}

#[tokio::test]
async fn keys_are_as_they_are_documented() {
    let store = Store::seaweedfs();
    let mut config = store.config();
    let proxy = Proxy::before(store.address());
    config["endpoint"] = proxy.endpoint().into();
    config["prefix"] = "team/x".into();
    let host = Host::open(&config).await;
    host.put("server-a", "a", Expected::New).await.unwrap();
    assert!(proxy.take_log().iter().any(|request| request == "PUT /servers/team/x/s/server-a/0000000001.json"));
    assert_eq!(Host::open(&store.config()).await.list().await.unwrap(), Vec::<String>::new(), "prefixes are apart");
}

#[tokio::test]
async fn a_large_library_is_listed_in_few_requests() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let mut config = store.config();
    config["endpoint"] = proxy.endpoint().into();
    let host = Host::open(&config).await;
    let ids: Vec<_> = (0..130).map(|number| format!("server-{number:03}")).collect();
    host.put(&ids[0], "tries the store out", Expected::New).await.unwrap();
    let puts = futures_util::future::join_all(ids[1..].iter().map(|id| host.put(id, id, Expected::New))).await;
    assert!(puts.iter().all(Result::is_ok), "{puts:?}");
    // the first listing of a machine reads each server once, and keeps what it read
    Host::open(&config).await.list().await.unwrap();
    proxy.take_log();
    assert_eq!(Host::open(&config).await.list().await.unwrap(), ids);
    let log = proxy.take_log();
    assert!(log.len() <= 3, "{} requests: {log:?}", log.len());
}

#[tokio::test]
async fn a_proxy_is_gone_through() {
    let store = Store::seaweedfs();
    let proxy = Proxy::before(store.address());
    let mut config = store.config();
    config["endpoint"] = "http://storage.example.com".into();
    config["allow_http"] = true.into();
    config["proxy"] = proxy.endpoint().into();
    let host = Host::open(&config).await;
    host.put("server-a", "a", Expected::New).await.unwrap();
    assert_eq!(host.code("server-a").await.unwrap(), "a");
}
